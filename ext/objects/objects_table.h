/* The drawing of an object table, the same in memory and in the file. Not for other folders.
 *
 *     bucket 0 | bucket 1 | ...          the first 8 bytes of a key choose the bucket
 *     bucket: KAV_OBJECT_WAYS records of 64 bytes
 *
 * There is no header: each record speaks for itself, so a table of zeros is empty, and one of anybody else's is, too.
 */
#ifndef KAV_OBJECTS_TABLE_H
#define KAV_OBJECTS_TABLE_H

#include "objects.h"
#include "place.h"

typedef struct {
    kav_learned learned;
    uint64_t when; /* seconds since 1970 when it was written: the oldest gives way */
    uint64_t seal; /* kav_seal of what stands before it */
} kav_object_record;

typedef struct {
    kav_object_record ways[KAV_OBJECT_WAYS];
} kav_object_bucket;

_Static_assert(sizeof(kav_object_record) == 64, "kav_object_record is in a store");

/* Which bucket of a table of length bytes, length > 0. In the order of keys, so that a sorted batch is written in
 * order. */
static inline uint64_t kav_object_bucket_of(const uint8_t key[16], uint64_t length)
{
    uint64_t first;
    __builtin_memcpy(&first, key, sizeof first);
    return (uint64_t)((unsigned __int128)first * (length / sizeof(kav_object_bucket)) >> 64);
}

/* The way that holds key with its seal right, or -1. */
int kav_object_way(const kav_object_bucket *bucket, const uint8_t secret[KAV_SECRET], const uint8_t key[16]);

/* The way that a new record of this key goes to: its own, a free or broken one, or the oldest. */
int kav_object_victim(const kav_object_bucket *bucket, const uint8_t secret[KAV_SECRET], const uint8_t key[16]);

kav_object_record kav_object_sealed(const kav_learned *learned, uint64_t when, const uint8_t secret[KAV_SECRET]);

#endif
