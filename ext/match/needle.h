/* Needle: two bytes next to each other by which a piece is looked for on its own, without any database.
 *
 * Where a few patterns decide what is left open, looking for each of them costs less than the whole second pass.
 */
#ifndef KAV_NEEDLE_H
#define KAV_NEEDLE_H

#include "body.h"

#define KAV_NEEDLES 8 /* pieces of one pattern, its wide form included */

typedef struct {
    uint32_t piece;
    uint32_t ahead;             /* the two bytes stand so far behind the piece's pivot */
    uint8_t value[2], blind[2]; /* blind: a bit that does not count, so that capitals are alike */
    uint8_t step;               /* 1, or 0: there is only one byte */
    uint64_t at;                /* the pivot's place that was found last, or KAV_NOWHERE */
} kav_needle;

#define KAV_NOWHERE UINT64_MAX

/* The needles of a pattern's pieces; 0: one of them has no byte in a fixed place, or they are too many. */
uint32_t kav_needles_of(const kav_body *b, uint32_t pattern, kav_needle out[KAV_NEEDLES]);

/* Set at to the first place from a place on; the piece may still not be there. */
void kav_needle_find(kav_needle *n, const uint8_t *data, uint64_t length, uint64_t from);

#endif
