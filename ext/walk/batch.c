#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Static_assert(KAV_BLOB_MAX >= KAV_PATH_MAX, "an entry with the longest path fits an empty batch");

#define POLL_MS  100               /* how late a stop is noticed while the reader is slow */
#define RETRY_NS (2 * 1000 * 1000) /* between attempts when the kernel's tables are full: nothing to poll for */

bool kav_batch_fits(const kav_batch *batch, const kav_place *place)
{
    bool known = place->dir_id != 0 && place->dir_id == batch->dir_id;
    size_t need = (known ? 0 : place->dir_len) + place->name_len;
    return batch->count < KAV_BATCH_FILES && need <= KAV_BLOB_MAX - batch->blob_len;
}

static uint32_t put(kav_batch *batch, const char *bytes, size_t len)
{
    uint32_t offset = batch->blob_len;
    memcpy(batch->blob + offset, bytes, len);
    batch->blob_len += (uint32_t)len;
    return offset;
}

void kav_batch_add(kav_batch *batch, const kav_entry *entry, const kav_place *place, int fd)
{
    if (place->dir_id == 0 || place->dir_id != batch->dir_id) {
        batch->dir_off = put(batch, place->dir, place->dir_len);
        batch->dir_id = place->dir_id;
    }
    kav_entry *own = &batch->entries[batch->count++];
    *own = *entry;
    own->dir_off = batch->dir_off;
    own->dir_len = (uint32_t)place->dir_len;
    own->name_off = put(batch, place->name, place->name_len);
    own->name_len = (uint32_t)place->name_len;
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

int kav_outlet_init(kav_outlet *outlet, const kav_walk_sink *sink, volatile int *stop)
{
    outlet->sink = sink;
    outlet->stop = stop;
    outlet->waiting = 0;
    return -pthread_mutex_init(&outlet->lock, NULL);
}

void kav_outlet_free(kav_outlet *outlet)
{
    pthread_mutex_destroy(&outlet->lock);
}

/* One attempt, which does not block: 0 or -errno. */
static int send_now(int socket, kav_batch *batch)
{
    kav_batch_header header = {KAV_BATCH_MAGIC, batch->count, batch->blob_len, batch->fd_count};
    struct iovec parts[] = {
        {&header, sizeof header},
        {batch->entries, batch->count * sizeof *batch->entries},
        {batch->blob, batch->blob_len},
    };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof batch->fds)];
    } control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    if (batch->fd_count > 0) {
        size_t size = batch->fd_count * sizeof *batch->fds;
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(rights), batch->fds, size);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Tell the supervisor that standing still is the reader's doing. Counted, because several threads may wait. */
static void set_waiting(kav_outlet *outlet, bool waits)
{
    kav_slot *slot = outlet->sink->slot;
    pthread_mutex_lock(&outlet->lock);
    outlet->waiting += waits ? 1 : -1u;
    if (slot) {
        uint32_t state = outlet->waiting ? KAV_SLOT_SENDING : KAV_SLOT_BUSY;
        __atomic_store_n(&slot->state, state, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&outlet->lock);
}

static void wait_for_room(kav_outlet *outlet, int why)
{
    struct pollfd room = {.fd = outlet->sink->socket, .events = POLLOUT};
    struct timespec pause = {0, RETRY_NS};
    set_waiting(outlet, true);
    if (why == -EAGAIN) poll(&room, 1, POLL_MS);
    else nanosleep(&pause, NULL);
    set_waiting(outlet, false);
}

/* Whether it can succeed later: the reader is slow, or (ETOOMANYREFS) too many descriptors are on their way. */
static bool passes(int error)
{
    return error == -EAGAIN || error == -ETOOMANYREFS || error == -ENOBUFS || error == -ENOMEM;
}

int kav_outlet_send(kav_outlet *outlet, kav_batch *batch)
{
    int error = 0;
    while (batch->count > 0) {
        error = send_now(outlet->sink->socket, batch);
        if (error == -EINTR) continue;
        if (!passes(error)) break;
        wait_for_room(outlet, error);
        if (outlet->stop && __atomic_load_n(outlet->stop, __ATOMIC_RELAXED)) {
            error = 0; /* what is lost belongs to a walk that nobody wants any more */
            break;
        }
    }
    kav_batch_clear(batch);
    if (error == -ECONNRESET || error == -ENOTCONN) error = -EPIPE;
    return error;
}
