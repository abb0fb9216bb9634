#define _GNU_SOURCE
#include "carry.h"
#include "look.h"
#include "place.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define WAYS        4                   /* places where an object may stand */
#define GENERATIONS 8                   /* for which objects were clean, the one of now among them */
#define JITTER      INT64_C(1000000000) /* what a clock may be set back in all before it counts: less than the margin */

_Static_assert(sizeof(kav_recall_key) == 64, "a key is compared and hashed as bytes");

/* Named by a keyed hash of its key: whoever chooses files cannot choose names that fall together. */
typedef struct {
    uint8_t name[16];
    kav_carried carried; /* generation: 0 = an empty place, else one more than its number in the table */
} place;

_Static_assert(sizeof(place) == KAV_RECALL_PLACE, "as recall.h says");

/* Of objects that were clean for it. */
typedef struct {
    uint8_t id[16];
    uint32_t row; /* of the delta table of now that is enough for them, counted from 1 */
} generation;

typedef struct {
    uint64_t number;
    bool trusted;
} mount;

struct kav_recall {
    place *places;
    uint32_t buckets; /* a power of two, WAYS places each */
    uint32_t turn;    /* whose place is taken next */
    uint8_t seed[16];
    generation generations[GENERATIONS];
    uint32_t now; /* which of them */
    kav_fingerprint *fingerprint;
    mount mounts[KAV_RECALL_MOUNTS];
    uint32_t mount_turn;
    int64_t ahead_ns; /* how far the clock has been ahead of the time since boot */
    bool distrust;
};

kav_recall *kav_recall_new(uint32_t places, bool distrust)
{
    uint8_t secret[32];
    if (places < WAYS || (places & (places - 1)) != 0) return NULL;
    kav_recall *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->places = malloc((size_t)places * sizeof *r->places);
    r->buckets = places / WAYS;
    r->ahead_ns = INT64_MIN;
    r->distrust = distrust;
    if (r->places) kav_recall_forget(r); /* all of it is there from now on, so that nothing grows later */
    bool ok = r->places && getrandom(secret, sizeof secret, 0) == sizeof secret &&
              getrandom(r->seed, sizeof r->seed, 0) == sizeof r->seed;
    if (ok) r->fingerprint = kav_fingerprint_new(secret);
    explicit_bzero(secret, sizeof secret);
    if (r->fingerprint) return r;
    kav_recall_free(r);
    return NULL;
}

void kav_recall_free(kav_recall *r)
{
    if (!r) return;
    kav_fingerprint_free(r->fingerprint);
    free(r->places);
    free(r);
}

