#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Facts of one record as they will be. The arrays belong to it, what the extras point to does not. */
typedef struct {
    kav_cache_item *items;
    size_t count;
    uint8_t generations[KAV_FACT_GENERATIONS][16];
    bool changed; /* against what the record is */
    bool renewed;
} merged;

static int merge_level(kav_merge *m, const uint8_t place[16], const kav_pending **items, size_t count, bool renew,
                       unsigned depth);

/* ---- what stays of a record -------------------------------------------------------------------------------------- */

/* Where the record's generations go when the one of now comes first; KAV_FACT_GENERATIONS: it is lost. Those without
 * a fact make no claim. */
static void order_generations(const kav_record *record, const uint8_t now[16], merged *out,
                              uint8_t to[KAV_FACT_GENERATIONS])
{
    bool used[KAV_FACT_GENERATIONS] = {false};
    uint8_t next = 1;
    for (uint32_t i = 0; i < record->count; i++) used[record->facts[i].generation] = true;
    memset(out->generations, 0, sizeof out->generations);
    memcpy(out->generations[0], now, 16);
    for (unsigned g = 0; g < KAV_FACT_GENERATIONS; g++) {
        to[g] = KAV_FACT_GENERATIONS;
        if (!memcmp(record->generations[g], now, 16)) to[g] = 0;
        else if (used[g] && next < KAV_FACT_GENERATIONS) {
            memcpy(out->generations[next], record->generations[g], 16);
            to[g] = next++;
        }
    }
}

/* Whether a fact of the record holds for the signatures of now. */
static bool holds(const kav_merge *m, kav_record *record, const kav_fact *fact)
{
    uint32_t row;
    bool wants_extra;
    const uint8_t *generation = record->generations[fact->generation];
    enum kav_judgement found = kav_judge(m->delta, m->now, generation, fact, NULL, &row, &wants_extra);
    if (found == KAV_J_DELTA && wants_extra) {
        const kav_extra *extra = kav_cachefile_extra(&m->writer->file, record, fact);
        if (extra) found = kav_judge(m->delta, m->now, generation, fact, extra, &row, &wants_extra);
    }
    return found == KAV_J_HOLDS;
}

/* A renewal that concerns all facts of a record alike needs only its head written. 1 = done, 0 = it does not. */
static int renew_head(kav_merge *m, kav_record *record)
{
    uint8_t generations[KAV_FACT_GENERATIONS][16] = {{0}};
    uint8_t only = record->count ? record->facts[0].generation : 0;
    for (uint32_t i = 0; i < record->count; i++)
        if (record->facts[i].generation != only || !holds(m, record, &record->facts[i])) return 0;
    if (!memcmp(record->generations[only], m->now, 16)) return 1;
    memcpy(generations[only], m->now, 16);
    int failed = kav_cachewrite_renew(m->writer, record, (const uint8_t(*)[16])generations);
    m->renewed += !failed;
    return failed ? failed : 1;
}

/* Take a fact of the record over, if it can be. */
static void keep_old(kav_merge *m, kav_record *record, const kav_fact *fact, const uint8_t to[KAV_FACT_GENERATIONS],
                     bool renew, merged *out)
{
    kav_cache_item *item = &out->items[out->count];
    *item = (kav_cache_item){.fact = *fact};
    item->fact.generation = to[fact->generation];
    if (renew && item->fact.generation != 0 && holds(m, record, fact)) {
        item->fact.generation = 0;
        out->changed = out->renewed = true;
    }
    if (fact->extra) item->extra = kav_cachefile_extra(&m->writer->file, record, fact);
    if (item->fact.generation < KAV_FACT_GENERATIONS && (item->extra || !fact->extra)) {
        out->count++;
    } else {
        m->dropped++;
        out->changed = true;
    }
}

/* The last word about the inode of items[i]: how many items speak of it, and the fact, or NULL where it is gone. */
static size_t last_word(const kav_pending **items, size_t i, size_t count, const kav_pending **fact)
{
    size_t n = 0;
    *fact = NULL;
    for (; i + n < count && items[i + n]->fact.id.ino == items[i]->fact.id.ino; n++)
        if (items[i + n]->kind == KAV_PENDING_FACT) *fact = items[i + n];
    return n;
}

