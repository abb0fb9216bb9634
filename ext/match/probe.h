/* Probe: a subsignature that is no pattern: a regular expression, a byte comparison, a macro, a picture.
 *
 * It is run when all patterns of the layer are counted, and only for a signature that can still become true through it:
 * probes first get what they can come to at most (outlook); where the expression is decided by that, nothing is run.
 */
#ifndef KAV_PROBE_H
#define KAV_PROBE_H

#include "expression.h"
#include "pattern.h"

enum kav_probe_kind { KAV_PROBE_PCRE = 1, KAV_PROBE_COMPARE = 2, KAV_PROBE_MACRO = 3, KAV_PROBE_PICTURE = 4 };

/* Append to out what lies in DATA for this text; own is the subsignature's number. NULL, or why it cannot be taken. */
const char *kav_probe_parse(kav_text text, uint32_t own, enum kav_probe_kind *kind, kav_buffer *out);

/* The subsignatures of one signature, while it is compiled or when it is asked for. */
typedef struct {
    const uint32_t *subsigs;
    uint32_t count;
    const kav_probe *probes;
    const uint8_t *data;
} kav_probe_row;

/* Read from a part: are the row's probes whole, and do they name only what they may? */
bool kav_probe_check(const kav_probe_row *row);

/* What a signature's probes want of its patterns: how far they are counted, and of which (a bit for each subsignature)
 * the places are noted: those in ClamAV's first window, or all. */
typedef struct {
    uint32_t cap;
    uint64_t early, all;
    bool headers; /* an offset that only executables have */
} kav_probe_wants;

kav_probe_wants kav_probe_wanted(const kav_probe_row *row);

/* How often each subsignature may have matched: given the counts of patterns (KAV_ANY_COUNT: not known yet), fill in
 * those of probes with 0 (certainly not there) or KAV_ANY_COUNT. Counts that a macro may lower become KAV_ANY_COUNT,
 * too. */
void kav_probe_outlook(const kav_probe_row *row, uint32_t counts[KAV_SUBSIGS_MAX]);

/* What the leaf count of an expression is, when context is counts by subsignature. */
uint32_t kav_probe_count(const void *counts, const kav_code *leaf);

struct kav_session;

/* proberun.c: replace the outlook by what there is in the layer in hand. given: counts of patterns. */
void kav_probe_run(struct kav_session *s, uint32_t body, const kav_signature *signature,
                   uint32_t counts[KAV_SUBSIGS_MAX]);

#endif
