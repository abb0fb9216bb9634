/* Members that share bytes of the archive: how a small archive unpacks to much without one being packed twice. */
#include "zip.h"

#include <stdlib.h>

#define RANGES_FIRST 64
#define RANGES_MAX   (1u << 20) /* members beyond these are beyond every sensible limit of members as well */
#define TICK_EVERY   4096       /* members */

typedef struct {
    uint64_t from, to;
} range;

typedef struct {
    range *all;
    size_t count, room;
} ranges;

/* False: no memory. */
static bool add(ranges *r, uint64_t from, uint64_t to)
{
    if (r->count == r->room) {
        size_t room = r->room == 0 ? RANGES_FIRST : r->room * 2;
        range *larger = realloc(r->all, room * sizeof *larger);
        if (larger == NULL) return false;
        r->all = larger;
        r->room = room;
    }
    r->all[r->count++] = (range){from, to};
    return true;
}

static int by_start(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static uint32_t count_overlaps(ranges *r)
{
    uint64_t end = 0;
    uint32_t overlaps = 0;
    if (r->count < 2) return 0;
    qsort(r->all, r->count, sizeof *r->all, by_start);
    for (size_t i = 0; i < r->count; i++) {
        if (r->all[i].from < end) overlaps++;
        if (r->all[i].to > end) end = r->all[i].to;
    }
    return overlaps;
}

uint32_t kav_zip_overlaps(kav_zip_directory *d, kav_unpack *u)
{
    ranges r = {0};
    kav_zip_entry e;
    bool going = true;
    uint64_t size = d->source->size;
    for (uint32_t n = 1; going && r.count < RANGES_MAX && kav_zip_next(d, &e) == 1; n++) {
        if (n % TICK_EVERY == 0) going = kav_unpack_tick(u) == 0;
        if (e.packed == 0 || e.header >= size || size - e.header <= KAV_ZIP_LOCAL) continue;
        uint64_t room = size - e.header - KAV_ZIP_LOCAL;
        going = going && add(&r, e.header, e.header + KAV_ZIP_LOCAL + (e.packed < room ? e.packed : room));
    }
    d->at = d->start;
    uint32_t overlaps = count_overlaps(&r);
    free(r.all);
    return overlaps;
}
