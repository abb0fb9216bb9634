#define _GNU_SOURCE
#include "outlet.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define POLL_MS  100 /* how late a stop is noticed while the reader is slow */
#define RETRY_MS 2   /* between attempts when the kernel's tables are full: nothing to poll for */

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
static int send_now(int socket, const kav_message *message)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(KAV_BATCH_FILES * sizeof(int))];
    } control;
    struct msghdr wire = {.msg_iov = (struct iovec *)message->parts, .msg_iovlen = message->count};
    if (message->fd_count > 0) {
        size_t size = message->fd_count * sizeof *message->fds;
        memset(&control, 0, sizeof control);
        wire.msg_control = &control;
        wire.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&wire);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(size);
        memcpy(CMSG_DATA(rights), message->fds, size);
    }
    return sendmsg(socket, &wire, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
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

static void wait_for_reader(kav_outlet *outlet)
{
    struct pollfd room = {.fd = outlet->sink->socket, .events = POLLOUT};
    set_waiting(outlet, true);
    poll(&room, 1, POLL_MS);
    set_waiting(outlet, false);
}

/* The supervisor listens meanwhile, so the heart must beat: that other processes of our user have too many descriptors
 * on their way is not the fault of what is walked. */
static void wait_for_kernel(kav_outlet *outlet)
{
    struct timespec pause = {0, RETRY_MS * 1000 * 1000};
    kav_slot *slot = outlet->sink->slot;
    set_waiting(outlet, true);
    nanosleep(&pause, NULL);
    if (slot) __atomic_fetch_add(&slot->beat, 1, __ATOMIC_RELAXED);
    set_waiting(outlet, false);
}

/* Whether the kernel's tables are full, which passes: ETOOMANYREFS is too many descriptors on their way. */
static bool is_shortage(int error)
{
    return error == -ETOOMANYREFS || error == -ENOBUFS || error == -ENOMEM;
}

int kav_outlet_send(kav_outlet *outlet, const kav_message *message)
{
    int error;
    uint64_t refused_ms = 0; /* at least so long; a busy machine makes it longer */
    while ((error = send_now(outlet->sink->socket, message)) != 0) {
        if (error == -EINTR) continue;
        if (error == -EAGAIN) {
            wait_for_reader(outlet);
        } else if (is_shortage(error) && refused_ms < outlet->sink->patience_ms) {
            wait_for_kernel(outlet);
            refused_ms += RETRY_MS;
        } else {
            break;
        }
        if (outlet->stop && __atomic_load_n(outlet->stop, __ATOMIC_RELAXED)) return 0;
    }
    return error == -ECONNRESET || error == -ENOTCONN ? -EPIPE : error;
}
