/* Cache file, writing side. */
#include "cachewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GARBAGE_MIN (8u << 20)

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

/* ---- open, lock -------------------------------------------------------------------------------------------------- */

/* Adopt the file that has the name now: 0, -ENOENT, -EINVAL, -errno. */
static int adopt_file(kav_cachewrite *w)
{
    if (w->file.fd >= 0) close(w->file.fd);
    w->file.fd = openat(w->folder, w->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (w->file.fd < 0) return errno == ELOOP ? -EINVAL : -errno;
    struct stat st;
    kav_cachefile *opened = NULL;
    int failed = 0;
    if (fstat(w->file.fd, &st)) failed = -errno;
    else if (!S_ISREG(st.st_mode)) failed = -EINVAL;
    else {
        enum kav_cache_error error = kav_cachefile_open(w->file.fd, w->file.secret, &opened);
        if (error) failed = error == KAV_CACHE_SYSTEM ? -errno : -EINVAL;
    }
    if (opened) {
        w->file.slots = opened->slots;
        kav_cachefile_close(opened);
    } else {
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

int kav_cachewrite_begin(kav_cachewrite *w, bool patient)
{
    int failed = take_lock(w, patient);
    if (failed) return failed;
    if (!is_current(w)) failed = adopt_file(w);
    memset(&w->tally, 0, sizeof w->tally);
    if (failed == -ENOENT) {
        failed = kav_cache_rebuild(w, false);
    } else if (!failed) {
        int tally = kav_cachefile_tally(&w->file, &w->tally);
        if (tally == -EILSEQ) failed = kav_cache_rebuild(w, false);
        else failed = tally;
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
    int failed = kav_cache_write_tally(&w->file, &w->tally);
    flock(w->lock, LOCK_UN);
    return failed;
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
    free(w->bytes);
    *w = (kav_cachewrite){.file.fd = -1, .lock = -1};
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static size_t record_length(const kav_record_head *head)
{
    return sizeof *head + head->count * sizeof(kav_fact) + head->extras_len;
}

static void seal_record(const kav_cachefile *file, uint8_t *bytes)
{
    kav_record_head *head = (kav_record_head *)bytes;
    size_t facts = head->count * sizeof(kav_fact);
    head->facts_seal = kav_seal(file->secret, bytes + sizeof *head, facts);
    head->extras_seal = kav_seal(file->secret, bytes + sizeof *head + facts, head->extras_len);
    head->seal = kav_seal(file->secret, head, offsetof(kav_record_head, seal));
}

static int write_slot(const kav_cachefile *file, kav_cache_slot slot, uint64_t slot_at, uint64_t at,
                      const kav_record_head *head)
{
    uint64_t where = (at / KAV_CACHE_UNIT) << 24 | kav_cache_units(sizeof *head + head->count * sizeof(kav_fact));
    if (slot.where == where) return 0;
    slot.where = where;
    return kav_cache_pwrite(file->fd, &slot, sizeof slot, slot_at);
}

int kav_cache_append(const kav_cachefile *file, kav_cache_tally *tally, uint8_t *bytes, uint64_t slack,
                     kav_cache_slot slot, uint64_t slot_at)
{
    kav_record_head *head = (kav_record_head *)bytes;
    size_t length = record_length(head);
    uint64_t at = tally->end;
    head->capacity = (uint32_t)(kav_cache_units(length + slack) * KAV_CACHE_UNIT);
    seal_record(file, bytes);
    int failed = kav_cache_pwrite(file->fd, bytes, length, at);
    tally->end = at + head->capacity;
    if (!failed) failed = write_slot(file, slot, slot_at, at, head);
    if (failed) return failed;
    tally->records++;
    tally->facts += head->count;
    return 0;
}

/* Facts and extras first, the head last: what is torn cannot be believed. */
static int overwrite(const kav_cachewrite *w, uint64_t at, kav_cache_slot slot, uint64_t slot_at)
{
    kav_record_head *head = (kav_record_head *)w->bytes;
    seal_record(&w->file, w->bytes);
    int failed =
        kav_cache_pwrite(w->file.fd, w->bytes + sizeof *head, record_length(head) - sizeof *head, at + sizeof *head);
    if (!failed) failed = kav_cache_pwrite(w->file.fd, head, sizeof *head, at);
    return failed ? failed : write_slot(&w->file, slot, slot_at, at, head);
}

/* Put head, facts and extras one behind the other; seals come later. */
static int compose(kav_cachewrite *w, const uint8_t place[16], const uint8_t generations[KAV_FACT_GENERATIONS][16],
                   const kav_cache_item *items, uint32_t count, bool split)
{
    kav_record_head head = {.count = count, .split = split, .written = w->tally.batch};
    memcpy(head.place, place, sizeof head.place);
    memcpy(head.generations, generations, sizeof head.generations);
    for (uint32_t i = 0; i < count; i++) head.extras_len += items[i].extra ? items[i].extra->length : 0;
    size_t length = record_length(&head);
    if (length > w->room) {
        uint8_t *grown = realloc(w->bytes, length);
        if (!grown) return -ENOMEM;
        w->bytes = grown;
        w->room = length;
    }
    memcpy(w->bytes, &head, sizeof head);
    kav_fact *facts = (kav_fact *)(w->bytes + sizeof head);
    uint8_t *extras = (uint8_t *)(facts + count);
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        facts[i] = items[i].fact;
        facts[i].extra = items[i].extra ? used + 1 : 0;
        if (!items[i].extra) continue;
        memcpy(extras + used, items[i].extra, items[i].extra->length);
        used += items[i].extra->length;
    }
    return 0;
}

/* The head that a slot leads to, if it is that of this place. */
static bool read_head(const kav_cachefile *file, const kav_cache_slot *slot, const uint8_t place[16],
                      kav_record_head *head)
{
    uint64_t at = (slot->where >> 24) * KAV_CACHE_UNIT;
    if (at < kav_cache_records(file->slots)) return false;
    if (kav_cache_pread(file->fd, head, sizeof *head, at) != sizeof *head) return false;
    return !memcmp(head->place, place, sizeof head->place) &&
           head->seal == kav_seal(file->secret, head, offsetof(kav_record_head, seal));
}

/* Make room for one more record of length bytes. 0, 1 = the limit leaves none, -errno. */
static int prepare(kav_cachewrite *w, uint64_t length)
{
    const kav_cache_tally *t = &w->tally;
    uint64_t used = t->end - kav_cache_records(w->file.slots);
    bool crowded = t->records + 1 > w->file.slots / 10 * 7;
    bool wasted = t->garbage > GARBAGE_MIN && t->garbage > used / 2;
    bool full = t->end + length > w->file.limit;
    if (!crowded && !wasted && !full) return 0;
    if (kav_cache_records(KAV_SLOTS_MIN) + length > w->file.limit) return 1;
    int failed = kav_cache_rebuild(w, full);
    if (failed) return failed;
    return w->tally.end + length > w->file.limit;
}

static void take_from(uint64_t *sum, uint64_t n)
{
    *sum -= n < *sum ? n : *sum; /* after a kill the sums are only near */
}

enum { NO_SLOT = 2 };

/* Write the composed record where the old one stands, or behind all others. 0, NO_SLOT, -errno. */
static int settle(kav_cachewrite *w, const uint8_t place[16])
{
    kav_cache_slot slot;
    kav_record_head old, *head = (kav_record_head *)w->bytes;
    uint64_t slot_at;
    size_t length = record_length(head);
    int found = kav_cachefile_slot(&w->file, place, &slot, &slot_at);
    if (found < 0) return found;
    if (!slot_at) return NO_SLOT;
    bool known = found && read_head(&w->file, &slot, place, &old);
    if (known) take_from(&w->tally.facts, old.count);
    if (known && length <= old.capacity) {
        head->capacity = old.capacity;
        w->tally.facts += head->count;
        return overwrite(w, (slot.where >> 24) * KAV_CACHE_UNIT, slot, slot_at);
    }
    if (found) take_from(&w->tally.records, 1);
    if (known) w->tally.garbage += old.capacity;
    return kav_cache_append(&w->file, &w->tally, w->bytes, known ? length / 4 : length / 32, slot, slot_at);
}

int kav_cachewrite_put(kav_cachewrite *w, const uint8_t place[16], const uint8_t generations[KAV_FACT_GENERATIONS][16],
                       const kav_cache_item *items, uint32_t count, bool split)
{
    int failed = compose(w, place, generations, items, count, split);
    if (failed) return failed;
    size_t length = record_length((const kav_record_head *)w->bytes);
    failed = prepare(w, length + length / 4 + KAV_CACHE_UNIT);
    if (!failed) failed = settle(w, place);
    if (failed != NO_SLOT) return failed;
    failed = kav_cache_rebuild(w, false); /* all buckets of this place are full, though the index is not */
    if (!failed) failed = settle(w, place);
    return failed == NO_SLOT ? 1 : failed;
}

int kav_cachewrite_renew(kav_cachewrite *w, const kav_record *record,
                         const uint8_t generations[KAV_FACT_GENERATIONS][16])
{
    kav_record_head head;
    memcpy(&head, record->bytes, sizeof head);
    memcpy(head.generations, generations, sizeof head.generations);
    head.written = w->tally.batch;
    head.seal = kav_seal(w->file.secret, &head, offsetof(kav_record_head, seal));
    return kav_cache_pwrite(w->file.fd, &head, sizeof head, record->at);
}
