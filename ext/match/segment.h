/* Segment: builds the BODY part of one database file.
 *
 *     kav_segment *s = kav_segment_new();
 *     p0 = kav_segment_pattern(s, hex, offset, modifiers);             for every subsignature
 *     kav_segment_signature(s, &signature);                            for every line that can be taken
 *     kav_segment_finish(s, "main.ldb", digest, official, &out);
 *
 * Patterns that are equal in text are one. A pattern that no signature names costs no literal.
 */
#ifndef KAV_SEGMENT_H
#define KAV_SEGMENT_H

#include "pattern.h"

typedef struct kav_segment kav_segment;

kav_segment *kav_segment_new(void); /* NULL: out of memory */
void kav_segment_free(kav_segment *s);

/* The pattern's index, or KAV_NONE with *why set. */
uint32_t kav_segment_pattern(kav_segment *s, kav_text hex, kav_text offset, kav_text modifiers, const char **why);

/* A subsignature that is no pattern (probe.h); own is its number in its signature. Returns what stands for it among
 * subsigs, or KAV_NONE with *why set. */
uint32_t kav_segment_probe(kav_segment *s, kav_text text, uint32_t own, const char **why);

typedef struct {
    kav_text name;
    uint32_t line; /* 1-based */
    uint32_t target;
    const uint32_t *subsigs; /* by number: a pattern's index, or what kav_segment_probe gave */
    uint32_t subsig_count;
    kav_text expression;         /* .text NULL: the one pattern, once */
    uint64_t min_size, max_size; /* bytes of the layer; max_size 0: any */
    const kav_condition
        *condition; /* NULL: none; its chain_count is the caller's, places in tables are filled in here */
    const kav_chain_link *chain;
    kav_text icons[2];
} kav_segment_signature_in;

/* NULL, or why the signature cannot be taken. */
const char *kav_segment_signature(kav_segment *s, const kav_segment_signature_in *in);

uint32_t kav_segment_signature_count(const kav_segment *s);
uint32_t kav_segment_pattern_count(const kav_segment *s);

/* Write the part into out (empty). False: out of memory or too large. The segment can be freed afterwards. */
bool kav_segment_finish(kav_segment *s, kav_text database, const uint8_t source[32], bool official, kav_buffer *out);

#endif
