/* Visited: the set of directories that a walk has listed, by (dev, ino). 23 to 46 bytes per directory.
 *
 * Not locked; the caller does that. The hash is seeded per walk: inode numbers can be chosen by whoever serves a FUSE
 * file system.
 */
#ifndef KAV_VISITED_H
#define KAV_VISITED_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t dev, ino;
} kav_visited_key;

typedef struct {
    kav_visited_key *slots; /* open addressing; dev and ino both 0 = free */
    size_t size;            /* a power of two, or 0 */
    size_t used;
    uint64_t seed;
    int zero; /* whether (0, 0) itself is in the set */
} kav_visited;

void kav_visited_init(kav_visited *set);
void kav_visited_free(kav_visited *set);

/* 1 = added, 0 = was there, -ENOMEM (the set is unchanged). */
int kav_visited_add(kav_visited *set, uint64_t dev, uint64_t ino);

#endif
