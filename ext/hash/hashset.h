/* Hash set: the hash signatures (or hash exceptions) of one database file, as a mapped table without pointers.
 *
 * Built once from the text of a .hdb .hsb .fp .sfp file (kav_hashset_build), looked up by size and digest. Sizes first:
 * kav_hashset_kinds tells which digests are worth computing for a layer of that size, so that most layers need none.
 * Everything read from the table is bounds-checked at kav_hashset_open: a damaged table is refused there.
 */
#ifndef KAV_HASHSET_H
#define KAV_HASHSET_H

#include "digest.h"
#include "moved.h"
#include <stdbool.h>

typedef struct {
    const uint8_t *data; /* the table, mapped read-only; owned by the caller */
    uint64_t length;
    /* Filled in by kav_hashset_open; offsets into data, see hashset.c for the drawing. */
    uint64_t part[16];
    kav_moved moved; /* set by whoever knows that the text has changed since; only kav_hashset_find heeds it */
} kav_hashset;

typedef struct {
    const char *name; /* not NUL-terminated */
    uint32_t name_len;
    uint32_t line; /* 1-based line in the database file */
} kav_hashset_hit;

/* Check and adopt a table. 0, or -1 when it is damaged. */
int kav_hashset_open(kav_hashset *set, const void *data, uint64_t length);

/* Which digests (KAV_D_*) could match a layer of this size. */
uint32_t kav_hashset_kinds(const kav_hashset *set, uint64_t size);

/* The sizes of which there are signatures, one at each call; *at begins at 0. False at the end. Those of any size are
 * in none of them: kav_hashset_kinds(set, UINT64_MAX). */
bool kav_hashset_next_size(const kav_hashset *set, uint64_t *at, uint64_t *size);

/* The matching signatures, least line first; up to max of them. Returns how many. */
size_t kav_hashset_find(const kav_hashset *set, uint64_t size, const kav_digests *digests, kav_hashset_hit *out,
                        size_t max);

uint64_t kav_hashset_count(const kav_hashset *set);

/* The i-th signature in line order, for listings. False past the end. */
bool kav_hashset_at(const kav_hashset *set, uint64_t i, kav_hashset_hit *out);

/* A line that could not be taken, for `kavfs db info`. */
typedef struct {
    uint32_t line;
    uint8_t why; /* enum kav_hash_why */
} kav_hashset_reject;

enum kav_hash_why { KAV_HW_FIELDS = 1, KAV_HW_DIGEST = 2, KAV_HW_SIZE = 3, KAV_HW_NAME = 4, KAV_HW_LEVEL = 5 };

typedef struct {
    uint8_t *table; /* malloc'ed, length bytes: what kav_hashset_open takes */
    uint64_t length;
    uint64_t accepted;
    uint64_t comments;           /* empty and '#' lines */
    kav_hashset_reject *rejects; /* malloc'ed; at most 100,000 kept, reject_count counts all */
    uint64_t reject_kept, reject_count;
} kav_hashset_built;

enum kav_hash_form {
    KAV_HASH_LAYER = 0,   /* digest:size:name */
    KAV_HASH_SECTION = 1, /* size:digest:name */
    KAV_HASH_IMPORTS = 2  /* digest:size:name; '*' needs no level */
};

/* Build a table from the text of a database file. level is the functionality level that a line's optional range is
 * compared with (lines outside it are rejects with KAV_HW_LEVEL). 0, -1 out of memory. */
int kav_hashset_build(const char *text, uint64_t len, enum kav_hash_form form, uint32_t level, kav_hashset_built *out);
void kav_hashset_built_free(kav_hashset_built *built);

#endif
