#include "seen.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_CAPACITY 256 /* power of two */

void kav_seen_init(kav_seen *seen)
{
    memset(seen, 0, sizeof *seen);
    if (getrandom(&seen->key, sizeof seen->key, GRND_NONBLOCK) < 0) seen->key = (uint64_t)(uintptr_t)seen;
}

void kav_seen_clear(kav_seen *seen)
{
    for (size_t i = 0; i < seen->capacity; i++) free(seen->slots[i].verdict);
    free(seen->slots);
    seen->slots = NULL;
    seen->capacity = seen->count = 0;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t home_of(const kav_seen *seen, uint64_t dev, uint64_t ino)
{
    return mix(mix(ino ^ seen->key) + dev) & (seen->capacity - 1);
}

/* The used slot of this inode, or the unused one where it would go. The table is never full. */
static kav_seen_slot *probe(const kav_seen *seen, uint64_t dev, uint64_t ino)
{
    size_t at = home_of(seen, dev, ino);
    for (;;) {
        kav_seen_slot *slot = &seen->slots[at];
        if (!slot->used || (slot->ino == ino && slot->dev == dev)) return slot;
        at = (at + 1) & (seen->capacity - 1);
    }
}

static int grow(kav_seen *seen)
{
    kav_seen larger = *seen;
    larger.capacity = seen->capacity ? seen->capacity * 2 : FIRST_CAPACITY;
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots) return -1;
    for (size_t i = 0; i < seen->capacity; i++) {
        const kav_seen_slot *slot = &seen->slots[i];
        if (slot->used) *probe(&larger, slot->dev, slot->ino) = *slot;
    }
    free(seen->slots);
    *seen = larger;
    return 0;
}

kav_seen_slot *kav_seen_find(kav_seen *seen, uint64_t dev, uint64_t ino)
{
    if (!seen->capacity) return NULL;
    kav_seen_slot *slot = probe(seen, dev, ino);
    return slot->used ? slot : NULL;
}

void kav_seen_renew(kav_seen_slot *slot, kav_item *item)
{
    const kav_entry *entry = item->entry;
    free(slot->verdict);
    *slot = (kav_seen_slot){
        .dev = entry->dev,
        .ino = entry->ino,
        .size = entry->size,
        .mtime_ns = entry->mtime_ns,
        .ctime_ns = entry->ctime_ns,
        .btime_ns = entry->btime_ns,
        .item = item,
        .used = true,
    };
}

kav_seen_slot *kav_seen_put(kav_seen *seen, kav_item *item)
{
    if ((seen->count + 1) * 3 > seen->capacity * 2 && grow(seen)) return NULL;
    kav_seen_slot *slot = probe(seen, item->entry->dev, item->entry->ino);
    slot->verdict = NULL;
    kav_seen_renew(slot, item);
    seen->count++;
    return slot;
}

void kav_seen_settle(kav_seen_slot *slot, kav_verdict *verdict, bool share)
{
    slot->item = NULL;
    slot->dropped =
        !share || (verdict && (uint64_t)verdict->data_len + verdict->text_len + verdict->layers_len > KAV_SEEN_KEEP);
    if (slot->dropped) free(verdict);
    else slot->verdict = verdict;
}

/* Those behind it move up, as far as each can still be found from its home. */
void kav_seen_remove(kav_seen *seen, kav_seen_slot *slot)
{
    size_t mask = seen->capacity - 1, hole = (size_t)(slot - seen->slots);
    free(slot->verdict);
    for (size_t at = (hole + 1) & mask; seen->slots[at].used; at = (at + 1) & mask) {
        const kav_seen_slot *next = &seen->slots[at];
        size_t home = home_of(seen, next->dev, next->ino);
        if (((at - home) & mask) < ((at - hole) & mask)) continue;
        seen->slots[hole] = *next;
        hole = at;
    }
    memset(&seen->slots[hole], 0, sizeof *slot);
    seen->count--;
}

bool kav_seen_same(const kav_seen_slot *slot, const kav_entry *entry)
{
    return slot->size == entry->size && slot->mtime_ns == entry->mtime_ns && slot->ctime_ns == entry->ctime_ns &&
           slot->btime_ns == entry->btime_ns;
}