void kav_recall_forget(kav_recall *r)
{
    memset(r->places, 0, (size_t)r->buckets * WAYS * sizeof *r->places);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static int64_t clock_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Now. Once files can get stamps a second time, nothing that is known of any of them is worth anything. */
static int64_t now_ns(kav_recall *r)
{
    int64_t now = clock_ns(CLOCK_REALTIME);
    int64_t ahead = now - clock_ns(CLOCK_BOOTTIME);
    if (ahead > r->ahead_ns) r->ahead_ns = ahead;
    if (ahead < r->ahead_ns - JITTER) {
        kav_recall_forget(r);
        r->ahead_ns = ahead;
    }
    return now;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

/* Where it stands, or NULL. *bucket: WAYS places of which it may have one. */
static place *find(const kav_recall *r, const kav_recall_key *key, uint8_t name[16], place **bucket)
{
    uint64_t number;
    kav_siphash_wide(r->seed, key, sizeof *key, name);
    memcpy(&number, name, sizeof number);
    *bucket = r->places + (size_t)(number & (r->buckets - 1)) * WAYS;
    for (place *p = *bucket; p < *bucket + WAYS; p++) {
        if (p->carried.generation && memcmp(p->name, name, sizeof p->name) == 0) return p;
    }
    return NULL;
}

static bool is_known(const kav_recall *r, const kav_recall_key *key)
{
    uint8_t name[16];
    place *bucket, *there = find(r, key, name, &bucket);
    return there && there->carried.generation == r->now + 1;
}

uint32_t kav_recall_row(const kav_recall *r, const kav_recall_key *key)
{
    uint8_t name[16];
    place *bucket, *there = find(r, key, name, &bucket);
    return there ? r->generations[there->carried.generation - 1].row : 0;
}

static void put(kav_recall *r, const kav_recall_key *key, kav_carried carried)
{
    place made = {.carried = carried}, *bucket, *there = find(r, key, made.name, &bucket);
    made.carried.generation = (uint8_t)(r->now + 1);
    for (place *p = bucket; !there && p < bucket + WAYS; p++) {
        if (!p->carried.generation) there = p;
    }
    if (!there) there = &bucket[r->turn++ % WAYS];
    *there = made;
}

/* All objects of one generation, asked by the next. */
static void carry(kav_recall *r, uint32_t number, uint32_t next, const kav_news *news)
{
    for (place *p = r->places; p < r->places + (size_t)r->buckets * WAYS; p++) {
        if (p->carried.generation != number + 1) continue;
        enum kav_judgement judgement = kav_news_judge(news, &p->carried);
        if (judgement == KAV_J_HOLDS) p->carried.generation = (uint8_t)(next + 1);
        else if (judgement == KAV_J_FULL) p->carried.generation = 0;
    }
}

void kav_recall_renew(kav_recall *r, const uint8_t now[16], const void *delta, size_t length)
{
    kav_delta *table = delta ? kav_delta_open(delta, length) : NULL;
    kav_news *news = malloc(sizeof *news);
    uint32_t next = (r->now + 1) % GENERATIONS;
    if (!news) kav_recall_forget(r);
    for (uint32_t back = 0; news && back < GENERATIONS; back++) {
        uint32_t number = (next + back) % GENERATIONS; /* the oldest first: its number is needed */
        generation *g = &r->generations[number];
        kav_news_read(news, table, now, g->id);
        if (number == next) news->least = KAV_J_FULL;
        carry(r, number, next, news);
        g->row = news->row + 1;
    }
    memcpy(r->generations[next].id, now, 16);
    r->generations[next].row = 0;
    r->now = next;
    free(news);
    kav_delta_close(table);
}

static const mount *find_mount(const kav_recall *r, uint64_t number)
{
    for (size_t i = 0; i < KAV_RECALL_MOUNTS; i++) {
        if (r->mounts[i].number == number) return &r->mounts[i];
    }
    return NULL;
}

void kav_recall_mount(kav_recall *r, uint64_t number, bool trusted)
{
    if (!number || find_mount(r, number)) return;
    r->mounts[r->mount_turn++ % KAV_RECALL_MOUNTS] = (mount){number, trusted};
}

enum kav_recalled kav_recall_look(kav_recall *r, int fd, uint32_t context, kav_recall_key *key)
{
    struct statx st;
    int64_t now = now_ns(r);
    if (kav_recall_stat(fd, &st)) return KAV_RECALL_NEVER;
    if (!kav_recall_file(&st, key)) {
        if (!kav_recall_stream(r->fingerprint, fd, key)) return KAV_RECALL_NEVER;
        key->context = context;
        return is_known(r, key) ? KAV_RECALL_KNOWN : KAV_RECALL_NEW;
    }
    key->context = context;
    const mount *where = find_mount(r, key->mount);
    if (!where) return KAV_RECALL_ASK;
    if (!where->trusted) return KAV_RECALL_NEVER;
    if (is_known(r, key)) return KAV_RECALL_KNOWN;
    return kav_recall_at_rest(fd, &st, key, now, r->distrust) ? KAV_RECALL_NEW : KAV_RECALL_NEVER;
}

bool kav_recall_add(kav_recall *r, int fd, const kav_recall_key *key, const uint8_t *said, size_t length)
{
    struct statx st;
    kav_recall_key again;
    if (key->mount) {
        now_ns(r);
        if (kav_recall_stat(fd, &st) || !kav_recall_file(&st, &again)) return false;
        again.context = key->context;
        if (memcmp(&again, key, sizeof again) != 0) return false;
    }
    put(r, key, kav_carried_read(said, length));
    return true;
}
