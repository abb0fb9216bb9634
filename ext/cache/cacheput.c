/* Cache file, writing side: records. New ones are gathered and written behind all others in pieces. */
#include "cachewrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GARBAGE_MIN (8u << 20)
#define SLACK_STEP  32 /* a new record has 1/32 of its length to grow into */

static void seal_head(const kav_cachefile *file, kav_record_head *head)
{
    head->seal = kav_seal(file->secret, head->place, kav_record_front(head) - offsetof(kav_record_head, place));
}

static void seal_record(const kav_cachefile *file, uint8_t *bytes)
{
    kav_record_head *head = (kav_record_head *)bytes;
    size_t front = kav_record_front(head), body = kav_record_body(head);
    if (head->extras_len) {
        uint64_t seal = kav_seal(file->secret, bytes + body, head->extras_len);
        memcpy(bytes + body - sizeof seal, &seal, sizeof seal);
    }
    head->facts_seal = kav_seal(file->secret, bytes + front, body - front);
    seal_head(file, head);
}

static int write_slot(const kav_cachefile *file, kav_cache_slot slot, uint64_t slot_at, uint64_t at,
                      const kav_record_head *head)
{
    uint64_t where = (at / KAV_CACHE_UNIT) << 24 | kav_cache_units(kav_record_body(head));
    if (slot.where == where) return 0;
    slot.where = where;
    return kav_cache_pwrite(file->fd, &slot, sizeof slot, slot_at);
}

int kav_cache_write_tail(const kav_cachefile *file, kav_cache_tail *tail)
{
    int failed = tail->length ? kav_cache_pwrite(file->fd, tail->bytes, tail->length, tail->at) : 0;
    tail->length = 0;
    return failed;
}

/* Behind all records: into the tail, or, if it is too large for that, at once. */
static int write_behind(const kav_cachefile *file, kav_cache_tail *tail, const uint8_t *bytes, uint64_t at)
{
    const kav_record_head *head = (const kav_record_head *)bytes;
    size_t length = kav_record_length(head);
    int failed = tail->length + head->capacity > KAV_CACHE_TAIL ? kav_cache_write_tail(file, tail) : 0;
    if (failed) return failed;
    if (head->capacity > KAV_CACHE_TAIL) return kav_cache_pwrite(file->fd, bytes, length, at);
    if (!tail->bytes && !(tail->bytes = malloc(KAV_CACHE_TAIL))) return -ENOMEM;
    if (!tail->length) tail->at = at;
    memcpy(tail->bytes + tail->length, bytes, length);
    memset(tail->bytes + tail->length + length, 0, head->capacity - length);
    tail->length += head->capacity;
    return 0;
}

int kav_cache_append(const kav_cachefile *file, kav_cache_tally *tally, kav_cache_tail *tail, uint8_t *bytes,
                     uint64_t slack, kav_cache_slot slot, uint64_t slot_at)
{
    kav_record_head *head = (kav_record_head *)bytes;
    uint64_t at = tally->end, room = slack / KAV_CACHE_UNIT * KAV_CACHE_UNIT;
    head->capacity = (uint32_t)(kav_cache_units(kav_record_length(head)) * KAV_CACHE_UNIT + room);
    seal_record(file, bytes);
    int failed = write_behind(file, tail, bytes, at);
    tally->end = at + head->capacity;
    if (!failed && slot.where) failed = kav_cache_write_tail(file, tail); /* until then the old record is found */
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
    size_t front = kav_record_front(head);
    seal_record(&w->file, w->bytes);
    int failed = kav_cache_pwrite(w->file.fd, w->bytes + front, kav_record_length(head) - front, at + front);
    if (!failed) failed = kav_cache_pwrite(w->file.fd, head, front, at);
    return failed ? failed : write_slot(&w->file, slot, slot_at, at, head);
}

