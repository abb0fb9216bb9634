#define _GNU_SOURCE
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lease.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)
#define ASKED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID_UNIQUE)

static int64_t ns(struct statx_timestamp t)
{
    return t.tv_sec > INT64_MAX / 1000000000 - 1 || t.tv_sec < INT64_MIN / 1000000000 + 1
               ? INT64_MAX /* later than any clock: never added */
               : t.tv_sec * 1000000000 + t.tv_nsec;
}

int kav_recall_stat(int fd, struct statx *st)
{
    /* File systems that are trusted know it without asking anybody; one that has to ask would let everybody wait. */
    int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    return statx(fd, "", flags, ASKED, st) == 0 && S_ISREG(st->stx_mode) ? 0 : -1;
}

bool kav_recall_file(const struct statx *st, kav_recall_key *key)
{
    if (!(st->stx_mask & STATX_MNT_ID_UNIQUE) || st->stx_nlink == 0 || !st->stx_mnt_id) return false;
    *key = (kav_recall_key){
        .mount = st->stx_mnt_id,
        .dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
        .ino = st->stx_ino,
        .size = st->stx_size,
        .mtime_ns = ns(st->stx_mtime),
        .ctime_ns = ns(st->stx_ctime),
        .btime_ns = st->stx_mask & STATX_BTIME ? ns(st->stx_btime) : INT64_MIN,
    };
    return true;
}

bool kav_recall_stream(kav_fingerprint *f, int fd, kav_recall_key *key)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) return false;
    struct stat sealed; /* only from now on its size is one to rely on */
    if (fstat(fd, &sealed) != 0 || sealed.st_size <= 0 || sealed.st_size > KAV_RECALL_STREAM_MAX) return false;
    size_t size = (size_t)sealed.st_size;
    uint8_t name[KAV_FINGERPRINT];
    void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED) return false;
    bool done = kav_fingerprint_start(f) == 0 && kav_fingerprint_feed(f, bytes, size) == 0 &&
                kav_fingerprint_finish(f, name) == 0;
    munmap(bytes, size);
    *key = (kav_recall_key){.size = size};
    memcpy(&key->dev, name, sizeof key->dev);
    memcpy(&key->ino, name + sizeof key->dev, sizeof key->ino);
    return done;
}

bool kav_recall_at_rest(int fd, const struct statx *st, const kav_recall_key *key, int64_t now_ns, bool distrust)
{
    int64_t newest = key->mtime_ns > key->ctime_ns ? key->mtime_ns : key->ctime_ns;
    if (st->stx_ctime.tv_nsec == 0) return false; /* the file system has no room for more than seconds */
    if (newest >= now_ns - KAV_RECALL_MARGIN_NS) return false;
    return !(distrust && kav_others_write(st)) && kav_unwritten(fd, st);
}

int64_t kav_recall_mount_of(int fd)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) != 0 || !(st.stx_mask & STATX_MNT_ID))
        return -1;
    return st.stx_mnt_id > INT_MAX ? -1 : (int64_t)st.stx_mnt_id;
}
