/* The drawing of a hash-set table: what hashset_build.c writes and hashset.c reads. Not for other folders.
 *
 *     +--------------------+ 0
 *     | kav_hashset_header |
 *     +--------------------+ at[KAV_HP_SIZES]
 *     | slots              | uint64[2^n], open addressing: size << 3 | KAV_D_* bits, 0 = free
 *     +--------------------+ at[KAV_HP_BITMAP]
 *     | bitmap             | 2^m bits, one set for each size; in the cache, so "no" needs no visit to the slots
 *     +--------------------+ at[KAV_HP_INDEX + k]            for each kind k: MD5, SHA-1, SHA-256
 *     | buckets            | uint32[2^b + 1]: where the entries begin whose digest starts with these b bits;
 *     +--------------------+ at[KAV_HP_ENTRIES + k]          absent for a kind without entries
 *     | entries            | sorted by digest, then ordinal: digest | size, uint64 | ordinal, uint32; packed
 *     +--------------------+ at[KAV_HP_BLOCKS]
 *     | blocks             | kav_hashset_block[]: where the names of 16 signatures begin
 *     +--------------------+ at[KAV_HP_NAMES]
 *     | names              | for each signature in line order: varint line step, varint length, bytes
 *     +--------------------+ at[KAV_HP_END] = length
 *
 * The ordinal of a signature is its place in line order, from 0. Every part begins at a multiple of 8. A size of "any"
 * is UINT64_MAX in an entry and a bit of header.any, not a slot. Host byte order.
 */
#ifndef KAV_HASHSET_TABLE_H
#define KAV_HASHSET_TABLE_H

#include "hashset.h"

#define KAV_HASHSET_MAGIC    0x315445534b56414bull /* "KAVKSET1" */
#define KAV_HASHSET_SIZE_ANY UINT64_MAX
#define KAV_HASHSET_SIZE_MAX ((1ull << 61) - 1)
#define KAV_HASHSET_BLOCK    16
#define KAV_HASHSET_BITS_MAX 24

enum { KAV_HASH_KINDS = 3 };

enum kav_hashset_part {
    KAV_HP_SIZES = 0,
    KAV_HP_BITMAP = 1,
    KAV_HP_INDEX = 2,   /* + 2 * kind */
    KAV_HP_ENTRIES = 3, /* + 2 * kind */
    KAV_HP_BLOCKS = 8,
    KAV_HP_NAMES = 9,
    KAV_HP_END = 10,
    KAV_HP_COUNT = 11
};

typedef struct {
    uint64_t magic;
    uint64_t at[KAV_HP_COUNT];
    uint64_t count;    /* signatures */
    uint32_t any;      /* KAV_D_* kinds with entries of any size */
    uint32_t bits;     /* b of the buckets */
    uint64_t checksum; /* kav_hashset_checksum of all that stands before it */
} kav_hashset_header;

typedef struct {
    uint64_t offset; /* in names */
    uint32_t line;   /* what the first step is added to */
    uint32_t unused;
} kav_hashset_block;

_Static_assert(sizeof(kav_hashset_header) == 120, "kav_hashset_header is stored");
_Static_assert(sizeof(kav_hashset_block) == 16, "kav_hashset_block is stored");

static const uint8_t kav_hash_length[KAV_HASH_KINDS] = {16, 20, 32};

static inline size_t kav_hashset_entry_size(unsigned kind)
{
    return (size_t)kav_hash_length[kind] + 12;
}

/* The bucket of a digest: its first bits, most significant first, so that buckets follow the digests' order. */
static inline uint32_t kav_hashset_bucket(const uint8_t *digest, uint32_t bits)
{
    uint32_t first = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 | digest[3];
    return bits ? first >> (32 - bits) : 0;
}

/* Spreads sizes over slots and bitmap; the callers take the upper bits. */
static inline uint64_t kav_hashset_spread(uint64_t size)
{
    size ^= size >> 29;
    return size * 0x9e3779b97f4a7c15ull;
}

static inline uint64_t kav_hashset_checksum(const kav_hashset_header *h)
{
    const uint8_t *p = (const uint8_t *)h;
    uint64_t sum = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < offsetof(kav_hashset_header, checksum); i++) sum = (sum ^ p[i]) * 0x100000001b3ull;
    return sum;
}

/* ---- one line of a database file (hashset_line.c) ---- */

typedef struct {
    uint8_t digest[32];
    uint64_t size; /* KAV_HASHSET_SIZE_ANY for '*' */
    const char *name;
    uint32_t name_len;
    unsigned kind;
} kav_hash_line;

enum { KAV_HL_SIGNATURE = 0, KAV_HL_COMMENT = -1 }; /* else: enum kav_hash_why */

/* Read text[0 .. len), a line without its line end. */
int kav_hash_line_read(const char *text, size_t len, enum kav_hash_form form, uint32_t level, kav_hash_line *out);

#endif
