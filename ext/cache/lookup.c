#include "lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES_KEPT  512  /* parts of parts that stay in memory; small ones (KAV_LEAF_FACTS) */
#define SPLITS_KNOWN 4096 /* places that are known to be split */

/* What is kept of the split directories of one store. */
typedef struct {
    kav_record *kept;      /* KAV_PARTS large ones and LEAVES_KEPT, once a split directory was met */
    uint8_t (*splits)[16]; /* SPLITS_KNOWN */
} parts;

/* What one store has about the directory in hand, under one setting. Read when it is first asked. */
typedef struct {
    const kav_cachefile *file; /* NULL: no such store */
    parts *parts;              /* the store's */
    uint8_t place[16];
    kav_record record;
    enum { UNREAD, READ, SPLIT, NONE } state;
    uint32_t next; /* where the fact of the next file may be */
} shelf;

struct kav_lookup {
    uint8_t secret[KAV_SECRET], generation[16];
    uint8_t settings[KAV_SETTINGS_MAX][16];
    uint32_t settings_count;
    const kav_delta *delta;
    kav_cachefile *file, *journal_file;
    shelf journal, shelves[KAV_SETTINGS_MAX];
    uint64_t asked[KAV_RECORD_FACTS / 64]; /* facts of shelves[0] */
    uint64_t *gone;                        /* KAV_RECORD_FACTS, once there were some */
    bool renew;
    parts parts, journal_parts; /* apart: a directory has the same place in both stores */
};

kav_lookup *kav_lookup_new(const kav_lookup_options *options)
{
    kav_lookup *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    memcpy(l->secret, options->secret, sizeof l->secret);
    memcpy(l->generation, options->generation, sizeof l->generation);
    memcpy(l->settings, options->settings, sizeof l->settings);
    l->settings_count = options->settings_count < KAV_SETTINGS_MAX ? options->settings_count : KAV_SETTINGS_MAX;
    l->delta = options->delta;
    if (options->file >= 0) kav_cachefile_open(options->file, l->secret, &l->file);
    if (options->journal >= 0) kav_cachefile_open(options->journal, l->secret, &l->journal_file);
    l->journal.file = l->journal_file;
    l->journal.parts = &l->journal_parts;
    for (uint32_t i = 0; i < l->settings_count; i++) {
        l->shelves[i].file = l->file;
        l->shelves[i].parts = &l->parts;
    }
    return l;
}

static void parts_free(parts *p)
{
    for (unsigned i = 0; p->kept && i < KAV_PARTS + LEAVES_KEPT; i++) kav_record_free(&p->kept[i]);
    free(p->kept);
    free(p->splits);
}

void kav_lookup_free(kav_lookup *l)
{
    if (!l) return;
    kav_record_free(&l->journal.record);
    for (unsigned i = 0; i < KAV_SETTINGS_MAX; i++) kav_record_free(&l->shelves[i].record);
    parts_free(&l->parts);
    parts_free(&l->journal_parts);
    free(l->gone);
    kav_cachefile_close(l->file);
    kav_cachefile_close(l->journal_file);
    free(l);
}

/* ---- directories and their parts --------------------------------------------------------------------------------- */

/* 0 or -ENOMEM; what cannot be read is not there. */
static int open_shelf(shelf *s)
{
    s->next = 0;
    int found = s->file ? kav_cachefile_read(s->file, s->place, &s->record) : 0;
    s->state = found != 1 ? NONE : s->record.split ? SPLIT : READ;
    return found == -ENOMEM ? found : 0;
}

int kav_lookup_dir(kav_lookup *l, const uint8_t fs[16], uint64_t dir_ino, int64_t dir_btime_ns, uint8_t place[16])
{
    static const uint8_t none[16];
    l->renew = false;
    for (uint32_t i = 0; i < l->settings_count; i++) {
        kav_place(l->secret, fs, dir_ino, dir_btime_ns, l->settings[i], l->shelves[i].place);
        l->shelves[i].state = UNREAD;
    }
    memcpy(place, l->settings_count ? l->shelves[0].place : none, 16);
    memcpy(l->journal.place, place, 16);
    l->journal.state = UNREAD;
    if (!l->settings_count) return 0;
    int failed = open_shelf(&l->shelves[0]);
    memset(l->asked, 0, (l->shelves[0].record.count + 63) / 64 * sizeof *l->asked);
    return failed;
}

/* Out of memory: it is not known, and the next question says so. */
static bool has_nothing(shelf *s)
{
    return !s->file || (!(s->state == UNREAD && open_shelf(s)) && s->state == NONE);
}

bool kav_lookup_empty(kav_lookup *l)
{
    if (!has_nothing(&l->journal)) return false;
    for (uint32_t i = 0; i < l->settings_count; i++)
        if (!has_nothing(&l->shelves[i])) return false;
    return true;
}

static bool parts_ready(parts *p)
{
    if (!p->kept) p->kept = calloc(KAV_PARTS + LEAVES_KEPT, sizeof *p->kept);
    if (!p->splits) p->splits = calloc(SPLITS_KNOWN, sizeof *p->splits);
    return p->kept && p->splits;
}

static uint32_t spread(const uint8_t place[16])
{
    uint32_t n;
    memcpy(&n, place + 4, sizeof n);
    return n;
}

