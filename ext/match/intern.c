#include "intern.h"
#include "checksum.h"
#include "format.h"

#include <stdlib.h>
#include <string.h>

uint64_t kav_intern_hash(const void *bytes, size_t length)
{
    return kav_checksum(bytes, length, 0);
}

uint32_t kav_intern_find(const kav_intern *t, uint64_t hash, kav_intern_same same, const void *context, const void *key)
{
    if (!t->indices) return KAV_NONE;
    for (size_t i = hash & t->mask; t->indices[i] != KAV_NONE; i = (i + 1) & t->mask) {
        if (t->hashes[i] == hash && same(context, t->indices[i], key)) return t->indices[i];
    }
    return KAV_NONE;
}

static void put(kav_intern *t, uint64_t hash, uint32_t index)
{
    size_t i = hash & t->mask;
    while (t->indices[i] != KAV_NONE) i = (i + 1) & t->mask;
    t->hashes[i] = hash;
    t->indices[i] = index;
}

static bool grow(kav_intern *t)
{
    size_t size = t->indices ? (t->mask + 1) * 2 : 1024;
    kav_intern bigger = {calloc(size, sizeof(uint64_t)), malloc(size * sizeof(uint32_t)), size - 1, t->count};
    if (!bigger.hashes || !bigger.indices) {
        kav_intern_free(&bigger);
        return false;
    }
    memset(bigger.indices, 0xff, size * sizeof(uint32_t));
    for (size_t i = 0; t->indices && i <= t->mask; i++) {
        if (t->indices[i] != KAV_NONE) put(&bigger, t->hashes[i], t->indices[i]);
    }
    kav_intern_free(t);
    *t = bigger;
    return true;
}

bool kav_intern_add(kav_intern *t, uint64_t hash, uint32_t index)
{
    if ((!t->indices || t->count * 2 > t->mask) && !grow(t)) return false;
    put(t, hash, index);
    t->count++;
    return true;
}

void kav_intern_free(kav_intern *t)
{
    free(t->hashes);
    free(t->indices);
    *t = (kav_intern){0};
}
