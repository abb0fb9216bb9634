/* Pending items become work. A piece of work is cut when a worker can take it, not when a batch arrives: small batches
 * are joined, large ones are shared out, and an object that must be alone is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "state.h"

#define WORKER_ITEMS KAV_BATCH_FILES       /* one more worker pays off for each of these ... */
#define WORKER_BYTES (KAV_BATCH_BYTES / 2) /* ... or each of these */

void kav_give_push(kav_dispatch *d, kav_item *item)
{
    item->next = NULL;
    if (d->tail) d->tail->next = item;
    else d->head = item;
    d->tail = item;
    d->pending++;
    d->pending_bytes += item->entry->size;
}

void kav_give_front(kav_dispatch *d, kav_item *item)
{
    item->next = d->head;
    d->head = item;
    if (!d->tail) d->tail = item;
    d->pending++;
    d->pending_bytes += item->entry->size;
}

static kav_item *pop(kav_dispatch *d)
{
    kav_item *item = d->head;
    d->head = item->next;
    if (!d->head) d->tail = NULL;
    item->next = NULL;
    d->pending--;
    d->pending_bytes -= item->entry->size;
    return item;
}

uint32_t kav_give_demand(const kav_dispatch *d)
{
    uint64_t items = d->pending + d->flying;
    uint64_t bytes = d->pending_bytes + d->flying_bytes;
    uint64_t demand = (items + WORKER_ITEMS - 1) / WORKER_ITEMS;
    if (demand < bytes / WORKER_BYTES + 1) demand = bytes / WORKER_BYTES + 1;
    if (demand > items) demand = items;
    return demand < d->options.workers_max ? (uint32_t)demand : d->options.workers_max;
}

/* A second piece waits at a worker so that it never idles; not behind a long one, where it would only be stuck. */
static bool can_take(const kav_worker *worker, bool only_idle)
{
    if (worker->socket < 0 || !worker->ready || worker->refuses) return false;
    if (!worker->load) return true;
    return !only_idle && worker->load < KAV_DISPATCH_LOAD && worker->bytes < KAV_BATCH_BYTES;
}

static kav_worker *least_loaded(kav_dispatch *d)
{
    bool only_idle = d->live_workers < kav_give_demand(d);
    kav_worker *best = NULL;
    for (uint32_t i = 0; i < d->worker_count; i++) {
        kav_worker *worker = &d->workers[i];
        if (!can_take(worker, only_idle)) continue;
        if (!best || worker->load < best->load) best = worker;
        if (!best->load) break;
    }
    return best;
}

static void cut(kav_dispatch *d, kav_work *work)
{
    uint32_t share = (d->pending + d->live_workers - 1) / d->live_workers;
    if (share > KAV_BATCH_FILES) share = KAV_BATCH_FILES;
    do {
        kav_item *item = pop(d);
        work->items[work->count++] = item;
        work->bytes += item->entry->size;
        if (item->alone) break;
    } while (work->count < share && work->bytes < KAV_BATCH_BYTES && !d->head->alone);
    work->left = work->count;
}

static int send_work(const kav_worker *worker, const kav_work *work)
{
    kav_work_header header = {.magic = KAV_WORK_MAGIC, .count = work->count, .batch = work->id};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * KAV_BATCH_FILES)];
    } control;
    kav_work_item items[KAV_BATCH_FILES];
    for (uint32_t i = 0; i < work->count; i++) items[i] = (kav_work_item){.delta = work->items[i]->entry->delta};
    struct iovec parts[] = {{&header, sizeof header}, {items, work->count * sizeof *items}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2, .msg_control = &control};
    message.msg_controllen = CMSG_SPACE(sizeof(int) * work->count);
    memset(&control, 0, message.msg_controllen);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * work->count);
    int *fds = (int *)CMSG_DATA(rights);
    for (uint32_t i = 0; i < work->count; i++) fds[i] = work->items[i]->fd;
    ssize_t sent;
    do sent = sendmsg(worker->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static void attach(kav_dispatch *d, kav_worker *worker, kav_work *work)
{
    kav_work **end = &worker->works;
    while (*end) end = &(*end)->next;
    *end = work;
    if (!worker->load) worker->in_hand_ms = 0;
    worker->load++;
    worker->bytes += work->bytes;
    d->flying += work->count;
    d->flying_bytes += work->bytes;
}

void kav_give_forget(kav_dispatch *d, kav_worker *worker, kav_work *work)
{
    kav_work **at = &worker->works;
    while (*at != work) at = &(*at)->next;
    *at = work->next;
    worker->load--;
    worker->bytes -= work->bytes;
    d->flying_bytes -= work->bytes;
    free(work);
}

static bool is_shortage(int error)
{
    return error == -EAGAIN || error == -ETOOMANYREFS || error == -ENOBUFS || error == -ENOMEM;
}

static int give_to(kav_dispatch *d, kav_worker *worker)
{
    kav_work *work = calloc(1, sizeof *work);
    if (!work) return -ENOMEM;
    work->id = d->next_work++;
    cut(d, work);
    int failed = send_work(worker, work);
    if (!failed) {
        attach(d, worker, work);
        return 0;
    }
    for (uint32_t i = work->count; i-- > 0;) kav_give_front(d, work->items[i]);
    free(work);
    if (is_shortage(failed)) { /* of socket buffer, or of descriptors in flight: there is room when others were read */
        worker->refuses = d->refused = true;
        return 0;
    }
    return kav_watch_lose(d, worker, "closed its socket");
}

int kav_give(kav_dispatch *d)
{
    while (d->head && !d->held) {
        kav_worker *worker = least_loaded(d);
        if (!worker) return 0;
        int failed = give_to(d, worker);
        if (failed) return failed;
    }
    return 0;
}
