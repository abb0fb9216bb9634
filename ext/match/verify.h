/* Verify: does a piece match around the place where its literal ended?
 *
 * Reads nothing outside the view. Where a piece has choices of different lengths it can begin and end at several
 * places; all are found, up to KAV_PLACES of each.
 */
#ifndef KAV_VERIFY_H
#define KAV_VERIFY_H

#include "body.h"

/* A stretch of the layer in memory. */
typedef struct {
    const uint8_t *data;
    uint64_t base, end; /* offsets in the layer of data[0] and of the first byte that is not there */
    uint64_t edge;      /* the layer's end when it is known and everything before it is scanned; else UINT64_MAX */
} kav_view;

#define KAV_PLACES 64

typedef struct {
    uint64_t at[KAV_PLACES];
    uint32_t count;
    bool full; /* more places were found than fit */
} kav_places;

/* True when the piece matches; starts and ends then hold at least one place each. Where full is set, places are
 * missing. */
bool kav_verify(const kav_body *body, const kav_piece *piece, const kav_view *view, uint64_t literal_end,
                kav_places *starts, kav_places *ends);

#endif
