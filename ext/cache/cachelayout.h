/* Cache layout: what stands in a cache file (cachefile.h draws it). For the files that read and write it.
 *
 * The stamp is written once, when the file is made, so that a reader never meets a half-written one. The tally is
 * written at the end of each batch; a writer who finds it damaged makes the file anew.
 */
#ifndef KAV_CACHELAYOUT_H
#define KAV_CACHELAYOUT_H

#include "cachefile.h"

#include <sys/types.h>

#define KAV_CACHE_MAGIC   "KAVCACH" /* with its NUL: 8 bytes */
#define KAV_CACHE_VERSION 1
#define KAV_CACHE_HEADER  4096
#define KAV_CACHE_TALLY   512 /* where the tally stands */
#define KAV_CACHE_UNIT    64  /* records begin at multiples of it */
#define KAV_BUCKET_SLOTS  32
#define KAV_BUCKETS_MAX   8 /* that are looked at for one place */
#define KAV_SLOTS_MIN     4096
#define KAV_SLOTS_MAX     (1ull << 32)

typedef struct {
    uint8_t magic[8];
    uint32_t version, reserved;
    uint64_t slots, limit;
    uint8_t id[16];
    uint64_t reserved2;
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

typedef struct {
    uint8_t place[16];
    uint8_t generations[KAV_FACT_GENERATIONS][16]; /* the one written last first; zeros: none */
    uint32_t capacity;                             /* bytes from here to the next record */
    uint32_t count, extras_len, split;
    uint64_t facts_seal, extras_seal;
    uint64_t written; /* number of the batch */
    uint64_t seal;    /* of all before it */
} kav_record_head;

_Static_assert(sizeof(kav_cache_stamp) == 64, "kav_cache_stamp is in a file");
_Static_assert(sizeof(kav_cache_tally) <= KAV_CACHE_HEADER - KAV_CACHE_TALLY, "the tally is in the header");
_Static_assert(sizeof(kav_cache_slot) == 16, "kav_cache_slot is in a file");
_Static_assert(sizeof(kav_record_head) == 128, "kav_record_head is in a file");

struct kav_cachefile {
    int fd;
    uint8_t secret[KAV_SECRET];
    uint64_t slots;
    uint64_t limit;
};

/* Where the records begin. */
static inline uint64_t kav_cache_records(uint64_t slots)
{
    return KAV_CACHE_HEADER + slots * sizeof(kav_cache_slot);
}

static inline uint64_t kav_cache_units(uint64_t bytes)
{
    return (bytes + KAV_CACHE_UNIT - 1) / KAV_CACHE_UNIT;
}

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
