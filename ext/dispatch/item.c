#define _GNU_SOURCE
#include "item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

kav_frame *kav_frame_new(const uint8_t *message, size_t len, const int *fds)
{
    const kav_batch_header *header = (const kav_batch_header *)message;
    size_t items_len = header->fd_count * sizeof(kav_item);
    kav_frame *frame = malloc(sizeof *frame + items_len + len);
    if (!frame) return NULL;
    frame->items = (kav_item *)frame->bytes;
    frame->count = frame->open = header->fd_count;
    uint8_t *copy = frame->bytes + items_len;
    memcpy(copy, message, len);
    memset(frame->items, 0, items_len);
    frame->blob = kav_wire_blob(copy);

    const kav_entry *entries = kav_wire_entries(copy);
    uint32_t file = 0;
    for (uint32_t i = 0; i < header->count; i++) {
        if (entries[i].kind != KAV_E_FILE) continue;
        kav_item *item = &frame->items[file];
        item->frame = frame;
        item->entry = &entries[i];
        item->fd = fds[file];
        file++;
    }
    return frame;
}

static int64_t nanoseconds(struct statx_timestamp t)
{
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

kav_item *kav_item_submitted(int fd, const void *path, size_t path_len, uint32_t delta)
{
    struct statx st;
    /* What the kernel knows since it was opened: to ask a file system that is gone would let everybody wait. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS | STATX_BTIME, &st)) return NULL;
    size_t len = sizeof(kav_batch_header) + sizeof(kav_entry) + path_len;
    uint8_t *message = malloc(len);
    if (!message) return NULL;
    kav_batch_header header = {KAV_BATCH_MAGIC, 1, (uint32_t)path_len, 1};
    kav_entry entry = {
        .dev = (uint64_t)st.stx_dev_major << 32 | st.stx_dev_minor,
        .ino = st.stx_ino,
        .size = st.stx_size,
        .mtime_ns = nanoseconds(st.stx_mtime),
        .ctime_ns = nanoseconds(st.stx_ctime),
        .btime_ns = st.stx_mask & STATX_BTIME ? nanoseconds(st.stx_btime) : INT64_MIN,
        .mode = st.stx_mode,
        .nlink = st.stx_nlink,
        .name_len = (uint32_t)path_len,
        .delta = delta,
        .kind = KAV_E_FILE,
        .flags = KAV_EF_DEDUP,
    };
    memcpy(message, &header, sizeof header);
    memcpy(message + sizeof header, &entry, sizeof entry);
    memcpy(message + sizeof header + sizeof entry, path, path_len);
    kav_frame *frame = kav_frame_new(message, len, &fd);
    free(message);
    if (!frame) return NULL;
    frame->items->asked = true;
    return frame->items;
}

static bool hand_back(kav_spent *spent, int fd)
{
    if (spent->count == spent->room) {
        size_t room = spent->room ? spent->room * 2 : 64;
        int *grown = realloc(spent->fds, room * sizeof *grown);
        if (!grown) return false;
        spent->fds = grown;
        spent->room = room;
    }
    spent->fds[spent->count++] = fd;
    return true;
}

void kav_item_done(kav_item *item, kav_spent *spent)
{
    kav_frame *frame = item->frame;
    if (item->fd >= 0 && item->entry->flags & KAV_EF_COLD)
        posix_fadvise(item->fd, 0, 0, POSIX_FADV_DONTNEED); /* the page cache as we found it */
    if (item->fd >= 0 && !(spent && item->asked && hand_back(spent, item->fd))) close(item->fd);
    free(item->notes);
    free(item->earlier);
    if (--frame->open == 0) free(frame);
}

int kav_item_add_notes(kav_item *item, const uint8_t *notes, size_t len, uint32_t count)
{
    if (!len) return 0;
    uint8_t *grown = realloc(item->notes, item->notes_len + len);
    if (!grown) return -ENOMEM;
    memcpy(grown + item->notes_len, notes, len);
    item->notes = grown;
    item->notes_len += len;
    item->note_count += count;
    return 0;
}

void kav_item_drop_notes(kav_item *item)
{
    item->notes_len = item->notes_kept;
    item->note_count = item->note_kept;
    item->gravest = 0;
}

void kav_item_keep_notes(kav_item *item)
{
    item->notes_kept = item->notes_len;
    item->note_kept = item->note_count;
    item->gravest = 0;
}
