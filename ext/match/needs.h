/* Needs: patterns of which at least one must be found for a signature to be true.
 *
 * A signature is looked at in a layer only when one of these is there. Many signatures begin with the magic bytes of a
 * format and ask for something rare besides: without this, each of them would be looked at in every file of the format.
 */
#ifndef KAV_NEEDS_H
#define KAV_NEEDS_H

#include "passes.h"

/* The cheapest set of patterns of p->signatures[index] so that the signature is false when the first pass shows none of
 * them, as bits by subsignature; 0: there is none. namers: by pattern, how many signatures name it. After
 * kav_passes_defer. */
uint64_t kav_needs_find(const kav_passes *p, uint32_t index, const uint32_t *namers);

#endif