static int merge_facts(kav_merge *m, kav_record *record, const kav_pending **items, size_t count, bool renew,
                       merged *out)
{
    uint8_t to[KAV_FACT_GENERATIONS];
    uint32_t old = 0;
    size_t i = 0;
    order_generations(record, m->now, out, to);
    out->count = 0;
    out->changed = out->renewed = false;
    out->items = malloc((record->count + count + 1) * sizeof *out->items);
    if (!out->items) return -ENOMEM;
    while (old < record->count || i < count) {
        const kav_fact *have = old < record->count ? &record->facts[old] : NULL;
        if (have && (i == count || have->id.ino < items[i]->fact.id.ino)) {
            old++;
            keep_old(m, record, have, to, renew, out);
            continue;
        }
        const kav_pending *fact;
        bool known = have && have->id.ino == items[i]->fact.id.ino;
        old += known;
        i += last_word(items, i, count, &fact);
        out->changed |= known || fact;
        if (!fact) continue;
        out->items[out->count] = (kav_cache_item){.fact = fact->fact, .extra = fact->extra};
        out->items[out->count++].fact.generation = 0;
        m->kept++;
    }
    return 0;
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static bool too_large(const merged *all, unsigned depth)
{
    size_t extras = 0, facts_max = depth > 1 ? KAV_LEAF_FACTS : depth ? KAV_PART_FACTS : KAV_RECORD_FACTS;
    for (size_t i = 0; i < all->count; i++) extras += all->items[i].extra ? all->items[i].extra->length : 0;
    return all->count > facts_max || extras > (depth ? KAV_PART_EXTRAS : KAV_EXTRAS_MAX);
}

/* As many as a record can hold, from the beginning. */
static size_t fitting(const merged *all)
{
    size_t extras = 0, n = 0;
    for (; n < all->count && n < KAV_RECORD_FACTS; n++) {
        extras += all->items[n].extra ? all->items[n].extra->length : 0;
        if (extras > KAV_EXTRAS_MAX) break;
    }
    return n;
}

static int put(kav_merge *m, const uint8_t place[16], const merged *all, size_t count, bool split)
{
    int failed = kav_cachewrite_put(m->writer, place, (const uint8_t(*)[16])all->generations, all->items,
                                    (uint32_t)count, split);
    if (failed == 1) m->dropped += count;
    return failed == 1 ? 0 : failed;
}

static int put_or_split(kav_merge *m, const uint8_t place[16], const merged *all, unsigned depth)
{
    if (!too_large(all, depth)) return put(m, place, all, all->count, false);
    if (depth == KAV_PART_DEPTH) {
        size_t n = fitting(all);
        m->dropped += all->count - n;
        return put(m, place, all, n, false);
    }
    size_t begin[KAV_PARTS + 1] = {0}, next[KAV_PARTS];
    kav_cache_item *items = malloc(all->count * sizeof *items);
    uint8_t *numbers = malloc(all->count);
    int failed = items && numbers ? 0 : -ENOMEM;
    for (size_t i = 0; i < all->count && !failed; i++)
        begin[1 + (numbers[i] = (uint8_t)kav_part_number(place, all->items[i].fact.id.ino))]++;
    for (unsigned n = 0; n < KAV_PARTS; n++) next[n] = begin[n], begin[n + 1] += begin[n];
    for (size_t i = 0; i < all->count && !failed; i++) items[next[numbers[i]]++] = all->items[i];
    for (unsigned n = 0; n < KAV_PARTS && !failed; n++) {
        merged part = {.items = items + begin[n], .count = begin[n + 1] - begin[n]};
        uint8_t below[16];
        memcpy(part.generations, all->generations, sizeof part.generations);
        kav_part_at(place, n, depth, below);
        if (part.count) failed = put_or_split(m, below, &part, depth + 1);
    }
    free(items);
    free(numbers);
    return failed ? failed : put(m, place, all, 0, true);
}

/* A split record: each part on its own. The record is marked as written in this batch, so that it is not older than
 * what it leads to. */
static int merge_split(kav_merge *m, const uint8_t place[16], const kav_pending **items, size_t count, bool renew,
                       unsigned depth)
{
    kav_record *record = &m->records[depth];
    int failed = 0;
    if (record->written != (uint32_t)m->writer->tally.batch)
        failed = kav_cachewrite_renew(m->writer, record, (const uint8_t(*)[16])record->generations);
    size_t begin[KAV_PARTS + 1] = {0}, next[KAV_PARTS];
    const kav_pending **parts = malloc((count + 1) * sizeof *parts);
    uint8_t *numbers = malloc(count + 1);
    if (!failed && (!parts || !numbers)) failed = -ENOMEM;
    for (size_t i = 0; i < count && !failed; i++)
        begin[1 + (numbers[i] = (uint8_t)kav_part_number(place, items[i]->fact.id.ino))]++;
    for (unsigned n = 0; n < KAV_PARTS; n++) next[n] = begin[n], begin[n + 1] += begin[n];
    for (size_t i = 0; i < count && !failed; i++) parts[next[numbers[i]]++] = items[i];
    for (unsigned n = 0; n < KAV_PARTS && !failed; n++) {
        uint8_t below[16];
        size_t some = begin[n + 1] - begin[n];
        kav_part_at(place, n, depth, below);
        if (some || renew) failed = merge_level(m, below, parts + begin[n], some, renew, depth + 1);
    }
    free(parts);
    free(numbers);
    return failed;
}

static int merge_level(kav_merge *m, const uint8_t place[16], const kav_pending **items, size_t count, bool renew,
                       unsigned depth)
{
    kav_record *record = &m->records[depth];
    int found = kav_cachewrite_read(m->writer, place, record);
    if (found < 0) return found;
    if (found && record->split && depth < KAV_PART_DEPTH) return merge_split(m, place, items, count, renew, depth);
    if (!found) record->count = 0;
    if (!count) {
        if (!record->count) return 0;
        int done = renew_head(m, record);
        if (done) return done < 0 ? done : 0;
    }
    if (!found) memset(record->generations, 0, sizeof record->generations);
    merged all;
    int failed = merge_facts(m, record, items, count, renew, &all);
    if (!failed && all.changed) failed = put_or_split(m, place, &all, depth);
    if (!failed) m->renewed += all.renewed;
    free(all.items);
    return failed;
}

int kav_merge_place(kav_merge *m, const uint8_t place[16], const kav_pending **items, size_t count, bool renew)
{
    return merge_level(m, place, items, count, renew, 0);
}

void kav_merge_free(kav_merge *m)
{
    for (unsigned i = 0; i <= KAV_PART_DEPTH; i++) kav_record_free(&m->records[i]);
}
