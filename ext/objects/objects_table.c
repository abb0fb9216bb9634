#include "objects_table.h"

#include <string.h>

static bool is_sealed(const kav_object_record *record, const uint8_t secret[KAV_SECRET])
{
    return kav_seal(secret, record, offsetof(kav_object_record, seal)) == record->seal;
}

static bool has_key(const kav_object_record *record, const uint8_t key[16])
{
    return memcmp(record->learned.key, key, sizeof record->learned.key) == 0;
}

int kav_object_way(const kav_object_bucket *bucket, const uint8_t secret[KAV_SECRET], const uint8_t key[16])
{
    for (int i = 0; i < KAV_OBJECT_WAYS; i++)
        if (has_key(&bucket->ways[i], key) && is_sealed(&bucket->ways[i], secret)) return i;
    return -1;
}

int kav_object_victim(const kav_object_bucket *bucket, const uint8_t secret[KAV_SECRET], const uint8_t key[16])
{
    int broken = -1, oldest = 0;
    for (int i = 0; i < KAV_OBJECT_WAYS; i++) {
        const kav_object_record *record = &bucket->ways[i];
        if (has_key(record, key)) return i;
        if (broken < 0 && !is_sealed(record, secret)) broken = i;
        if (record->when < bucket->ways[oldest].when) oldest = i;
    }
    return broken >= 0 ? broken : oldest;
}

kav_object_record kav_object_sealed(const kav_learned *learned, uint64_t when, const uint8_t secret[KAV_SECRET])
{
    kav_object_record record = {.learned = *learned, .when = when};
    record.seal = kav_seal(secret, &record, offsetof(kav_object_record, seal));
    return record;
}
