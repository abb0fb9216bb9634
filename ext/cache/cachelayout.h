/* Cache layout: what stands in a cache file (cachefile.h draws it). For the files that read and write it.
 *
 * The stamp is written when the file is made and when its index has grown. The tally is written at the end of each
 * batch; a writer who finds it damaged makes the file anew.
 */
#ifndef KAV_CACHELAYOUT_H
#define KAV_CACHELAYOUT_H

#include "cachefile.h"

#include <sys/types.h>

#define KAV_CACHE_MAGIC   "KAVCACH" /* with its NUL: 8 bytes */
#define KAV_CACHE_VERSION 2
#define KAV_CACHE_HEADER  4096
#define KAV_CACHE_TALLY   512 /* where the tally stands */
#define KAV_CACHE_UNIT    8   /* records begin at multiples of it */
#define KAV_BUCKET_SLOTS  32
#define KAV_BUCKETS_MAX   8 /* that are looked at for one place */
#define KAV_SLOTS_MIN     4096
#define KAV_SLOTS_MAX     (1ull << 32)

typedef struct {
    uint8_t magic[8];
    uint32_t version, reserved;
    uint64_t slots, limit;
    uint8_t id[16];
    uint64_t index; /* where it stands */
    uint64_t seal;
} kav_cache_stamp;

typedef struct {
    uint64_t end;     /* of what is written, a multiple of KAV_CACHE_UNIT; the file may be longer */
    uint64_t garbage; /* bytes of replaced records */
    uint64_t records, facts;
    uint64_t batch; /* number of the last batch */
    uint32_t generation_count, reserved;
    kav_cache_generation generations[KAV_CACHE_GENERATIONS];
    uint64_t seal;
} kav_cache_tally;

typedef struct {
    uint64_t tag;   /* first 8 bytes of the place; 0 = free */
    uint64_t where; /* offset / KAV_CACHE_UNIT << 24 | length of head and facts / KAV_CACHE_UNIT, rounded up */
} kav_cache_slot;

/* Behind it: generations (16 bytes each, the one written last first; zeros: none), facts, and, where there are extras,
 * their seal and they themselves. */
typedef struct {
    uint64_t seal; /* of all behind it up to the facts */
    uint8_t place[16];
    uint64_t facts_seal; /* of the facts and, where there are extras, the seal of these */
    uint32_t capacity;   /* bytes from here to the next record */
    uint32_t extras_len;
    uint32_t written; /* number of the batch */
    uint16_t count;   /* of facts */
    uint8_t split, generations;
} kav_record_head;

_Static_assert(sizeof(kav_cache_stamp) == 64, "kav_cache_stamp is in a file");
_Static_assert(sizeof(kav_cache_tally) <= KAV_CACHE_HEADER - KAV_CACHE_TALLY, "the tally is in the header");
_Static_assert(sizeof(kav_cache_slot) == 16, "kav_cache_slot is in a file");
_Static_assert(sizeof(kav_record_head) == 48, "kav_record_head is in a file");

struct kav_cachefile {
    int fd;
    uint8_t secret[KAV_SECRET];
    uint8_t id[16];
    uint64_t slots, index;
    uint64_t limit;
};

/* Bytes of an index. Behind its last bucket are some more, so that looking on needs no way back to the first. */
static inline uint64_t kav_cache_index_size(uint64_t slots)
{
    return (slots + (KAV_BUCKETS_MAX - 1) * KAV_BUCKET_SLOTS) * sizeof(kav_cache_slot);
}

/* Where the records of a new file begin. */
static inline uint64_t kav_cache_records(uint64_t slots)
{
    return KAV_CACHE_HEADER + kav_cache_index_size(slots);
}

/* Bytes of head and generations, and of these and the facts with what guards the extras. */
static inline size_t kav_record_front(const kav_record_head *head)
{
    return sizeof *head + head->generations * (size_t)16;
}

static inline size_t kav_record_body(const kav_record_head *head)
{
    return kav_record_front(head) + head->count * sizeof(kav_fact) + (head->extras_len ? sizeof(uint64_t) : 0);
}

static inline size_t kav_record_length(const kav_record_head *head)
{
    return kav_record_body(head) + head->extras_len;
}

static inline uint64_t kav_cache_units(uint64_t bytes)
{
    return (bytes + KAV_CACHE_UNIT - 1) / KAV_CACHE_UNIT;
}

/* Read the stamp: what the file is, and where its index stands by now. */
enum kav_cache_error kav_cachefile_stamp(kav_cachefile *file);

/* Whether the head that is followed by its generations, of which have bytes can be read, is sealed. */
bool kav_record_sealed(const kav_cachefile *file, const kav_record_head *head, size_t have);

/* Where a place's slot is: 1 and *slot, *at; 0: there is none, and *at is where one may be made (0 = no room). */
int kav_cachefile_slot(const kav_cachefile *file, const uint8_t place[16], kav_cache_slot *slot, uint64_t *at);

/* The record that a slot leads to: 1, 0 = none that can be believed, -errno. */
int kav_cachefile_read_slot(const kav_cachefile *file, const kav_cache_slot *slot, kav_record *record);

/* Read the extras, if they were not. False: they cannot be believed. */
bool kav_cachefile_load_extras(const kav_cachefile *file, kav_record *record);

/* 0, -EILSEQ, -errno. */
int kav_cachefile_tally(const kav_cachefile *file, kav_cache_tally *tally);

/* All of length bytes, or fewer at the end of the file; -errno. */
ssize_t kav_cache_pread(int fd, void *out, size_t length, uint64_t at);

#endif
