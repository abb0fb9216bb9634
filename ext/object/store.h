/* Store: where the bytes of a member wait while it is scanned: a memory arena, then a nameless spill file.
 *
 *     arena  | outer container | member in it | member of that ...        spill  | large member | larger one inside ...
 *
 * Both are stacks: members nest, so what was stored last is released first, and only the last one grows. A member that
 * outgrows the arena moves to the spill file whole; its holes stay holes there. The arena is small, so that a worker is
 * no larger for a large object. The file keeps its length until the object is over: members that follow each other are
 * written where the pages are.
 */
#ifndef KAV_STORE_H
#define KAV_STORE_H

#include "source.h"

#include <stdbool.h>

typedef struct {
    uint8_t *arena;
    uint64_t arena_size, arena_used;
    int spill_fd;                              /* -1: none */
    uint64_t spill_max, spill_used, spill_end; /* _end: length of the file */
} kav_store;

typedef struct {
    uint64_t arena_at, spill_at; /* where both stacks stood when it began */
    uint64_t size;
    bool spilled;
} kav_stored;

int kav_store_init(kav_store *s, uint64_t arena_size, int spill_fd, uint64_t spill_max); /* 0, -ENOMEM */
void kav_store_free(kav_store *s);

kav_stored kav_store_begin(kav_store *s);

/* Append bytes, or len zero bytes when bytes is NULL. 0; -ENOSPC when neither place has room (nothing was appended);
 * another -errno when the spill file cannot be written. */
int kav_store_append(kav_store *s, kav_stored *m, const void *bytes, uint64_t len);

/* The member as a source, valid until its release. */
kav_source kav_store_source(const kav_store *s, const kav_stored *m);

/* Forget the member and everything stored after it. */
void kav_store_release(kav_store *s, const kav_stored *m);

/* Bytes that a member to come may have for sure, as far as limits go. */
uint64_t kav_store_room(const kav_store *s);

/* Nothing is stored: what the spill file holds goes back. */
void kav_store_empty(kav_store *s);

/* Nothing is stored, nor will be soon: the arena's pages go back as well. */
void kav_store_rest(kav_store *s);

#endif
