#define _GNU_SOURCE
#include "batch.h"

#include <string.h>
#include <unistd.h>

_Static_assert(KAV_BLOB_MAX >= KAV_PATH_MAX, "an entry with the longest path fits an empty batch");

bool kav_batch_fits(const kav_batch *batch, const kav_where *where)
{
    bool known = where->dir_id != 0 && where->dir_id == batch->dir_id;
    size_t need = (known ? 0 : where->dir_len) + where->name_len;
    return batch->count < KAV_BATCH_FILES && need <= KAV_BLOB_MAX - batch->blob_len;
}

static uint32_t put(kav_batch *batch, const char *bytes, size_t len)
{
    uint32_t offset = batch->blob_len;
    memcpy(batch->blob + offset, bytes, len);
    batch->blob_len += (uint32_t)len;
    return offset;
}

void kav_batch_add(kav_batch *batch, const kav_entry *entry, const kav_where *where, int fd)
{
    if (where->dir_id == 0 || where->dir_id != batch->dir_id) {
        batch->dir_off = put(batch, where->dir, where->dir_len);
        batch->dir_id = where->dir_id;
    }
    kav_entry *own = &batch->entries[batch->count++];
    *own = *entry;
    own->dir_off = batch->dir_off;
    own->dir_len = (uint32_t)where->dir_len;
    own->name_off = put(batch, where->name, where->name_len);
    own->name_len = (uint32_t)where->name_len;
    if (fd < 0) return;
    batch->fds[batch->fd_count++] = fd;
    batch->bytes = entry->size > KAV_BATCH_BYTES ? KAV_BATCH_BYTES : batch->bytes + entry->size;
}

bool kav_batch_full(const kav_batch *batch)
{
    return batch->count == KAV_BATCH_FILES || batch->bytes >= KAV_BATCH_BYTES;
}

void kav_batch_clear(kav_batch *batch)
{
    for (uint32_t i = 0; i < batch->fd_count; i++) close(batch->fds[i]);
    batch->count = batch->fd_count = batch->blob_len = 0;
    batch->bytes = batch->dir_id = 0;
}

int kav_batch_send(kav_batch *batch, kav_outlet *outlet)
{
    if (batch->count == 0) return 0;
    kav_batch_header header = {KAV_BATCH_MAGIC, batch->count, batch->blob_len, batch->fd_count};
    kav_message message = {
        .parts = {{&header, sizeof header},
                  {batch->entries, batch->count * sizeof *batch->entries},
                  {batch->blob, batch->blob_len}},
        .count = 3,
        .fds = batch->fds,
        .fd_count = batch->fd_count,
    };
    int error = kav_outlet_send(outlet, &message);
    kav_batch_clear(batch);
    return error;
}
