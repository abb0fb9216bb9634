/* Track: where the next piece of a chain may begin, given the pieces found so far.
 *
 * A track is a set of ranges of starts. An end e before a gap {n-m} allows [e+n, e+m]; before an open gap [e+n, ...),
 * where only the earliest end matters. Ranges that touch are one. A track holds KAV_RANGES of them at most, all tracks
 * of a session together KAV_RANGE_POOL; what does not fit is reported, never dropped in silence.
 */
#ifndef KAV_TRACK_H
#define KAV_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#define KAV_RANGES     1024
#define KAV_RANGE_POOL 65536

typedef struct {
    uint64_t low, high; /* starts, inclusive */
    uint64_t origin;    /* where the chain that led here began */
    uint32_t next;      /* the range below this one, or KAV_NONE */
} kav_range;

typedef struct {
    uint32_t head; /* the highest range */
    uint32_t count;
} kav_track;

typedef struct {
    kav_track *tracks;
    uint32_t track_count;
    uint32_t *touched; /* tracks that are not empty */
    uint32_t touched_count;
    kav_range *pool;
    uint32_t used, free; /* pool: never used from here on; list of those given back */
} kav_tracks;

/* All tracks empty. False: out of memory. */
bool kav_tracks_new(kav_tracks *t, uint32_t count);
void kav_tracks_free(kav_tracks *t);

/* Empty those that were touched. */
void kav_tracks_reset(kav_tracks *t);

/* Allow [low, high]. Ranges that end below horizon are no longer needed. False: no room. */
bool kav_tracks_allow(kav_tracks *t, uint32_t track, kav_range range, uint64_t horizon);

/* The range that a start lies in, or NULL. */
const kav_range *kav_tracks_find(const kav_tracks *t, uint32_t track, uint64_t start);

#endif
