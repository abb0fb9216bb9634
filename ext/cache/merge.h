/* Merge: what is new about one place, put together with what its record holds.
 *
 * A new fact replaces the one of the same inode; facts of more generations than a record can have lose the oldest; a
 * record that grows too large becomes a split one with parts (place.h).
 */
#ifndef KAV_MERGE_H
#define KAV_MERGE_H

#include "cachewrite.h"
#include "delta.h"

enum kav_pending_kind { KAV_PENDING_RENEW = 0, KAV_PENDING_FACT = 1, KAV_PENDING_GONE = 2 };

typedef struct {
    uint8_t place[16];
    uint64_t fs, order; /* order: the one that came later wins */
    kav_fact fact;      /* KAV_PENDING_GONE: only its inode */
    kav_extra *extra;   /* its own, or NULL */
    uint8_t kind;
} kav_pending;

typedef struct {
    kav_cachewrite *writer;
    const uint8_t *now; /* generation of what is pending */
    const kav_delta *delta;
    uint64_t kept, dropped, renewed;
    kav_record records[KAV_PART_DEPTH + 1]; /* one for each level */
} kav_merge;

/* items: of one place, sorted by inode and order, without KAV_PENDING_RENEW, for which renew stands. 0 or -errno. */
int kav_merge_place(kav_merge *m, const uint8_t place[16], const kav_pending **items, size_t count, bool renew);
void kav_merge_free(kav_merge *m);

#endif
