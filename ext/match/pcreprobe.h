/* PCRE probe: a subsignature that is a regular expression, run where others have matched.
 *
 *     [Offset:]Trigger/expression/flags        EOF-200:0&(1|2>3)/<script[^>]+evil/is
 *
 * The trigger is a logical expression over subsignatures before it; where it does not hold, nothing is run. Flags: i s
 * m x A E U are PCRE2's options (regexp.h); g finds every match; r lets it begin anywhere behind the offset; e hides
 * from it what lies behind offset and shift. With an offset but neither shift nor r it must match exactly there.
 */
#ifndef KAV_PCREPROBE_H
#define KAV_PCREPROBE_H

#include "pattern.h"

#define KAV_PCRE_LAYER_MAX (100ull << 20) /* bytes of the largest layer that expressions are run on; ClamAV's limit */

enum kav_pcre_flag { KAV_PX_GLOBAL = 1u << 0, KAV_PX_ROLLING = 1u << 1, KAV_PX_ENCOMPASS = 1u << 2 };

/* As it lies in DATA, before the trigger's code and the expression's text. Leaves of the code hold the numbers of
 * subsignatures. */
typedef struct {
    uint32_t offset, shift, section; /* as in kav_pattern */
    uint32_t options;                /* enum kav_regexp_option */
    uint32_t code_count, text_length;
    uint8_t place; /* enum kav_place */
    uint8_t flags;
    uint16_t reserved;
} kav_pcre;

static inline const kav_code *kav_pcre_code(const kav_pcre *p)
{
    return (const kav_code *)(const void *)(p + 1);
}

static inline const char *kav_pcre_text(const kav_pcre *p)
{
    return (const char *)(const void *)(kav_pcre_code(p) + p->code_count);
}

/* Append what lies in DATA to out. own: the number of this subsignature. NULL, or why the text cannot be taken. */
const char *kav_pcre_parse(kav_text text, uint32_t own, kav_buffer *out);

/* Read from a part: is all of it inside these bytes, and does the trigger name subsignatures before its own? */
bool kav_pcre_check(const kav_pcre *p, uint64_t length, uint32_t own);

/* The stretch of a layer that the expression sees, and how far behind its beginning a match may begin. */
typedef struct {
    uint64_t begin, end, reach;
    bool here; /* at its very beginning only */
} kav_pcre_span;

/* low, shift: what the offset says in this layer; false: nowhere. */
bool kav_pcre_where(const kav_pcre *p, uint64_t low, uint64_t shift, uint64_t size, kav_pcre_span *out);

#endif
