/* Seen: the table of inodes that more than one path may lead to; (dev, ino) -> who is scanned, or what was found.
 *
 * Open addressing, grows by doubling, never shrinks. What was submitted leaves it with its verdict, so that it does not
 * grow for ever where objects come for ever. A slot also holds the rest of the identity: an inode whose size or
 * times differ from those of the first path is another file by now, and the caller scans it again. So is one whose
 * verdict is larger than KAV_SEEN_KEEP: what a worker says of one inode must not fill the memory for the whole run.
 */
#ifndef KAV_SEEN_H
#define KAV_SEEN_H

#include <stdbool.h>

#include "item.h"

#define KAV_SEEN_KEEP (1u << 20) /* bytes of a verdict */

typedef struct {
    uint32_t data_len, text_len, layers_len;
    uint8_t bytes[] __attribute__((aligned(8))); /* kav_result and its notes, then text, then layers */
} kav_verdict;

typedef struct {
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns, btime_ns;
    kav_item *item;       /* in flight; NULL = done or empty */
    kav_verdict *verdict; /* NULL with used and no item: clean, complete, plain, and nothing is remembered */
    bool used;
    bool dropped; /* its verdict is not here: too large to keep, or only good for the path that was read */
    bool failed;  /* the scan came to nothing */
} kav_seen_slot;

typedef struct {
    kav_seen_slot *slots; /* NULL until the first is put */
    size_t capacity, count;
    uint64_t key; /* so that nobody can choose inode numbers that collide */
} kav_seen;

void kav_seen_init(kav_seen *seen);
void kav_seen_clear(kav_seen *seen);

/* The slot of an inode, valid until the next put; NULL: none. */
kav_seen_slot *kav_seen_find(kav_seen *seen, uint64_t dev, uint64_t ino);

/* Make a slot for an inode that has none: in flight as item. NULL: out of memory. */
kav_seen_slot *kav_seen_put(kav_seen *seen, kav_item *item);

/* What was known belongs to an older state of the inode: item is in flight now. */
void kav_seen_renew(kav_seen_slot *slot, kav_item *item);

/* The item in flight has its verdict (NULL: plain); the slot owns it now, and drops it unless it is to be shared. */
void kav_seen_settle(kav_seen_slot *slot, kav_verdict *verdict, bool share);

/* The slot is no more; pointers to others are not valid any longer. */
void kav_seen_remove(kav_seen *seen, kav_seen_slot *slot);

bool kav_seen_same(const kav_seen_slot *slot, const kav_entry *entry); /* size and times too */

#endif
