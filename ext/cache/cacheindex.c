/* Cache file, its index: where the slot of a place is, and a larger one in place of a full one.
 *
 * A place's bucket is said by the first bits of its tag, so that the slots of neighbouring buckets are neighbours in a
 * larger index too: it is made in windows, in one pass, and no record moves. */
#define _GNU_SOURCE
#include "cachewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define SPAN 512 /* buckets of the old index that are dealt with at a time */
#define MORE (KAV_BUCKETS_MAX - 1)

typedef struct {
    kav_cache_slot slots[KAV_BUCKET_SLOTS];
} bucket;

static uint64_t home(const kav_cachefile *file, uint64_t tag)
{
    return tag >> (64 - __builtin_ctzll(file->slots / KAV_BUCKET_SLOTS)); /* there are 128 buckets or more */
}

int kav_cachefile_slot(const kav_cachefile *file, const uint8_t place[16], kav_cache_slot *slot, uint64_t *at)
{
    bucket here;
    uint64_t tag;
    memcpy(&tag, place, sizeof tag);
    tag += !tag; /* 0 means free */
    for (unsigned i = 0; i < KAV_BUCKETS_MAX; i++) {
        uint64_t base = file->index + (home(file, tag) + i) * sizeof here;
        ssize_t n = kav_cache_pread(file->fd, &here, sizeof here, base);
        if (n < 0) return (int)n;
        if ((size_t)n < sizeof here) break;
        for (unsigned k = 0; k < KAV_BUCKET_SLOTS; k++) {
            if (here.slots[k].tag && here.slots[k].tag != tag) continue;
            *at = base + k * sizeof *here.slots;
            *slot = here.slots[k];
            slot->tag = tag;
            return here.slots[k].tag == tag;
        }
    }
    *slot = (kav_cache_slot){.tag = tag};
    *at = 0;
    return 0;
}

/* ---- growth ------------------------------------------------------------------------------------------------------ */

typedef struct {
    const kav_cachefile *from, *to;
    bucket old[SPAN + MORE], made[2 * SPAN + MORE];
} growth;

/* What finds no room is lost, which is as good as impossible in an index that is half empty. */
static void take_over(growth *g, const kav_cache_slot *slot, uint64_t first)
{
    bucket *at = &g->made[home(g->to, slot->tag) - first];
    for (unsigned k = 0; k < KAV_BUCKETS_MAX * KAV_BUCKET_SLOTS; k++) {
        kav_cache_slot *made = &at[k / KAV_BUCKET_SLOTS].slots[k % KAV_BUCKET_SLOTS];
        if (made->tag) continue;
        *made = *slot;
        return;
    }
}

/* Slots whose bucket is one of SPAN from this one on; they may stand in one behind it. */
static int grow_window(growth *g, uint64_t begin, uint64_t buckets)
{
    uint64_t span = buckets - begin < SPAN ? buckets - begin : SPAN;
    ssize_t n =
        kav_cache_pread(g->from->fd, g->old, (span + MORE) * sizeof(bucket), g->from->index + begin * sizeof(bucket));
    if (n < 0) return (int)n;
    for (size_t i = 0; i < (size_t)n / sizeof(kav_cache_slot); i++) {
        const kav_cache_slot *slot = &g->old[i / KAV_BUCKET_SLOTS].slots[i % KAV_BUCKET_SLOTS];
        if (slot->tag && home(g->from, slot->tag) - begin < span) take_over(g, slot, 2 * begin);
    }
    bool last = begin + span == buckets;
    int failed = kav_cache_pwrite(g->to->fd, g->made, (2 * span + (last ? MORE : 0)) * sizeof(bucket),
                                  g->to->index + 2 * begin * sizeof(bucket));
    memmove(g->made, &g->made[2 * span], MORE * sizeof(bucket));
    memset(&g->made[MORE], 0, 2 * span * sizeof(bucket));
    return failed;
}

int kav_cache_grow(kav_cachewrite *w)
{
    kav_cachefile to = w->file;
    uint64_t buckets = w->file.slots / KAV_BUCKET_SLOTS, page = KAV_CACHE_HEADER;
    to.slots *= 2;
    to.index = (w->tally.end + page - 1) / page * page;
    growth *g = calloc(1, sizeof *g);
    if (!g) return -ENOMEM;
    g->from = &w->file;
    g->to = &to;
    int failed = 0;
    for (uint64_t begin = 0; begin < buckets && !failed; begin += SPAN) failed = grow_window(g, begin, buckets);
    free(g);
    if (failed) return failed;
    /* On its way to the disk before what leads to it. No promise: what is lost with the power is a miss. */
    sync_file_range(to.fd, (off_t)to.index, (off_t)kav_cache_index_size(to.slots),
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    failed = kav_cache_write_stamp(&to);
    if (failed) return failed;
    w->tally.garbage += kav_cache_index_size(w->file.slots) + (to.index - w->tally.end);
    w->tally.end = to.index + kav_cache_index_size(to.slots);
    w->file = to;
    return 0;
}
