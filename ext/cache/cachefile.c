/* Cache file, reading side. cachelayout.h has the structures.
 *
 * Every number that was read is checked before it is used, and nothing is believed whose seal is wrong. */
#include "cachelayout.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FRONT_MAX (sizeof(kav_record_head) + KAV_FACT_GENERATIONS * 16)
#define READ_MAX  (FRONT_MAX + KAV_RECORD_FACTS * sizeof(kav_fact) + sizeof(uint64_t))
#define TRIES     16 /* to read what a writer may be writing at the moment */

ssize_t kav_cache_pread(int fd, void *out, size_t length, uint64_t at)
{
    size_t have = 0;
    while (have < length) {
        ssize_t n = pread(fd, (uint8_t *)out + have, length - have, (off_t)(at + have));
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static bool slots_sound(uint64_t slots)
{
    return slots >= KAV_SLOTS_MIN && slots <= KAV_SLOTS_MAX && !(slots & (slots - 1));
}

static enum kav_cache_error read_stamp(const kav_cachefile *file, kav_cache_stamp *stamp)
{
    ssize_t n = kav_cache_pread(file->fd, stamp, sizeof *stamp, 0);
    if (n < 0) {
        errno = (int)-n;
        return KAV_CACHE_SYSTEM;
    }
    if (n >= 12 && (memcmp(stamp->magic, KAV_CACHE_MAGIC, 8) || stamp->version != KAV_CACHE_VERSION))
        return KAV_CACHE_FOREIGN;
    if ((size_t)n < sizeof *stamp || stamp->seal != kav_seal(file->secret, stamp, offsetof(kav_cache_stamp, seal)))
        return KAV_CACHE_DAMAGED;
    return KAV_CACHE_OK;
}

enum kav_cache_error kav_cachefile_stamp(kav_cachefile *file)
{
    kav_cache_stamp stamp;
    struct stat st;
    enum kav_cache_error error = KAV_CACHE_DAMAGED;
    for (unsigned tries = 0; error == KAV_CACHE_DAMAGED && tries < TRIES; tries++) error = read_stamp(file, &stamp);
    if (error) return error;
    if (fstat(file->fd, &st)) return KAV_CACHE_SYSTEM;
    /* An index that grew may be lost with the power: then it is empty. */
    if (!slots_sound(stamp.slots) || (uint64_t)st.st_size < kav_cache_records(KAV_SLOTS_MIN)) return KAV_CACHE_DAMAGED;
    if (stamp.index < KAV_CACHE_HEADER || stamp.index >= INT64_MAX - kav_cache_index_size(stamp.slots))
        return KAV_CACHE_DAMAGED;
    file->slots = stamp.slots;
    file->index = stamp.index;
    file->limit = stamp.limit;
    memcpy(file->id, stamp.id, sizeof file->id);
    return KAV_CACHE_OK;
}

enum kav_cache_error kav_cachefile_open(int fd, const uint8_t secret[KAV_SECRET], kav_cachefile **out)
{
    *out = NULL;
    kav_cachefile *file = calloc(1, sizeof *file);
    if (!file) return KAV_CACHE_SYSTEM;
    file->fd = fd;
    memcpy(file->secret, secret, KAV_SECRET);
    enum kav_cache_error error = kav_cachefile_stamp(file);
    if (error) free(file);
    else *out = file;
    return error;
}

void kav_cachefile_close(kav_cachefile *file)
{
    free(file);
}

static int make_room(uint8_t **bytes, size_t *room, size_t length)
{
    if (length <= *room) return 0;
    size_t wanted = length < 4096 ? 4096 : length + length / 4;
    uint8_t *grown = realloc(*bytes, wanted);
    if (!grown) return -ENOMEM;
    *bytes = grown;
    *room = wanted;
    return 0;
}

/* Facts in order, each of a generation that the record can have, with its extra (if any) inside the extras. */
static bool facts_sound(const kav_fact *facts, const kav_record_head *head)
{
    for (uint32_t i = 0; i < head->count; i++) {
        if (facts[i].generation >= head->generations || facts[i].extra > head->extras_len) return false;
        if (i && facts[i - 1].id.ino >= facts[i].id.ino) return false;
    }
    return true;
}

bool kav_record_sealed(const kav_cachefile *file, const kav_record_head *head, size_t have)
{
    if (have < sizeof *head || head->generations > KAV_FACT_GENERATIONS || have < kav_record_front(head)) return false;
    return head->seal == kav_seal(file->secret, head->place, kav_record_front(head) - offsetof(kav_record_head, place));
}

static bool adopt(const kav_cachefile *file, kav_record *record, size_t have)
{
    const kav_record_head *head = (const kav_record_head *)record->bytes;
    if (!kav_record_sealed(file, head, have)) return false;
    if (head->count > KAV_RECORD_FACTS || head->extras_len > KAV_EXTRAS_MAX) return false;
    size_t front = kav_record_front(head), body = kav_record_body(head), facts = head->count * sizeof(kav_fact);
    if (body > have || kav_record_length(head) > head->capacity) return false;
    if (head->facts_seal != kav_seal(file->secret, record->bytes + front, body - front)) return false;
    record->facts = (const kav_fact *)(record->bytes + front);
    if (!facts_sound(record->facts, head)) return false;
    memcpy(record->place, head->place, sizeof record->place);
    memset(record->generations, 0, sizeof record->generations);
    memcpy(record->generations, head + 1, front - sizeof *head);
    if (head->extras_len) memcpy(&record->extras_seal, record->bytes + front + facts, sizeof record->extras_seal);
    record->count = head->count;
    record->split = head->split;
    record->written = head->written;
    record->capacity = head->capacity;
    record->extras_at = record->at + body;
    record->extras_len = head->extras_len;
    return true;
}

int kav_cachefile_read_slot(const kav_cachefile *file, const kav_cache_slot *slot, kav_record *record)
{
    uint64_t at = (slot->where >> 24) * KAV_CACHE_UNIT, length = (slot->where & 0xffffff) * KAV_CACHE_UNIT;
    record->count = record->split = record->extras_len = 0;
    record->extras_state = KAV_EXTRAS_UNREAD;
    if (at < KAV_CACHE_HEADER || length > READ_MAX) return 0;
    int failed = make_room(&record->bytes, &record->room, length);
    if (failed) return failed;
    ssize_t n = kav_cache_pread(file->fd, record->bytes, length, at);
    if (n < 0) return (int)n;
    record->at = at;
    return adopt(file, record, (size_t)n);
}

int kav_cachefile_read(const kav_cachefile *file, const uint8_t place[16], kav_record *record)
{
    kav_cache_slot slot;
    uint64_t at;
    record->count = record->split = record->extras_len = 0;
    record->extras_state = KAV_EXTRAS_UNREAD;
    int found = kav_cachefile_slot(file, place, &slot, &at);
    if (found == 1) found = kav_cachefile_read_slot(file, &slot, record);
    if (found == 1 && memcmp(record->place, place, sizeof record->place)) {
        record->count = record->split = record->extras_len = 0;
        found = 0;
    }
    return found;
}

bool kav_cachefile_load_extras(const kav_cachefile *file, kav_record *record)
{
    if (!record->extras_len) return true;
    if (record->extras_state == KAV_EXTRAS_UNREAD) {
        record->extras_state = KAV_EXTRAS_BAD;
        if (record->extras_len > KAV_EXTRAS_MAX) return false;
        if (make_room(&record->extras, &record->extras_room, record->extras_len)) return false;
        ssize_t n = kav_cache_pread(file->fd, record->extras, record->extras_len, record->extras_at);
        if (n != (ssize_t)record->extras_len) return false;
        if (kav_seal(file->secret, record->extras, record->extras_len) != record->extras_seal) return false;
        record->extras_state = KAV_EXTRAS_READ;
    }
    return record->extras_state == KAV_EXTRAS_READ;
}

const kav_extra *kav_cachefile_extra(const kav_cachefile *file, kav_record *record, const kav_fact *fact)
{
    if (!fact->extra || fact->extra > record->extras_len || (fact->extra - 1) % 8) return NULL;
    if (!kav_cachefile_load_extras(file, record)) return NULL;
    uint32_t at = fact->extra - 1;
    const kav_extra *extra = (const kav_extra *)(record->extras + at);
    return kav_extra_sound(extra, record->extras_len - at) ? extra : NULL;
}

void kav_record_free(kav_record *record)
{
    free(record->bytes);
    free(record->extras);
    memset(record, 0, sizeof *record);
}

const kav_fact *kav_record_find(const kav_record *record, uint64_t ino)
{
    uint32_t low = 0, high = record->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (record->facts[middle].id.ino < ino) low = middle + 1;
        else high = middle;
    }
    return low < record->count && record->facts[low].id.ino == ino ? &record->facts[low] : NULL;
}

/* A reader may come while a writer is writing it: then it is read again. */
int kav_cachefile_tally(const kav_cachefile *file, kav_cache_tally *tally)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        ssize_t n = kav_cache_pread(file->fd, tally, sizeof *tally, KAV_CACHE_TALLY);
        if (n < 0) return (int)n;
        if ((size_t)n == sizeof *tally && tally->generation_count <= KAV_CACHE_GENERATIONS &&
            tally->seal == kav_seal(file->secret, tally, offsetof(kav_cache_tally, seal)))
            return 0;
    }
    return -EILSEQ;
}

int kav_cachefile_get_stats(const kav_cachefile *file, kav_cachefile_stats *stats)
{
    kav_cache_tally tally;
    struct stat st;
    int failed = kav_cachefile_tally(file, &tally);
    if (failed) return failed;
    if (fstat(file->fd, &st)) return -errno;
    uint64_t begin = kav_cache_records(file->slots); /* or so many bytes elsewhere */
    uint64_t used = tally.end > begin ? tally.end - begin : 0;
    *stats = (kav_cachefile_stats){
        .size = (uint64_t)st.st_size,
        .live = used > tally.garbage ? used - tally.garbage : 0,
        .garbage = tally.garbage,
        .records = tally.records,
        .facts = tally.facts,
        .slots = file->slots,
        .limit = file->limit,
    };
    return 0;
}

int kav_cachefile_generations(const kav_cachefile *file, kav_cache_generation out[KAV_CACHE_GENERATIONS])
{
    kav_cache_tally tally;
    int failed = kav_cachefile_tally(file, &tally);
    if (failed) return failed;
    memcpy(out, tally.generations, tally.generation_count * sizeof *out);
    return (int)tally.generation_count;
}
