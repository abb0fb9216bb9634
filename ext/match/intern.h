/* Intern: a hash table from keys that live elsewhere to their index, while a part is being built. */
#ifndef KAV_INTERN_H
#define KAV_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *hashes;
    uint32_t *indices; /* KAV_NONE: empty slot */
    size_t mask, count;
} kav_intern;

/* Does the item with this index have the key that is asked for? */
typedef bool (*kav_intern_same)(const void *context, uint32_t index, const void *key);

uint64_t kav_intern_hash(const void *bytes, size_t length);

/* The index of the key, or KAV_NONE. */
uint32_t kav_intern_find(const kav_intern *t, uint64_t hash, kav_intern_same same, const void *context,
                         const void *key);

/* Remember an index under a hash; false: out of memory. */
bool kav_intern_add(kav_intern *t, uint64_t hash, uint32_t index);

void kav_intern_free(kav_intern *t);

#endif
