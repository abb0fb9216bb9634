#define _GNU_SOURCE
#include "look.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define WAYS   4                   /* places where a key may stand */
#define JITTER INT64_C(1000000000) /* what a clock may be set back in all before it counts: less than the margin */

_Static_assert(sizeof(kav_recall_key) == 64, "a key is compared as bytes and hashed as words");

typedef struct {
    uint64_t number;
    bool trusted;
} mount;

struct kav_recall {
    kav_recall_key *places;
    uint32_t buckets; /* a power of two, WAYS places each */
    uint32_t turn;    /* whose place is taken next */
    uint64_t seed;
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
              getrandom(&r->seed, sizeof r->seed, 0) == sizeof r->seed;
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

/* Of WAYS places. Whoever finds keys that fall together only displaces some. */
static kav_recall_key *bucket_of(const kav_recall *r, const kav_recall_key *key)
{
    uint64_t words[sizeof *key / 8], hash = r->seed;
    memcpy(words, key, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return r->places + (size_t)(hash & (r->buckets - 1)) * WAYS;
}

static bool is_there(const kav_recall *r, const kav_recall_key *key)
{
    const kav_recall_key *bucket = bucket_of(r, key);
    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(&bucket[i], key, sizeof *key) == 0) return true;
    }
    return false;
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
        return is_there(r, key) ? KAV_RECALL_KNOWN : KAV_RECALL_NEW;
    }
    key->context = context;
    const mount *where = find_mount(r, key->mount);
    if (!where) return KAV_RECALL_ASK;
    if (!where->trusted) return KAV_RECALL_NEVER;
    if (is_there(r, key)) return KAV_RECALL_KNOWN;
    return kav_recall_at_rest(fd, &st, key, now, r->distrust) ? KAV_RECALL_NEW : KAV_RECALL_NEVER;
}

bool kav_recall_add(kav_recall *r, int fd, const kav_recall_key *key)
{
    struct statx st;
    kav_recall_key again;
    if (key->mount) {
        now_ns(r);
        if (kav_recall_stat(fd, &st) || !kav_recall_file(&st, &again)) return false;
        again.context = key->context;
        if (memcmp(&again, key, sizeof again) != 0) return false;
    }
    if (is_there(r, key)) return true;
    kav_recall_key *bucket = bucket_of(r, key);
    for (size_t i = 0; i < WAYS; i++) {
        if (!bucket[i].used) {
            bucket[i] = *key;
            return true;
        }
    }
    bucket[r->turn++ % WAYS] = *key;
    return true;
}