/* The part of a split directory where an inode's fact would be, or NULL. Upper levels are read once. */
static kav_record *find_part(const shelf *s, uint64_t ino)
{
    uint8_t place[16];
    if (!parts_ready(s->parts)) return NULL;
    memcpy(place, s->place, sizeof place);
    for (unsigned depth = 0; depth < KAV_PART_DEPTH; depth++) {
        unsigned number = kav_part_number(place, ino);
        kav_part_at(place, number, depth, place);
        uint8_t *split = s->parts->splits[spread(place) % SPLITS_KNOWN];
        if (!memcmp(split, place, 16)) continue;
        kav_record *part = &s->parts->kept[depth ? KAV_PARTS + spread(place) % LEAVES_KEPT : number];
        bool kept = part->bytes && !memcmp(part->place, place, 16);
        if (!kept && kav_cachefile_read(s->file, place, part) != 1) {
            memset(part->place, 0, sizeof part->place);
            return NULL;
        }
        if (!part->split) return part;
        memcpy(split, place, 16);
    }
    return NULL;
}

/* The fact of an inode and the record that it stands in. */
static const kav_fact *find_fact(shelf *s, uint64_t ino, kav_record **record)
{
    if (s->state == UNREAD && open_shelf(s)) return NULL;
    *record = &s->record;
    if (s->state == SPLIT) {
        *record = find_part(s, ino);
        return *record ? kav_record_find(*record, ino) : NULL;
    }
    if (s->state != READ) return NULL;
    const kav_fact *fact = &s->record.facts[s->next];
    if (s->next >= s->record.count || fact->id.ino != ino) fact = kav_record_find(&s->record, ino);
    if (fact) s->next = (uint32_t)(fact - s->record.facts) + 1;
    return fact;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

uint32_t kav_identity_differs(const kav_identity *a, const kav_identity *b)
{
    return (uint32_t)(a->ino != b->ino) | (uint32_t)(a->size != b->size) << 1 |
           (uint32_t)(a->mtime_ns != b->mtime_ns) << 2 | (uint32_t)(a->ctime_ns != b->ctime_ns) << 3 |
           (uint32_t)(a->btime_ns != b->btime_ns) << 4;
}

static enum kav_answer replay(const shelf *s, kav_record *record, const kav_fact *fact, kav_known *known)
{
    known->fact = fact;
    if (kav_fact_plain(fact)) return KAV_A_PLAIN;
    if (!fact->extra) return KAV_A_REPLAY;
    known->extra = kav_cachefile_extra(s->file, record, fact);
    return known->extra ? KAV_A_REPLAY : KAV_A_UNKNOWN;
}

static enum kav_answer ask_journal(kav_lookup *l, const kav_identity *id, kav_known *known)
{
    kav_record *record;
    const kav_fact *fact = find_fact(&l->journal, id->ino, &record);
    if (!fact || !(fact->flags & KAV_FACT_JOURNAL) || kav_identity_differs(&fact->id, id)) return KAV_A_UNKNOWN;
    if (memcmp(record->generations[fact->generation], l->generation, 16)) return KAV_A_UNKNOWN;
    return replay(&l->journal, record, fact, known);
}

static enum kav_answer ask_shelf(kav_lookup *l, shelf *s, const kav_identity *id, kav_known *known)
{
    kav_record *record;
    bool own = s == &l->shelves[0], wants_extra;
    const kav_fact *fact = find_fact(s, id->ino, &record);
    if (!fact) return KAV_A_UNKNOWN;
    if (own && s->state == READ) {
        uint32_t i = (uint32_t)(fact - record->facts);
        l->asked[i / 64] |= 1ull << i % 64;
    }
    if (kav_identity_differs(&fact->id, id) || fact->flags & KAV_FACT_JOURNAL) return KAV_A_UNKNOWN;
    if (!own && (fact->status != KAV_CLEAN || fact->reasons || fact->flags & KAV_FACT_UNOPENED)) return KAV_A_UNKNOWN;
    const uint8_t *generation = record->generations[fact->generation];
    enum kav_judgement found = kav_judge(l->delta, l->generation, generation, fact, NULL, &known->row, &wants_extra);
    if (found == KAV_J_DELTA && wants_extra) {
        const kav_extra *extra = kav_cachefile_extra(s->file, record, fact);
        if (extra) found = kav_judge(l->delta, l->generation, generation, fact, extra, &known->row, &wants_extra);
    }
    if (found == KAV_J_FULL) return KAV_A_UNKNOWN;
    if (found == KAV_J_DELTA) {
        known->fact = fact;
        return KAV_A_DELTA;
    }
    if (own && memcmp(generation, l->generation, 16)) l->renew = true;
    return replay(s, record, fact, known);
}

enum kav_answer kav_lookup_file(kav_lookup *l, const kav_identity *id, kav_known *known)
{
    *known = (kav_known){0};
    enum kav_answer answer = l->journal.file ? ask_journal(l, id, known) : KAV_A_UNKNOWN;
    for (uint32_t i = 0; answer == KAV_A_UNKNOWN && i < l->settings_count; i++)
        if (l->shelves[i].file) answer = ask_shelf(l, &l->shelves[i], id, known);
    if (answer == KAV_A_UNKNOWN) *known = (kav_known){0};
    return answer;
}

kav_lookup_rest kav_lookup_end(kav_lookup *l)
{
    kav_lookup_rest rest = {.renew = l->renew};
    const shelf *own = &l->shelves[0];
    l->renew = false;
    if (!own->file || own->state != READ) return rest;
    if (l->journal.file) return rest; /* for what the journal answered the store was not asked */
    uint32_t asked = 0, count = own->record.count;
    for (uint32_t i = 0; i < count; i += 64) asked += (uint32_t)__builtin_popcountll(l->asked[i / 64]);
    if (count - asked <= count / 8) return rest;
    if (!l->gone) l->gone = malloc(KAV_RECORD_FACTS * sizeof *l->gone);
    rest.gone = l->gone;
    for (uint32_t i = 0; l->gone && i < count; i++)
        if (!(l->asked[i / 64] >> i % 64 & 1)) l->gone[rest.gone_count++] = own->record.facts[i].id.ino;
    return rest;
}
