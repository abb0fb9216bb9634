/* Extents: which stretches of an image have been handed over, so that a file that stands in several trees of the image
 * is one member. */
#ifndef KAV_EXTENTS_H
#define KAV_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    void *root; /* NULL: none yet */
} kav_extents;

/* Remember size bytes at place. False: out of memory (it is then simply not known). */
bool kav_extents_add(kav_extents *extents, uint64_t place, uint64_t size);

/* Whether exactly this stretch was added. */
bool kav_extents_has(const kav_extents *extents, uint64_t place, uint64_t size);

void kav_extents_clear(kav_extents *extents);

#endif
