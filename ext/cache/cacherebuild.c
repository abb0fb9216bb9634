/* Cache file, made anew: into NAME.new, which takes the name when it is whole. Under the lock.
 *
 * Records keep their order, which is that of walks: neighbours in a tree are neighbours on the disk. Memory stays flat:
 * the file is copied in windows, for each of which the index is read once, and which records are too old to keep is
 * found by counting bytes by age. */
#include "cachewrite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGES   1024           /* steps of age that are told apart */
#define WINDOW (128ull << 20) /* bytes */

typedef struct {
    uint64_t records, bytes, newest; /* newest: number of a batch */
    uint64_t by_age[AGES];           /* bytes */
} survey;

typedef struct {
    const kav_cachefile *from;
    kav_cachefile to;
    kav_cache_tally tally;
    kav_cache_tail tail;
    kav_record record;
    uint8_t *bytes;
    size_t room;
    const kav_cache_tally *old; /* when generations were used */
    survey seen;
    uint64_t keep;   /* bytes; UINT64_MAX = all */
    uint64_t oldest; /* the last step of age that is kept, and how much of it */
    uint64_t oldest_left;
    uint64_t window; /* where the window begins, and where the next one does: records may lie far apart */
    uint64_t next_window;
    kav_cache_slot *slots; /* of the records in it */
    size_t count, slots_room;
} rebuild;

static uint64_t age_step(uint64_t written, uint64_t newest)
{
    uint64_t age = written < newest ? newest - written : 0;
    return age * AGES / (newest + 1);
}

/* What to do with a record: 0 to go on, -errno. */
typedef int visit(rebuild *r, const kav_cache_slot *slot);

static int for_each_slot(rebuild *r, visit *visitor)
{
    kav_cache_slot bucket[KAV_BUCKET_SLOTS];
    uint64_t size = kav_cache_index_size(r->from->slots);
    for (uint64_t at = 0; at < size; at += sizeof bucket) {
        ssize_t n = kav_cache_pread(r->from->fd, bucket, sizeof bucket, r->from->index + at);
        if (n < 0) return (int)n;
        for (unsigned k = 0; k < (size_t)n / sizeof *bucket; k++) {
            int failed = bucket[k].tag ? visitor(r, &bucket[k]) : 0;
            if (failed) return failed;
        }
    }
    return 0;
}

static int count_record(rebuild *r, const kav_cache_slot *slot)
{
    kav_record_head head;
    if (!kav_cache_head(r->from, slot, &head)) return 0;
    r->seen.records++;
    r->seen.bytes += kav_record_length(&head);
    if (head.written > r->seen.newest) r->seen.newest = head.written;
    return 0;
}

static int count_age(rebuild *r, const kav_cache_slot *slot)
{
    kav_record_head head;
    if (!kav_cache_head(r->from, slot, &head)) return 0;
    r->seen.by_age[age_step(head.written, r->seen.newest)] += kav_record_length(&head) + KAV_CACHE_UNIT;
    return 0;
}

static void note_generations(rebuild *r)
{
    kav_cache_tally *t = &r->tally;
    for (unsigned g = 0; g < KAV_FACT_GENERATIONS; g++) {
        const uint8_t *generation = r->record.generations[g];
        uint32_t at = 0, known = 0;
        bool used = false;
        for (uint32_t i = 0; i < r->record.count && !used; i++) used = r->record.facts[i].generation == g;
        while (at < t->generation_count && memcmp(t->generations[at].generation, generation, 16)) at++;
        if (!used || at < t->generation_count || at == KAV_CACHE_GENERATIONS) continue;
        while (known < r->old->generation_count && memcmp(r->old->generations[known].generation, generation, 16))
            known++;
        memcpy(t->generations[at].generation, generation, 16);
        t->generations[at].used = known < r->old->generation_count ? r->old->generations[known].used : 0;
        t->generation_count++;
    }
}

static bool too_old(rebuild *r, uint64_t length)
{
    if (r->keep == UINT64_MAX) return false;
    uint64_t step = age_step(r->record.written, r->seen.newest);
    if (step != r->oldest) return step > r->oldest;
    if (length + KAV_CACHE_UNIT > r->oldest_left) return true;
    r->oldest_left -= length + KAV_CACHE_UNIT;
    return false;
}

static int copy_record(rebuild *r, const kav_cache_slot *old)
{
    kav_cache_slot slot;
    uint64_t slot_at;
    int found = kav_cachefile_read_slot(r->from, old, &r->record);
    if (found < 0) return found == -EIO ? 0 : found; /* what cannot be read is lost */
    if (!found || (!r->record.count && !r->record.split)) return 0;
    if (!kav_cachefile_load_extras(r->from, &r->record)) return 0;
    size_t body = kav_record_body((const kav_record_head *)r->record.bytes), length = body + r->record.extras_len;
    if (too_old(r, length)) return 0;
    if (length > r->room) {
        uint8_t *grown = realloc(r->bytes, length);
        if (!grown) return -ENOMEM;
        r->bytes = grown;
        r->room = length;
    }
    memcpy(r->bytes, r->record.bytes, body);
    if (r->record.extras_len) memcpy(r->bytes + body, r->record.extras, r->record.extras_len);
    found = kav_cachefile_slot(&r->to, r->record.place, &slot, &slot_at);
    if (found < 0) return found;
    if (found || !slot_at) return 0; /* twice in the index, or no room: that costs a scan */
    note_generations(r);
    return kav_cache_append(&r->to, &r->tally, &r->tail, r->bytes, length / 32, slot, slot_at);
}

