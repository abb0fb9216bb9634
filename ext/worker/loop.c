#include "loop.h"
#include "rest.h"
#include "results.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    kav_work_header header;
    kav_work_item items[KAV_BATCH_FILES];
    int fds[KAV_BATCH_FILES];
    size_t fd_count;
} work;

typedef struct {
    kav_slot *slot;
    kav_slot spare; /* stands in where there is no shared memory */
    kav_results results;
} worker;

/* Unpackers ask for buffers of some 100 KiB and give them back, file after file: without this each file gets its pages
 * from the kernel anew. When nothing comes for a while, they go back after all: of several workers, most are idle most
 * of the time. Later the pages of signatures and libraries follow: to map them again takes a part of a millisecond. */
#define HELD_BYTES (16 << 20) /* free memory that stays ours */
#define HEAP_BYTES (1 << 20)  /* what is smaller comes from the heap */
#define IDLE_MS    500
#define ASLEEP_MS  1500

#define AHEAD_LEAST 3 /* with fewer objects nothing is won by reading ahead */

static void hold_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, HEAP_BYTES);
    mallopt(M_TRIM_THRESHOLD, HELD_BYTES);
    mallopt(M_TOP_PAD, HEAP_BYTES);
}

/* The slot is read by another process at any time; nothing is ordered by it. */
#define PUT(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)

static void beat(kav_slot *slot)
{
    PUT(slot->beat, GET(slot->beat) + 1);
}

static void close_all(work *w)
{
    for (size_t i = 0; i < w->fd_count; i++)
        if (w->fds[i] >= 0) close(w->fds[i]);
    w->fd_count = 0;
}

/* Collect every descriptor that came, whatever else is wrong with the message: each one is ours to close. */
static void take_fds(work *w, struct msghdr *message)
{
    w->fd_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (w->fd_count < KAV_BATCH_FILES) w->fds[w->fd_count++] = fd;
            else close(fd);
        }
    }
}

/* Wait for a message. Its length; 0 when the other end has closed; -1: see errno. */
static ssize_t wait_for(int socket, kav_object_scanner *scanner, struct msghdr *message)
{
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    ssize_t n = recvmsg(socket, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n >= 0 || (errno != EAGAIN && errno != EINTR)) return n;
    if (poll(&ready, 1, IDLE_MS) == 0) {
        kav_object_rest(scanner);
        malloc_trim(0);
        if (poll(&ready, 1, ASLEEP_MS) == 0) {
            kav_object_sleep(scanner);
            kav_rest();
        }
    }
    do n = recvmsg(socket, message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    return n;
}

/* Wait for a batch. 1; 0 when the other end has closed; -errno. */
static int receive(int socket, kav_object_scanner *scanner, work *w)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(KAV_BATCH_FILES * sizeof(int))];
    } control;
    struct iovec parts[] = {{&w->header, sizeof w->header}, {w->items, sizeof w->items}};
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n = wait_for(socket, scanner, &message);
    if (n < 0) return errno == ECONNRESET ? 0 : -errno;
    take_fds(w, &message);
    if (n == 0 && w->fd_count == 0) return 0;
    size_t need = sizeof w->header + w->fd_count * sizeof *w->items;
    bool whole = n == (ssize_t)need && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    if (whole && w->header.magic == KAV_WORK_MAGIC && w->header.count == w->fd_count && w->fd_count > 0) return 1;
    close_all(w);
    return -EPROTO;
}

static int on_note(void *context, const kav_note *note, const char *name, const char *member)
{
    worker *k = context;
    return kav_results_note(&k->results, note, name, member);
}

static void on_progress(void *context, uint64_t bytes)
{
    worker *k = context;
    beat(k->slot);
    PUT(k->slot->bytes, bytes);
}

/* Read ahead from the i-th object on; whoever hangs in it is the one in hand. How many objects that was about. */
static uint32_t read_ahead(worker *k, kav_object_scanner *scanner, const work *w, uint32_t i)
{
    uint32_t at = i;
    kav_object_ahead_start(scanner);
    if (w->fd_count - i < AHEAD_LEAST) return (uint32_t)w->fd_count;
    for (; at < w->fd_count && !w->items[at].delta; at++) {
        PUT(k->slot->index, at);
        beat(k->slot);
        if (!kav_object_ahead(scanner, w->fds[at])) break;
    }
    kav_object_ahead_end(scanner);
    return at > i ? at : i + 1; /* a delta */
}

/* Scan a batch and answer it. 0, or -errno. */
static int serve(worker *k, kav_object_scanner *scanner, int socket, work *w)
{
    const kav_object_sinks sinks = {.note = on_note, .progress = on_progress, .context = k};
    kav_slot *slot = k->slot;
    int error = 0;
    uint32_t ahead = 0;
    PUT(slot->batch, w->header.batch);
    kav_results_start(&k->results, socket, w->header.batch);
    for (uint32_t i = 0; i < w->fd_count && error == 0; i++) {
        kav_result result;
        PUT(slot->bytes, 0);
        PUT(slot->state, KAV_SLOT_BUSY);
        if (i == ahead) ahead = read_ahead(k, scanner, w, i);
        PUT(slot->index, i);
        beat(slot);
        kav_results_begin(&k->results, i);
        kav_object_scan(scanner, w->fds[i], w->items[i].delta, &sinks, &result);
        close(w->fds[i]);
        w->fds[i] = -1;
        error = kav_results_end(&k->results, &result, kav_object_layers(scanner), kav_object_learned(scanner));
        PUT(slot->known, GET(slot->known) + kav_object_known(scanner));
        PUT(slot->total, GET(slot->total) + 1);
    }
    kav_object_ahead_start(scanner); /* what was left of it when an error came */
    PUT(slot->state, KAV_SLOT_SENDING);
    beat(slot);
    if (error == 0) error = kav_results_finish(&k->results);
    close_all(w);
    PUT(slot->state, KAV_SLOT_IDLE);
    return error;
}

int kav_worker_run(int socket, kav_slot *slot, kav_object_scanner *scanner)
{
    work w;
    int rc;
    worker *k = calloc(1, sizeof *k);
    if (k == NULL) return -ENOMEM;
    k->slot = slot != NULL ? slot : &k->spare;
    signal(SIGXFSZ, SIG_IGN);
    hold_memory();
    while ((rc = receive(socket, scanner, &w)) == 1) {
        rc = serve(k, scanner, socket, &w);
        if (rc != 0) break;
    }
    free(k);
    return rc == -EPIPE ? 0 : rc; /* nobody waits for the answer any more */
}