/* Put head, generations, facts and extras one behind the other; seals come later. */
static int compose(kav_cachewrite *w, const uint8_t place[16], const uint8_t generations[KAV_FACT_GENERATIONS][16],
                   const kav_cache_item *items, uint32_t count, bool split)
{
    kav_record_head head = {.count = (uint16_t)count, .split = split, .written = (uint32_t)w->tally.batch};
    memcpy(head.place, place, sizeof head.place);
    for (uint32_t i = 0; i < count; i++) {
        head.extras_len += items[i].extra ? items[i].extra->length : 0;
        if (items[i].fact.generation >= head.generations) head.generations = items[i].fact.generation + 1;
    }
    size_t front = kav_record_front(&head), body = kav_record_body(&head), length = kav_record_length(&head);
    if (length > w->room) {
        uint8_t *grown = realloc(w->bytes, length);
        if (!grown) return -ENOMEM;
        w->bytes = grown;
        w->room = length;
    }
    memcpy(w->bytes, &head, sizeof head);
    memcpy(w->bytes + sizeof head, generations, front - sizeof head);
    kav_fact *facts = (kav_fact *)(w->bytes + front);
    uint8_t *extras = w->bytes + body;
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

/* ---- where they go ----------------------------------------------------------------------------------------------- */

bool kav_cache_head(const kav_cachefile *file, const kav_cache_slot *slot, kav_record_head *head)
{
    struct {
        kav_record_head head;
        uint8_t generations[KAV_FACT_GENERATIONS][16];
    } front;
    ssize_t n = kav_cache_pread(file->fd, &front, sizeof front, (slot->where >> 24) * KAV_CACHE_UNIT);
    if (n < 0 || !kav_record_sealed(file, &front.head, (size_t)n)) return false;
    *head = front.head;
    return true;
}

/* The slot of a place. */
static int find_site(kav_cachewrite *w, const uint8_t place[16])
{
    kav_cache_site *site = &w->site;
    *site = (kav_cache_site){0};
    int found = kav_cachefile_slot(&w->file, place, &site->slot, &site->slot_at);
    if (found < 0) return found;
    memcpy(site->place, place, sizeof site->place);
    site->taken = found;
    site->asked = true;
    /* Does it lead into what is not written yet? */
    if (found && w->tail.length && (site->slot.where >> 24) * KAV_CACHE_UNIT >= w->tail.at)
        return kav_cache_write_tail(&w->file, &w->tail);
    return 0;
}

int kav_cachewrite_read(kav_cachewrite *w, const uint8_t place[16], kav_record *record)
{
    kav_cache_site *site = &w->site;
    int found = find_site(w, place);
    if (!found && site->taken) found = kav_cachefile_read_slot(&w->file, &site->slot, record);
    if (found == 1 && memcmp(record->place, place, sizeof record->place)) found = 0;
    site->believed = found == 1;
    if (found != 1) {
        record->count = record->split = record->extras_len = 0;
        return found;
    }
    site->facts = record->count;
    site->capacity = record->capacity;
    return found;
}

/* The same without the record, and only if it was not read just now. */
static int ask_site(kav_cachewrite *w, const uint8_t place[16])
{
    kav_cache_site *site = &w->site;
    kav_record_head head;
    if (site->asked && !memcmp(site->place, place, sizeof site->place)) return 0;
    int failed = find_site(w, place);
    if (failed || !site->taken || !kav_cache_head(&w->file, &site->slot, &head)) return failed;
    site->believed = !memcmp(head.place, place, sizeof head.place);
    site->facts = head.count;
    site->capacity = head.capacity;
    return 0;
}

/* Make room for one more record of length bytes. 0, 1 = the limit leaves none, -errno. */
static int prepare(kav_cachewrite *w, uint64_t length, bool crowded)
{
    const kav_cache_tally *t = &w->tally;
    uint64_t used = t->end - kav_cache_records(w->file.slots), index = kav_cache_index_size(2 * w->file.slots);
    bool wasted = t->garbage > GARBAGE_MIN && t->garbage > used / 2;
    bool full = t->end + length > w->file.limit;
    crowded |= t->records + 1 > w->file.slots / 5 * 4;
    if (!crowded && !wasted && !full) return 0;
    if (kav_cache_records(KAV_SLOTS_MIN) + length > w->file.limit) return 1;
    w->site.asked = false;
    int failed = kav_cache_write_tail(&w->file, &w->tail);
    if (failed) return failed;
    bool grows = w->file.slots < KAV_SLOTS_MAX && t->end + KAV_CACHE_HEADER + index + length <= w->file.limit;
    if (!wasted && !full && grows) return kav_cache_grow(w);
    failed = kav_cache_rebuild(w, full || !grows);
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
    kav_cache_site *site = &w->site;
    kav_record_head *head = (kav_record_head *)w->bytes;
    size_t length = kav_record_length(head);
    int failed = ask_site(w, place);
    site->asked = false; /* what comes now changes it */
    if (failed) return failed;
    if (!site->slot_at) return NO_SLOT;
    if (site->believed) take_from(&w->tally.facts, site->facts);
    if (site->believed && length <= site->capacity) {
        head->capacity = site->capacity;
        w->tally.facts += head->count;
        return overwrite(w, (site->slot.where >> 24) * KAV_CACHE_UNIT, site->slot, site->slot_at);
    }
    if (site->taken) take_from(&w->tally.records, 1);
    if (site->believed) w->tally.garbage += site->capacity;
    return kav_cache_append(&w->file, &w->tally, &w->tail, w->bytes, site->believed ? length / 4 : length / SLACK_STEP,
                            site->slot, site->slot_at);
}

int kav_cachewrite_put(kav_cachewrite *w, const uint8_t place[16], const uint8_t generations[KAV_FACT_GENERATIONS][16],
                       const kav_cache_item *items, uint32_t count, bool split)
{
    int failed = compose(w, place, generations, items, count, split);
    if (failed) return failed;
    size_t length = kav_record_length((const kav_record_head *)w->bytes);
    failed = prepare(w, length + length / 4 + KAV_CACHE_UNIT, false);
    if (!failed) failed = settle(w, place);
    if (failed != NO_SLOT) return failed;
    failed = prepare(w, length + length / 4 + KAV_CACHE_UNIT, true); /* all buckets of this place are full */
    if (!failed) failed = settle(w, place);
    return failed == NO_SLOT ? 1 : failed;
}

int kav_cachewrite_renew(kav_cachewrite *w, const kav_record *record,
                         const uint8_t generations[KAV_FACT_GENERATIONS][16])
{
    struct {
        kav_record_head head;
        uint8_t generations[KAV_FACT_GENERATIONS][16];
    } front;
    memcpy(&front.head, record->bytes, sizeof front.head);
    memcpy(front.generations, generations, sizeof front.generations);
    front.head.written = (uint32_t)w->tally.batch;
    seal_head(&w->file, &front.head);
    return kav_cache_pwrite(w->file.fd, &front, kav_record_front(&front.head), record->at);
}
