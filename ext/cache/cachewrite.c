/* Cache file, writing side: open, lock, batches. */
#include "cachewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int kav_cache_pwrite(int fd, const void *bytes, size_t length, uint64_t at)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = pwrite(fd, (const uint8_t *)bytes + done, length - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO;
        done += (size_t)n;
    }
    return 0;
}

int kav_cache_write_tally(const kav_cachefile *file, kav_cache_tally *tally)
{
    tally->seal = kav_seal(file->secret, tally, offsetof(kav_cache_tally, seal));
    return kav_cache_pwrite(file->fd, tally, sizeof *tally, KAV_CACHE_TALLY);
}

int kav_cache_write_stamp(const kav_cachefile *file)
{
    kav_cache_stamp stamp = {.magic = KAV_CACHE_MAGIC,
                             .version = KAV_CACHE_VERSION,
                             .slots = file->slots,
                             .limit = file->limit,
                             .index = file->index};
    memcpy(stamp.id, file->id, sizeof stamp.id);
    stamp.seal = kav_seal(file->secret, &stamp, offsetof(kav_cache_stamp, seal));
    return kav_cache_pwrite(file->fd, &stamp, sizeof stamp, 0);
}

/* ---- open, lock -------------------------------------------------------------------------------------------------- */

/* Where the index stands by now; the limit stays the one that this writer was given. 0, -EINVAL, -errno. */
static int adopt_stamp(kav_cachewrite *w)
{
    uint64_t limit = w->file.limit;
    enum kav_cache_error error = kav_cachefile_stamp(&w->file);
    w->file.limit = limit;
    return !error ? 0 : error == KAV_CACHE_SYSTEM ? -errno : -EINVAL;
}

/* Adopt the file that has the name now: 0, -ENOENT, -EINVAL, -errno. */
static int adopt_file(kav_cachewrite *w)
{
    if (w->file.fd >= 0) close(w->file.fd);
    w->file.fd = openat(w->folder, w->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (w->file.fd < 0) return errno == ELOOP ? -EINVAL : -errno;
    struct stat st;
    int failed = 0;
    if (fstat(w->file.fd, &st)) failed = -errno;
    else if (!S_ISREG(st.st_mode)) failed = -EINVAL;
    else failed = adopt_stamp(w);
    if (failed) {
        close(w->file.fd);
        w->file.fd = -1;
    }
    return failed;
}

/* Whether the name still leads to the file that is open. */
static bool is_current(const kav_cachewrite *w)
{
    struct stat ours, theirs;
    if (w->file.fd < 0 || fstat(w->file.fd, &ours)) return false;
    if (fstatat(w->folder, w->name, &theirs, AT_SYMLINK_NOFOLLOW)) return false;
    return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

static int take_lock(const kav_cachewrite *w, bool patient)
{
    const struct timespec moment = {.tv_nsec = 5 * 1000 * 1000};
    for (unsigned tries = patient ? 18 : 0;; tries--) { /* less than 100 ms, the pauses being a little longer */
        if (!flock(w->lock, LOCK_EX | LOCK_NB)) return 0;
        if (errno != EWOULDBLOCK && errno != EINTR) return -errno;
        if (!tries) return -EAGAIN;
        nanosleep(&moment, NULL);
    }
}

/* Whether the index is not all there: it grew and the power went. */
static bool is_cut(const kav_cachefile *file)
{
    struct stat st;
    return !fstat(file->fd, &st) && (uint64_t)st.st_size < file->index + kav_cache_index_size(file->slots);
}

int kav_cachewrite_begin(kav_cachewrite *w, bool patient)
{
    int failed = take_lock(w, patient);
    if (failed) return failed;
    if (!is_current(w)) failed = adopt_file(w);
    else failed = adopt_stamp(w);
    memset(&w->tally, 0, sizeof w->tally);
    w->tail.length = 0;
    w->site.asked = false;
    if (failed == -ENOENT) {
        failed = kav_cache_rebuild(w, false);
    } else if (!failed) {
        failed = kav_cachefile_tally(&w->file, &w->tally);
        if (failed == -EILSEQ || (!failed && is_cut(&w->file))) failed = kav_cache_rebuild(w, false);
    }
    struct stat st;
    if (!failed && fstat(w->file.fd, &st)) failed = -errno;
    if (failed) {
        flock(w->lock, LOCK_UN);
        return failed;
    }
    /* A writer that was killed may have left records behind the end it knew. */
    uint64_t length = kav_cache_units((uint64_t)st.st_size) * KAV_CACHE_UNIT;
    if (w->tally.end < length) w->tally.end = length;
    w->tally.batch++;
    return 0;
}

static void note_generation(kav_cache_tally *tally, const uint8_t generation[16])
{
    uint32_t at = 0, oldest = 0;
    for (; at < tally->generation_count; at++) {
        if (!memcmp(tally->generations[at].generation, generation, 16)) break;
        if (tally->generations[at].used < tally->generations[oldest].used) oldest = at;
    }
    if (at == KAV_CACHE_GENERATIONS) at = oldest;
    else if (at == tally->generation_count) tally->generation_count++;
    memcpy(tally->generations[at].generation, generation, 16);
    tally->generations[at].used = (int64_t)time(NULL);
}

int kav_cachewrite_end(kav_cachewrite *w, const uint8_t generation[16])
{
    if (generation) note_generation(&w->tally, generation);
    int failed = kav_cache_write_tail(&w->file, &w->tail);
    int sums = kav_cache_write_tally(&w->file, &w->tally);
    flock(w->lock, LOCK_UN);
    return failed ? failed : sums;
}

static char *joined(const char *name, const char *ending)
{
    size_t length = strlen(name), more = strlen(ending) + 1;
    char *out = malloc(length + more);
    if (!out) return NULL;
    memcpy(out, name, length);
    memcpy(out + length, ending, more);
    return out;
}

int kav_cachewrite_open(kav_cachewrite *w, int folder, const char *name, const uint8_t secret[KAV_SECRET],
                        uint64_t limit)
{
    *w = (kav_cachewrite){.file.fd = -1, .file.limit = limit, .folder = folder, .lock = -1};
    memcpy(w->file.secret, secret, KAV_SECRET);
    char *lock_name = joined(name, ".lock");
    w->name = joined(name, "");
    w->name_new = joined(name, ".new");
    int failed = -ENOMEM;
    if (w->name && w->name_new && lock_name) {
        w->lock = openat(folder, lock_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
        failed = w->lock < 0 ? -errno : adopt_file(w);
    }
    free(lock_name);
    if (failed == -ENOENT && w->lock >= 0) {
        failed = kav_cachewrite_begin(w, false);
        if (!failed) failed = kav_cachewrite_end(w, NULL);
        if (failed == -EAGAIN) failed = 0;
    }
    if (failed) kav_cachewrite_close(w);
    return failed;
}

void kav_cachewrite_close(kav_cachewrite *w)
{
    if (w->file.fd >= 0) close(w->file.fd);
    if (w->lock >= 0) close(w->lock);
    free(w->name);
    free(w->name_new);
    free(w->tail.bytes);
    free(w->bytes);
    *w = (kav_cachewrite){.file.fd = -1, .lock = -1};
}
