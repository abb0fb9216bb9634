/* Item: one file on its way to a verdict, and the frame it came in.
 *
 * A frame is a walker's message, kept until every file in it has its verdict: the paths stay where they arrived and are
 * copied only into an event. An item owns its descriptor; closing and freeing go through kav_item_done alone.
 *
 * To close what somebody else has opened can take as long as its file system likes (FUSE is asked, FLUSH): so what was
 * submitted can be handed back instead, to be closed where nobody waits for it.
 */
#ifndef KAV_ITEM_H
#define KAV_ITEM_H

#include <stdbool.h>

#include "kav.h"

typedef struct kav_frame kav_frame;
typedef struct kav_item kav_item;
typedef struct kav_earlier kav_earlier;

/* Descriptors that are not needed any more and not closed. */
typedef struct {
    int *fds;
    size_t count, room;
} kav_spent;

struct kav_item {
    kav_frame *frame;
    const kav_entry *entry; /* in the frame */
    kav_item *next;         /* pending queue, or the aliases of another item */
    kav_item *aliases;      /* other paths to this inode that wait for this verdict */
    kav_earlier *earlier;   /* what the classes before this one said; NULL: nothing yet */
    uint8_t *notes;         /* of earlier classes, then of KAV_F_MORE records */
    size_t notes_len, notes_kept;
    uint64_t tag;
    uint32_t note_count, note_kept; /* kept: of earlier classes */
    int gravest;    /* rank of the gravest note a worker of this class has sent, those that found no room too */
    uint8_t engine; /* the class that it waits for or is with */
    int fd;         /* -1: closed */
    uint8_t blame;  /* see kav_watch_blame */
    uint8_t tries;  /* workers that died with it unanswered */
    bool alone;     /* goes to a worker as the only object of its work */
    bool started;   /* a worker has shown it as the object in hand */
    bool first;     /* stands in the table of inodes as the one that is scanned */
    bool second;    /* the scan of another path to this inode came to nothing; its verdict is everybody's */
    bool asked;     /* submitted: what is found is nobody's who comes later */
    bool aborted;   /* its end says nothing about the bytes, and is nobody else's */
    bool told;      /* aborted, and a worker has it still: what it says is dropped */
};

struct kav_frame {
    uint32_t open; /* items without a verdict */
    uint32_t count;
    kav_item *items;
    const uint8_t *blob;
    uint8_t bytes[] __attribute__((aligned(16))); /* items, then the message */
};

/* A frame for a checked message; its items have fds[i] in order, -1 where none came. NULL: out of memory (the
 * descriptors are still the caller's). A frame without files is NULL too; ask only with fd_count > 0. */
kav_frame *kav_frame_new(const uint8_t *message, size_t len, const int *fds);

/* A frame of one item around an open descriptor, its entry filled in by statx. NULL: errno says why. */
kav_item *kav_item_submitted(int fd, const void *path, size_t path_len, uint32_t delta);

/* The item has its verdict: close, free; the frame goes with its last item. spent not NULL: what was submitted goes
 * there instead of being closed. */
void kav_item_done(kav_item *item, kav_spent *spent);

/* Append the notes of a KAV_F_MORE record. 0 or -ENOMEM. */
int kav_item_add_notes(kav_item *item, const uint8_t *notes, size_t len, uint32_t count);
void kav_item_drop_notes(kav_item *item); /* those of this class */
void kav_item_keep_notes(kav_item *item); /* the class is done with it */

static inline const uint8_t *kav_item_dir(const kav_item *item)
{
    return item->frame->blob + item->entry->dir_off;
}
static inline const uint8_t *kav_item_name(const kav_item *item)
{
    return item->frame->blob + item->entry->name_off;
}

/* The row of the delta table that is enough: the native engine's, as only what it knows changes from row to row. */
static inline uint32_t kav_item_delta(const kav_item *item)
{
    return item->engine == KAV_ENGINE_NATIVE ? item->entry->delta : 0;
}

#endif
