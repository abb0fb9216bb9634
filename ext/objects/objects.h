/* Objects: the two-level object cache: "these bytes were found clean and complete", whatever their name.
 *
 *     level 1   a table in shared memory (memfd), lives as long as the coordinator
 *     level 2   the same table in a file, read with pread; only for what costs more than a read from a disk
 *
 * Both are arrays of buckets of KAV_OBJECT_WAYS records of 64 bytes; a record is believed only when its seal and its
 * whole key are right, so a torn or damaged one is a miss. Only the coordinator writes; workers have level 1 mapped
 * read-only and level 2 open for reading. A full bucket gives up its oldest record.
 *
 * Only clean and complete objects are kept, with the budget that they used: a hit charges it again, and does not count
 * where the budget would not have been enough. Nothing is kept that an exception touched.
 */
#ifndef KAV_OBJECTS_H
#define KAV_OBJECTS_H

#include "kav.h"
#include <stdbool.h>

#define KAV_OBJECT_WAYS   8
#define KAV_OBJECT_COSTLY (64u << 10) /* bytes to be scanned from which a plain object has its place in level 2 */

typedef struct kav_objects kav_objects;

typedef struct {
    int memory;                    /* level 1: descriptor of a sealed memfd of memory_len bytes, or -1 */
    int file;                      /* level 2: descriptor of a file, or -1 */
    uint64_t memory_len, file_len; /* multiples of KAV_OBJECT_WAYS * 64 */
    uint8_t secret[32];
    bool writable;
} kav_objects_options;

kav_objects *kav_objects_new(const kav_objects_options *options); /* NULL and errno */
void kav_objects_free(kav_objects *o);

/* The key of an object: keyed hash of content fingerprint, size, type, and the context digest (generation, settings
 * that decide what is opened, every outside fact that a signature of this image can ask for). */
void kav_objects_key(const kav_objects *o, const uint8_t context[16], const uint8_t fingerprint[16], uint64_t size,
                     uint16_t format, uint8_t target, uint8_t out[16]);

/* True: known, *out filled in (all but key). costly: ask level 2, too, if it is not the only one anyway. A hit there is
 * not copied to level 1 by readers. */
bool kav_objects_find(const kav_objects *o, const uint8_t key[16], bool costly, kav_learned *out);

/* Coordinator only. Level 1 at once; level 2 when flushed: containers, what has KAV_OBJECT_COSTLY bytes, and everything
 * where there is no level 1. */
void kav_objects_put(kav_objects *o, const kav_learned *learned);
bool kav_objects_due(const kav_objects *o); /* enough waits to be flushed while the scan goes on */
int kav_objects_flush(kav_objects *o);      /* 0 or -errno; after an error level 2 is no longer written */

#endif
