#include "track.h"
#include "format.h"

#include <stdlib.h>
#include <string.h>

bool kav_tracks_new(kav_tracks *t, uint32_t count)
{
    *t = (kav_tracks){.track_count = count, .free = KAV_NONE};
    t->tracks = malloc((count + 1u) * sizeof *t->tracks);
    t->touched = malloc((count + 1u) * sizeof *t->touched);
    t->pool = malloc(KAV_RANGE_POOL * sizeof *t->pool);
    if (!t->tracks || !t->touched || !t->pool) return false;
    for (uint32_t i = 0; i < count; i++) t->tracks[i] = (kav_track){KAV_NONE, 0};
    return true;
}

void kav_tracks_free(kav_tracks *t)
{
    free(t->tracks);
    free(t->touched);
    free(t->pool);
    *t = (kav_tracks){0};
}

void kav_tracks_reset(kav_tracks *t)
{
    for (uint32_t i = 0; i < t->touched_count; i++) t->tracks[t->touched[i]] = (kav_track){KAV_NONE, 0};
    t->touched_count = 0;
    t->used = 0;
    t->free = KAV_NONE;
}

static uint32_t take(kav_tracks *t)
{
    if (t->free != KAV_NONE) {
        uint32_t i = t->free;
        t->free = t->pool[i].next;
        return i;
    }
    return t->used < KAV_RANGE_POOL ? t->used++ : KAV_NONE;
}

static void give_back(kav_tracks *t, uint32_t i)
{
    t->pool[i].next = t->free;
    t->free = i;
}

/* Cut off the ranges that end below the horizon. Ranges are disjoint and sorted downward, so all of them lie behind the
 * first such one. */
static void cut(kav_tracks *t, kav_track *track, uint64_t horizon)
{
    uint32_t *link = &track->head;
    while (*link != KAV_NONE && t->pool[*link].high >= horizon) link = &t->pool[*link].next;
    for (uint32_t i = *link, next; i != KAV_NONE; i = next) {
        next = t->pool[i].next;
        give_back(t, i);
        track->count--;
    }
    *link = KAV_NONE;
}

/* Take the ranges below *link into range as long as they touch it. */
static void absorb(kav_tracks *t, kav_track *track, uint32_t *link, kav_range *range)
{
    while (*link != KAV_NONE) {
        kav_range *below = &t->pool[*link];
        if (below->high < range->low && range->low - below->high > 1) return;
        if (below->low < range->low) range->low = below->low;
        if (below->high > range->high) range->high = below->high;
        if (below->origin < range->origin) range->origin = below->origin;
        uint32_t gone = *link;
        *link = below->next;
        give_back(t, gone);
        track->count--;
    }
}

bool kav_tracks_allow(kav_tracks *t, uint32_t index, kav_range range, uint64_t horizon)
{
    kav_track *track = &t->tracks[index];
    if (range.low > range.high) return true; /* a gap like {5-2}: nothing fits */
    if (track->head == KAV_NONE && track->count == 0) t->touched[t->touched_count++] = index;
    uint32_t *link = &track->head;
    /* New ranges are nearly always the highest, so this goes one or two steps. */
    while (*link != KAV_NONE && t->pool[*link].low > range.high && t->pool[*link].low - range.high > 1)
        link = &t->pool[*link].next;
    absorb(t, track, link, &range);
    if (track->count >= KAV_RANGES) {
        cut(t, track, horizon);
        link = &track->head;
        while (*link != KAV_NONE && t->pool[*link].low > range.high) link = &t->pool[*link].next;
    }
    uint32_t i = track->count < KAV_RANGES ? take(t) : KAV_NONE;
    if (i == KAV_NONE) return false;
    range.next = *link;
    t->pool[i] = range;
    *link = i;
    track->count++;
    return true;
}

const kav_range *kav_tracks_find(const kav_tracks *t, uint32_t track, uint64_t start)
{
    for (uint32_t i = t->tracks[track].head; i != KAV_NONE; i = t->pool[i].next) {
        if (t->pool[i].low <= start) return t->pool[i].high >= start ? &t->pool[i] : NULL;
    }
    return NULL;
}
