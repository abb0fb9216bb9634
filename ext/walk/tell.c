#define _GNU_SOURCE
#include "walker.h"

#include "open.h"
#include <errno.h>

void kav_check(kav_lister *lister, int error)
{
    if (error) kav_walker_fail(lister->walker, error);
}

bool kav_has_unsent(const kav_lister *lister)
{
    return lister->batch.count > 0 || kav_unscanned_waits(&lister->unscanned);
}

void kav_flush(kav_lister *lister)
{
    kav_walker *walker = lister->walker;
    kav_check(lister, kav_batch_send(&lister->batch, &walker->outlet));
    kav_check(lister, kav_unscanned_send(&lister->unscanned, &walker->outlet));
    kav_walker_beat(walker, 0);
}

void kav_send(kav_lister *lister, const kav_entry *entry, const kav_where *where, int fd)
{
    if (!kav_batch_fits(&lister->batch, where)) kav_flush(lister);
    kav_batch_add(&lister->batch, entry, where, fd);
    if (kav_batch_full(&lister->batch)) kav_flush(lister);
}

int64_t kav_nanoseconds(struct statx_timestamp time)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)time.tv_sec, (int64_t)1000000000, &ns) ||
        __builtin_add_overflow(ns, (int64_t)time.tv_nsec, &ns))
        return time.tv_sec < 0 ? INT64_MIN + 1 : INT64_MAX; /* a forged time: beyond the year 2262 */
    return ns;
}

int64_t kav_btime(const struct statx *st)
{
    return st->stx_mask & STATX_BTIME ? kav_nanoseconds(st->stx_btime) : INT64_MIN;
}

void kav_describe(kav_entry *entry, const struct statx *st)
{
    entry->dev = kav_dev(st);
    entry->ino = st->stx_ino;
    entry->size = st->stx_size;
    entry->mode = st->stx_mode;
    entry->nlink = st->stx_nlink;
    entry->mtime_ns = kav_nanoseconds(st->stx_mtime);
    entry->ctime_ns = kav_nanoseconds(st->stx_ctime);
    entry->btime_ns = kav_btime(st);
}

static void describe_nothing(kav_entry *entry)
{
    entry->mtime_ns = entry->ctime_ns = entry->btime_ns = INT64_MIN;
}

void kav_tell(kav_lister *lister, const kav_where *where, uint8_t kind, uint8_t flags, int error,
              const struct statx *st)
{
    if (lister->walker->options->count_only) return;
    kav_entry entry = {.kind = kind, .flags = flags, .error = kind == KAV_E_ERROR ? -error : 0};
    if (st) kav_describe(&entry, st);
    else describe_nothing(&entry);
    kav_send(lister, &entry, where, -1);
}

uint8_t kav_kind_of_failure(int error)
{
    switch (error) {
    case -ENOENT:
    case -ESTALE:  /* gone on a file server */
    case -ENOTDIR: /* was a directory */
    case -ELOOP: /* a link took its place */ return KAV_E_VANISHED;
    case -EXDEV: return KAV_E_SUBMOUNT;
    case -ENXIO: /* a socket took its place, */
    case -ENODEV: /* or a device without driver */ return KAV_E_SPECIAL;
    default: return KAV_E_ERROR;
    }
}

bool kav_is_store(const kav_walker *walker, const struct statx *st)
{
    const uint64_t *pair = walker->options->stores;
    for (size_t i = 0; i < walker->options->store_count; i++, pair += 2)
        if (pair[0] == kav_dev(st) && pair[1] == st->stx_ino) return true;
    return false;
}