static int note_slot(rebuild *r, const kav_cache_slot *slot)
{
    uint64_t at = (slot->where >> 24) * KAV_CACHE_UNIT;
    if (at < r->window) return 0;
    if (at - r->window >= WINDOW) {
        if (at < r->next_window) r->next_window = at;
        return 0;
    }
    if (r->count == r->slots_room) {
        size_t room = r->slots_room ? 2 * r->slots_room : 4096;
        kav_cache_slot *grown = realloc(r->slots, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        r->slots = grown;
        r->slots_room = room;
    }
    r->slots[r->count++] = *slot;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const kav_cache_slot *x = a, *y = b;
    return x->where < y->where ? -1 : x->where > y->where;
}

static int copy_records(rebuild *r)
{
    struct stat st;
    if (fstat(r->from->fd, &st)) return -errno;
    int failed = 0;
    for (r->window = 0; r->window < (uint64_t)st.st_size && !failed; r->window = r->next_window) {
        r->next_window = UINT64_MAX;
        r->count = 0;
        failed = for_each_slot(r, note_slot);
        if (!failed && r->count) qsort(r->slots, r->count, sizeof *r->slots, by_offset);
        for (size_t i = 0; i < r->count && !failed; i++) failed = copy_record(r, &r->slots[i]);
    }
    return failed;
}

/* Count what is there, and where to cut. */
static int plan(rebuild *r, bool cut, uint64_t limit)
{
    int failed = for_each_slot(r, count_record);
    if (failed || !cut) return failed;
    uint64_t index = kav_cache_records(r->to.slots), keep = limit / 4 * 3;
    keep = keep > index ? keep - index : 0;
    if (r->seen.bytes + r->seen.records * KAV_CACHE_UNIT <= keep) return 0;
    failed = for_each_slot(r, count_age);
    r->keep = r->oldest_left = keep;
    for (; r->oldest < AGES && r->seen.by_age[r->oldest] <= r->oldest_left; r->oldest++)
        r->oldest_left -= r->seen.by_age[r->oldest];
    return failed;
}

static int make_file(rebuild *r, const kav_cachewrite *w)
{
    uint64_t slots = KAV_SLOTS_MIN;
    while (slots < 2 * r->seen.records && slots < KAV_SLOTS_MAX && kav_cache_records(slots) < w->file.limit / 4)
        slots *= 2;
    unlinkat(w->folder, w->name_new, 0);
    r->to.fd = openat(w->folder, w->name_new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (r->to.fd < 0) return -errno;
    r->to.slots = slots;
    r->to.index = KAV_CACHE_HEADER;
    r->tally.end = kav_cache_records(slots);
    if (getrandom(r->to.id, sizeof r->to.id, 0) != sizeof r->to.id) return -EIO;
    if (ftruncate(r->to.fd, (off_t)r->tally.end)) return -errno;
    return kav_cache_write_stamp(&r->to);
}

static int finish(rebuild *r, kav_cachewrite *w)
{
    r->tally.batch = w->tally.batch > r->seen.newest ? w->tally.batch : r->seen.newest;
    int failed = kav_cache_write_tail(&r->to, &r->tail);
    if (!failed) failed = kav_cache_write_tally(&r->to, &r->tally);
    if (failed) return failed;
    if (fsync(r->to.fd)) return -errno;
    if (renameat(w->folder, w->name_new, w->folder, w->name)) return -errno;
    if (w->file.fd >= 0) close(w->file.fd);
    w->file = r->to;
    w->tally = r->tally;
    w->site.asked = false;
    return 0;
}

int kav_cache_rebuild(kav_cachewrite *w, bool cut)
{
    rebuild *r = calloc(1, sizeof *r);
    if (!r) return -ENOMEM;
    r->from = &w->file;
    r->to = w->file;
    r->to.fd = -1;
    r->old = &w->tally;
    r->keep = UINT64_MAX;
    bool empty = w->file.fd < 0;
    int failed = empty ? 0 : plan(r, cut, w->file.limit);
    if (!failed && !empty) failed = kav_cache_write_tail(&w->file, &w->tail);
    if (!failed) failed = make_file(r, w);
    if (!failed && !empty) failed = copy_records(r);
    if (!failed) failed = finish(r, w);
    if (failed && r->to.fd >= 0) {
        close(r->to.fd);
        unlinkat(w->folder, w->name_new, 0);
    }
    kav_record_free(&r->record);
    free(r->tail.bytes);
    free(r->bytes);
    free(r->slots);
    free(r);
    return failed;
}
