/* Batch: entries of one thread on their way to the coordinator. */
#ifndef KAV_WALK_BATCH_H
#define KAV_WALK_BATCH_H

#include "outlet.h"

#define KAV_BLOB_MAX (KAV_MESSAGE_MAX - sizeof(kav_batch_header) - KAV_BATCH_FILES * sizeof(kav_entry))

typedef struct {
    uint32_t count, fd_count, blob_len;
    uint64_t bytes;   /* of the files in it */
    uint64_t dir_id;  /* whose path is in the blob; 0 = none */
    uint32_t dir_off; /* where */
    int fds[KAV_BATCH_FILES];
    kav_entry entries[KAV_BATCH_FILES];
    char blob[KAV_BLOB_MAX];
} kav_batch;

/* Where an entry stands. Directories are told apart by id, so that the path is stored once per batch and directory. */
typedef struct {
    uint64_t dir_id; /* 0 = a path of its own, stored with this entry alone */
    const char *dir;
    size_t dir_len;
    const char *name;
    size_t name_len;
} kav_where;

/* Whether an entry there still fits. True for every one in an empty batch, as long as directory and name
 * together have at most KAV_PATH_MAX bytes. */
bool kav_batch_fits(const kav_batch *batch, const kav_where *where);

/* Add an entry that fits; offsets are filled in here. *fd* (of KAV_E_FILE, else -1) belongs to the batch from now on.
 */
void kav_batch_add(kav_batch *batch, const kav_entry *entry, const kav_where *where, int fd);

/* Whether it is time to send: enough files or enough bytes. */
bool kav_batch_full(const kav_batch *batch);

/* Close the descriptors and forget the entries. */
void kav_batch_clear(kav_batch *batch);

/* Send and clear; the batch is empty afterwards in any case. An empty one is not sent. As kav_outlet_send. */
int kav_batch_send(kav_batch *batch, kav_outlet *outlet);

#endif
