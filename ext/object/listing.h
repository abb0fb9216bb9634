/* Listing: what goes into a result besides verdict and notes: the layers of an object, and what the object cache may
 * learn from it. Bounded; a list with a gap says so, because what is joined over it must be all or nothing.
 */
#ifndef KAV_LISTING_H
#define KAV_LISTING_H

#include "digest.h"
#include "kav.h"

#include <stdbool.h>

typedef struct {
    uint8_t *layers; /* kav_layer records, each followed by its digests */
    uint32_t layer_count, layers_len;
    bool gap; /* not all layers are listed */
    kav_learned *learned;
    uint32_t learned_count;
} kav_listing;

int kav_listing_init(kav_listing *l); /* 0, -ENOMEM */
void kav_listing_free(kav_listing *l);
void kav_listing_reset(kav_listing *l);

/* One layer was looked at as a whole. */
void kav_listing_layer(kav_listing *l, uint64_t size, uint8_t target, const kav_digests *digests);

/* Layers that cannot be listed. */
void kav_listing_gap(kav_listing *l);

/* keep: of the object itself, which comes last and for which there is always room. */
void kav_listing_learn(kav_listing *l, const kav_learned *learned, bool keep);

/* The object is done: a lone layer of which no digest is known is not worth a list, its size is in the result. */
void kav_listing_close(kav_listing *l);

#endif
