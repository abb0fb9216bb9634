#include "visited.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SIZE 1024

void kav_visited_init(kav_visited *set)
{
    *set = (kav_visited){0};
    /* Without entropy (very early boot) the seed stays 0: slower under attack, never wrong. */
    if (getrandom(&set->seed, sizeof set->seed, GRND_NONBLOCK) != sizeof set->seed) set->seed = 0;
}

void kav_visited_free(kav_visited *set)
{
    free(set->slots);
    set->slots = NULL;
    set->size = set->used = 0;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

/* The slot that holds the key, or the free one where it belongs. */
static kav_visited_key *find(kav_visited_key *slots, size_t size, uint64_t seed, uint64_t dev, uint64_t ino)
{
    size_t i = mix(mix(ino ^ seed) + dev) & (size - 1);
    while ((slots[i].dev | slots[i].ino) != 0 && (slots[i].dev != dev || slots[i].ino != ino)) i = (i + 1) & (size - 1);
    return &slots[i];
}

static int grow(kav_visited *set)
{
    size_t size = set->size ? set->size * 2 : FIRST_SIZE;
    kav_visited_key *slots = calloc(size, sizeof *slots);
    if (!slots) return -ENOMEM;
    for (size_t i = 0; i < set->size; i++) {
        kav_visited_key key = set->slots[i];
        if ((key.dev | key.ino) != 0) *find(slots, size, set->seed, key.dev, key.ino) = key;
    }
    free(set->slots);
    set->slots = slots;
    set->size = size;
    return 0;
}

int kav_visited_add(kav_visited *set, uint64_t dev, uint64_t ino)
{
    if ((dev | ino) == 0) {
        int added = !set->zero;
        set->zero = 1;
        return added;
    }
    if (set->used * 10 >= set->size * 7 && grow(set) != 0) return -ENOMEM;
    kav_visited_key *slot = find(set->slots, set->size, set->seed, dev, ino);
    if ((slot->dev | slot->ino) != 0) return 0;
    *slot = (kav_visited_key){dev, ino};
    set->used++;
    return 1;
}
