/* Pending items become work. A piece of work is cut when a worker can take it, not when a batch arrives: small batches
 * are joined, large ones are shared out, and an object that must be alone is. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "merge.h"
#include "state.h"

#define WORKER_ITEMS KAV_BATCH_FILES       /* one more worker pays off for each of these ... */
#define WORKER_BYTES (KAV_BATCH_BYTES / 2) /* ... or each of these */
#define SHORT_BYTES  (128u << 10)          /* behind so much another object may wait for whom somebody waits */

static void append(kav_dispatch *d, kav_item *item)
{
    kav_class *class = &d->classes[item->engine];
    item->next = NULL;
    if (class->tail) class->tail->next = item;
    else class->head = item;
    class->tail = item;
    class->pending++;
    class->pending_bytes += item->entry->size;
}

void kav_give_push(kav_dispatch *d, kav_item *item)
{
    item->engine = kav_merge_first(d);
    append(d, item);
}

void kav_give_on(kav_dispatch *d, kav_item *item, uint32_t engine)
{
    item->engine = (uint8_t)engine;
    item->blame = item->tries = 0;
    item->alone = d->options.one_by_one;
    item->started = false;
    append(d, item);
}

void kav_give_front(kav_dispatch *d, kav_item *item)
{
    kav_class *class = &d->classes[item->engine];
    item->next = class->head;
    class->head = item;
    if (!class->tail) class->tail = item;
    class->pending++;
    class->pending_bytes += item->entry->size;
}

kav_item *kav_give_pop(kav_class *class)
{
    kav_item *item = class->head;
    class->head = item->next;
    if (!class->head) class->tail = NULL;
    item->next = NULL;
    class->pending--;
    class->pending_bytes -= item->entry->size;
    return item;
}

void kav_give_take(kav_class *class, kav_item *item)
{
    kav_item *before = class->head == item ? NULL : class->head;
    while (before && before->next != item) before = before->next;
    if (before) before->next = item->next;
    else class->head = item->next;
    if (class->tail == item) class->tail = before;
    item->next = NULL;
    class->pending--;
    class->pending_bytes -= item->entry->size;
}

uint32_t kav_give_demand(const kav_dispatch *d, uint32_t engine)
{
    const kav_class *class = &d->classes[engine];
    uint32_t most = d->options.classes[engine].workers_max;
    uint64_t items = class->pending + class->flying;
    uint64_t bytes = class->pending_bytes + class->flying_bytes;
    uint64_t demand = d->options.one_by_one ? items : (items + WORKER_ITEMS - 1) / WORKER_ITEMS;
    if (demand < bytes / WORKER_BYTES + 1) demand = bytes / WORKER_BYTES + 1;
    if (demand > items) demand = items;
    return demand < most ? (uint32_t)demand : most;
}

/* A second piece waits at a worker so that it never idles; not behind a long one, where it would only be stuck. */
static bool can_take(const kav_dispatch *d, const kav_worker *worker, bool only_idle)
{
    if (worker->socket < 0 || !worker->ready || worker->refuses) return false;
    if (!worker->load) return true;
    uint64_t most = d->options.one_by_one ? SHORT_BYTES : KAV_BATCH_BYTES;
    return !only_idle && worker->load < KAV_DISPATCH_LOAD && worker->bytes < most;
}

static kav_worker *least_loaded(kav_dispatch *d, uint32_t engine)
{
    bool only_idle = d->classes[engine].live_workers < kav_give_demand(d, engine);
    kav_worker *best = NULL;
    for (uint32_t i = 0; i < d->worker_count; i++) {
        kav_worker *worker = &d->workers[i];
        if (worker->engine != engine || !can_take(d, worker, only_idle)) continue;
        if (!best || worker->load < best->load) best = worker;
        if (!best->load) break;
    }
    return best;
}

static void cut(kav_class *class, kav_work *work)
{
    uint32_t share = (class->pending + class->live_workers - 1) / class->live_workers;
    if (share > KAV_BATCH_FILES) share = KAV_BATCH_FILES;
    do {
        kav_item *item = kav_give_pop(class);
        work->items[work->count++] = item;
        work->bytes += item->entry->size;
        if (item->alone) break;
    } while (work->count < share && work->bytes < KAV_BATCH_BYTES && !class->head->alone);
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
    for (uint32_t i = 0; i < work->count; i++) items[i] = (kav_work_item){.delta = kav_item_delta(work->items[i])};
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
    d->classes[worker->engine].flying += work->count;
    d->classes[worker->engine].flying_bytes += work->bytes;
}

void kav_give_forget(kav_dispatch *d, kav_worker *worker, kav_work *work)
{
    kav_work **at = &worker->works;
    while (*at != work) at = &(*at)->next;
    *at = work->next;
    worker->load--;
    worker->bytes -= work->bytes;
    d->classes[worker->engine].flying_bytes -= work->bytes;
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
    cut(&d->classes[worker->engine], work);
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

static int give_class(kav_dispatch *d, uint32_t engine)
{
    kav_class *class = &d->classes[engine];
    while (class->head && class->given_up) {
        int failed = kav_settle_failed(d, kav_give_pop(class), KAV_R_ENGINE, class->why, class->why_len);
        if (failed) return failed;
    }
    while (class->head && !d->held) {
        kav_worker *worker = least_loaded(d, engine);
        if (!worker) return 0;
        int failed = give_to(d, worker);
        if (failed) return failed;
    }
    return 0;
}

int kav_give(kav_dispatch *d)
{
    int failed = 0;
    for (uint32_t engine = 0; engine < KAV_ENGINE_COUNT && !failed; engine++) failed = give_class(d, engine);
    return failed;
}

int kav_dispatch_give_up(kav_dispatch *d, uint32_t engine, const void *text, size_t text_len)
{
    if (engine >= KAV_ENGINE_COUNT) return -EINVAL;
    kav_class *class = &d->classes[engine];
    if (class->given_up) return 0;
    class->given_up = true;
    class->why_len = (uint32_t)(text_len < sizeof class->why ? text_len : sizeof class->why);
    memcpy(class->why, text, class->why_len);
    return 0;
}
