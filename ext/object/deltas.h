/* Deltas: images of what came new since an older generation, opened when an object first asks for one.
 *
 * A session costs memory, so only a few stay open; the one that was not used for longest gives way.
 */
#ifndef KAV_DELTAS_H
#define KAV_DELTAS_H

#include "object.h"

#define KAV_DELTAS_OPEN 2 /* at a time: a folder is of one generation, mostly */

typedef struct {
    uint32_t row; /* 1 + its index; 0 = nothing is open here */
    kav_image *image;
    kav_session *session;
    uint64_t used;
} kav_delta_open;

typedef struct {
    const kav_object_delta *rows;
    size_t count;
    uint8_t *broken; /* count flags: could not be opened, and is not tried again */
    kav_delta_open open[KAV_DELTAS_OPEN];
    uint64_t clock;
} kav_deltas;

int kav_deltas_init(kav_deltas *d, const kav_object_delta *rows, size_t count); /* 0, -ENOMEM */
void kav_deltas_free(kav_deltas *d);

/* Image and session of row (from 1), valid until the next call; NULL: there is none, or it cannot be opened. */
const kav_delta_open *kav_deltas_get(kav_deltas *d, uint32_t row);

#endif
