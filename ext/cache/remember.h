/* Remember: facts on their way into a store. Belongs to the coordinator, the only writer.
 *
 *     kav_memory_add(m, place, &fact, extra)     as verdicts fall; cheap: into a bounded buffer
 *     kav_memory_renew(m, place)                 a directory that the delta does not concern
 *     kav_memory_gone(m, place, inodes, n)
 *     kav_memory_newest(m, fs, ctime)            what walkers see
 *     kav_memory_flush(m, last)                  sort by place, merge with what is there, write; under flock
 *
 * Facts whose max(ctime, mtime) is not older than the scan's start - 3 s are dropped at once; when the clock is set
 * back meanwhile, the start counts as so much earlier. Those not older than the newest stamp seen on that file system
 * are held back until the last flush and dropped then if that still is so. When the buffer is full and another process
 * holds the lock, the oldest facts are dropped: that costs a scan later. ENOSPC, EIO: the memory goes deaf, error says
 * why.
 */
#ifndef KAV_REMEMBER_H
#define KAV_REMEMBER_H

#include "cachefile.h"

#define KAV_MEMORY_MARGIN_NS 3000000000ll /* before the scan's start: what changed later may change again unseen */

#define KAV_MEMORY_FACTS  65536      /* in the buffer */
#define KAV_MEMORY_EXTRAS (4u << 20) /* bytes of their extras */

typedef struct kav_memory kav_memory;

typedef struct {
    int folder;       /* directory descriptor where the file stands; stays the caller's */
    const char *name; /* of the file in it */
    uint8_t secret[KAV_SECRET];
    uint8_t generation[16]; /* of the signatures that this scan has */
    const uint8_t *delta;   /* the delta table (delta.h), or NULL; outlives the memory */
    size_t delta_len;
    uint64_t size_limit; /* bytes of the file */
    int64_t start_ns;    /* when the scan began, CLOCK_REALTIME */
    bool journal;        /* keep facts that no rule of freshness lets into the other store */
    uint32_t room;       /* facts in the buffer; 0 = KAV_MEMORY_FACTS */
} kav_memory_options;

/* Open, or make, the file. NULL and errno; EINVAL = damaged or foreign (the caller sets it aside and tries again). */
kav_memory *kav_memory_new(const kav_memory_options *options);
void kav_memory_free(kav_memory *m); /* forgets what was not flushed */

/* fs tells file systems apart for the newest stamp (any number that is the same for the same one, st_dev). extra may be
 * NULL; copied. 0 or -ENOMEM. */
int kav_memory_add(kav_memory *m, const uint8_t place[16], uint64_t fs, const kav_fact *fact, const kav_extra *extra);
int kav_memory_renew(kav_memory *m, const uint8_t place[16]);
int kav_memory_gone(kav_memory *m, const uint8_t place[16], const uint64_t *inodes, uint32_t count);

/* The newest stamp seen on a file system; goes up only. */
void kav_memory_newest(kav_memory *m, uint64_t fs, int64_t ctime_ns);

/* Whether a flush is due (the buffer is half full, or wait_ms since the last). */
bool kav_memory_due(const kav_memory *m);

/* Write what may be written. last: the scan is over; wait up to 100 ms for another writer. Returns 0; -EAGAIN = another
 * process is writing, nothing is lost yet; -errno of what made it deaf. */
int kav_memory_flush(kav_memory *m, bool last);

typedef struct {
    uint64_t kept, renewed, held, dropped; /* facts; directories; facts; facts */
    int error;                             /* -errno that made it deaf, 0 */
} kav_memory_totals;
kav_memory_totals kav_memory_get_totals(const kav_memory *m);

#endif
