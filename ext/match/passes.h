/* Passes: in which pass over a layer a pattern is looked for, once all signatures of a segment are known.
 *
 * A pattern with a short literal is found everywhere, and short literals make the whole database slow. Where each
 * signature that names it asks for a better pattern besides, it can wait for the second pass, which is made only when
 * the better one was found.
 */
#ifndef KAV_PASSES_H
#define KAV_PASSES_H

#include "pattern.h"

/* The segment in hand. */
typedef struct {
    kav_parse *parse;
    kav_signature *signatures;
    uint32_t count;
    const kav_code *code;
    const uint32_t *subsigs;
} kav_passes;

/* Move what can wait to the second pass. False: out of memory. */
bool kav_passes_defer(kav_passes *p);

/* Append to rest the signatures that can be true although the first pass found none of their patterns. */
void kav_passes_rest(const kav_passes *p, kav_buffer *rest);

#endif
