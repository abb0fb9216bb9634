#include "dispatch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "merge.h"
#include "state.h"

#define WATCH_MS      20  /* how often budgets are looked at */
#define PASSED_MS     200 /* a longer gap was our own standstill */
#define ROUND_MS      50  /* longest single wait */
#define LATER_BATCHES 4   /* that may wait for a class that is not the first */
#define AGAIN_MS      5   /* wait after a worker's socket had no room */

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

kav_dispatch *kav_dispatch_new(const kav_dispatch_options *options)
{
    kav_dispatch *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->message = malloc(KAV_MESSAGE_MAX);
    if (!d->message) {
        free(d);
        return NULL;
    }
    d->options = *options;
    if (d->options.fd_budget < KAV_BATCH_FILES) d->options.fd_budget = KAV_BATCH_FILES;
    for (uint32_t i = 0; i < KAV_ENGINE_COUNT; i++) kav_dispatch_set_workers(d, i, options->classes[i].workers_max);
    d->next_work = 1; /* 0 is what an untouched slot says */
    d->now_ms = clock_ms();
    d->epoll = -1;
    kav_seen_init(&d->seen);
    return d;
}

kav_spent *kav_dispatch_spent(kav_dispatch *d)
{
    return d->options.hand_back ? &d->spent : NULL;
}

size_t kav_dispatch_take_spent(kav_dispatch *d, int *fds, size_t most)
{
    size_t count = d->spent.count < most ? d->spent.count : most;
    d->spent.count -= count;
    if (count) memcpy(fds, d->spent.fds + d->spent.count, count * sizeof *fds);
    return count;
}

static void discard(kav_dispatch *d, kav_item *item)
{
    while (item->aliases) {
        kav_item *alias = item->aliases;
        item->aliases = alias->next;
        kav_item_done(alias, kav_dispatch_spent(d));
    }
    kav_item_done(item, kav_dispatch_spent(d));
}

static void unmap_slot(const kav_slot *slot)
{
    munmap((void *)(uintptr_t)slot, (size_t)sysconf(_SC_PAGESIZE));
}

/* Another process may hold the socket for the moment between a fork and its own closing: so it is taken out by name. */
void kav_dispatch_hang_up(kav_dispatch *d, kav_worker *worker)
{
    if (worker->socket < 0) return;
    if (d->epoll >= 0) epoll_ctl(d->epoll, EPOLL_CTL_DEL, worker->socket, NULL);
    close(worker->socket);
    worker->socket = -1;
    d->classes[worker->engine].live_workers--;
}

static int listen_to(const kav_dispatch *d, int socket)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(d->epoll, EPOLL_CTL_ADD, socket, &event) ? -errno : 0;
}

int kav_dispatch_fileno(kav_dispatch *d)
{
    if (d->epoll >= 0) return d->epoll;
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d->epoll < 0) return -errno;
    int failed = 0;
    for (uint32_t i = 0; i < d->worker_count && !failed; i++)
        if (d->workers[i].socket >= 0) failed = listen_to(d, d->workers[i].socket);
    if (!failed) return d->epoll;
    close(d->epoll);
    d->epoll = -1;
    return failed;
}

static void free_worker(kav_dispatch *d, kav_worker *worker)
{
    while (worker->works) {
        kav_work *work = worker->works;
        worker->works = work->next;
        for (uint32_t i = 0; i < work->count; i++)
            if (work->items[i]) discard(d, work->items[i]);
        free(work);
    }
    kav_dispatch_hang_up(d, worker);
    unmap_slot(worker->slot);
}

static void add_walked(const kav_walker *walker, uint64_t *entries, uint64_t *directories)
{
    *entries += __atomic_load_n(&walker->slot->total, __ATOMIC_RELAXED);
    *directories += __atomic_load_n(&walker->slot->index, __ATOMIC_RELAXED);
}

/* What a walker's slot says of its file systems; it may be nonsense, and then less is remembered, or what that walker
 * could have had remembered anyway. */
static void tell_newest(kav_dispatch *d, const kav_walker *walker)
{
    int64_t newest = __atomic_load_n(&walker->slot->newest, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < walker->device_count; i++) kav_keep_newest(&d->keep, walker->devices[i], newest);
}

void kav_dispatch_close_walker(kav_dispatch *d, kav_walker *walker)
{
    tell_newest(d, walker);
    add_walked(walker, &d->walked, &d->directories);
    close(walker->socket);
    unmap_slot(walker->slot);
    *walker = d->walkers[--d->walker_count];
}

void kav_dispatch_drop(kav_dispatch *d)
{
    while (d->walker_count) kav_dispatch_close_walker(d, &d->walkers[0]);
    while (d->worker_count) free_worker(d, &d->workers[--d->worker_count]);
    for (uint32_t i = 0; i < KAV_ENGINE_COUNT; i++)
        while (d->classes[i].head) discard(d, kav_give_pop(&d->classes[i]));
}

void kav_dispatch_free(kav_dispatch *d)
{
    if (!d) return;
    kav_dispatch_drop(d);
    for (size_t i = 0; i < d->spent.count; i++) close(d->spent.fds[i]);
    free(d->spent.fds);
    kav_seen_clear(&d->seen);
    kav_events_free(&d->events);
    kav_keep_close(&d->keep);
    if (d->epoll >= 0) close(d->epoll);
    free(d->message);
    free(d);
}

static const kav_slot *map_slot(int fd)
{
    const void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

int kav_dispatch_set_stores(kav_dispatch *d, const kav_dispatch_stores *stores)
{
    return kav_keep_open(&d->keep, stores);
}

static void remember(kav_dispatch *d, bool last)
{
    for (uint32_t i = 0; i < d->walker_count; i++) tell_newest(d, &d->walkers[i]);
    kav_keep_flush(&d->keep, last);
}

int kav_dispatch_finish(kav_dispatch *d)
{
    remember(d, true);
    return d->keep.error;
}

int kav_dispatch_add_walker(kav_dispatch *d, uint32_t id, int socket, int slot_fd)
{
    if (d->walker_count == KAV_DISPATCH_WALKERS) return -EMFILE;
    const kav_slot *slot = map_slot(slot_fd);
    if (!slot) return -errno;
    d->walkers[d->walker_count++] = (kav_walker){.id = id, .socket = socket, .slot = slot};
    return 0;
}

int kav_dispatch_add_worker(kav_dispatch *d, uint32_t id, uint32_t engine, int socket, int slot_fd)
{
    if (engine >= KAV_ENGINE_COUNT) return -EINVAL;
    if (d->worker_count == KAV_DISPATCH_WORKERS) return -EMFILE;
    const kav_slot *slot = map_slot(slot_fd);
    if (!slot) return -errno;
    int failed = d->epoll >= 0 ? listen_to(d, socket) : 0;
    if (failed) {
        unmap_slot(slot);
        return failed;
    }
    d->workers[d->worker_count++] = (kav_worker){.id = id, .engine = (uint8_t)engine, .socket = socket, .slot = slot};
    d->classes[engine].live_workers++;
    return 0;
}

int kav_dispatch_forget(kav_dispatch *d)
{
    if (d->outstanding) return -EBUSY;
    kav_seen_clear(&d->seen);
    return 0;
}

void kav_dispatch_set_workers(kav_dispatch *d, uint32_t engine, uint32_t workers_max)
{
    if (engine >= KAV_ENGINE_COUNT) return;
    d->options.classes[engine].workers_max = workers_max < KAV_DISPATCH_WORKERS ? workers_max : KAV_DISPATCH_WORKERS;
}

void kav_dispatch_set_held(kav_dispatch *d, bool held)
{
    d->held = held;
}

void kav_dispatch_set_want_clean(kav_dispatch *d, bool want_clean)
{
    d->options.want_clean = want_clean;
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

/* One batch waits in front of the first class. Those that follow are slower to start and to answer; that more may wait
 * for them keeps the first one busy. */
static bool has_room(const kav_dispatch *d)
{
    uint32_t first = kav_merge_first(d);
    for (uint32_t i = 0; i < KAV_ENGINE_COUNT; i++) {
        const kav_class *class = &d->classes[i];
        uint32_t times = i == first ? 1 : LATER_BATCHES;
        if (class->pending >= KAV_BATCH_FILES * times || class->pending_bytes >= (uint64_t)KAV_BATCH_BYTES * times)
            return false;
    }
    return true;
}

/* When too many descriptors are on their way for us to send, reading is what makes them fewer. */
bool kav_dispatch_may_read(const kav_dispatch *d)
{
    if (d->held || d->fds_held + KAV_BATCH_FILES > d->options.fd_budget) return false;
    return d->refused || has_room(d);
}

typedef struct {
    struct pollfd fds[1 + KAV_DISPATCH_WORKERS + KAV_DISPATCH_WALKERS];
    uint32_t workers, walkers; /* how many of them are in fds, behind the wake descriptor */
} poll_set;

static void fill(kav_dispatch *d, poll_set *set, int wake_fd)
{
    struct pollfd *at = set->fds;
    *at++ = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    for (uint32_t i = 0; i < d->worker_count; i++) {
        *at++ = (struct pollfd){.fd = d->workers[i].socket, .events = POLLIN};
    }
    bool listen = kav_dispatch_may_read(d);
    for (uint32_t i = 0; i < d->walker_count; i++) {
        d->walkers[i].listened = listen;
        *at++ = (struct pollfd){.fd = listen ? d->walkers[i].socket : -1, .events = POLLIN};
    }
    set->workers = d->worker_count;
    set->walkers = d->walker_count;
}

static int read_ready(kav_dispatch *d, const poll_set *set)
{
    const struct pollfd *at = set->fds + 1;
    for (uint32_t i = 0; i < set->workers; i++, at++) {
        if (!at->revents || d->workers[i].socket < 0) continue;
        int failed = kav_take_results(d, &d->workers[i]);
        if (failed) return failed;
    }
    int failed = kav_give(d); /* workers first: they must not wait for walkers */
    at += set->walkers;
    for (uint32_t i = set->walkers; i-- > 0 && !failed;) { /* backwards: a closed one is replaced by the last */
        at--;
        if (!at->revents || !kav_dispatch_may_read(d)) continue;
        failed = kav_take_walker(d, &d->walkers[i]);
        if (!failed) failed = kav_give(d);
    }
    return failed;
}

static int watch(kav_dispatch *d)
{
    uint64_t now = clock_ms();
    uint64_t passed = now - d->now_ms;
    if (passed < WATCH_MS) return 0;
    d->now_ms = now;
    remember(d, false);
    return kav_watch(d, passed < PASSED_MS ? passed : PASSED_MS);
}

static int flags_now(const kav_dispatch *d)
{
    int flags = 0;
    if (d->events.count) flags |= KAV_STEP_EVENT;
    if (kav_dispatch_wanted(d)) flags |= KAV_STEP_WANT;
    if (!d->walker_count && !d->outstanding) flags |= KAV_STEP_DONE;
    return flags;
}

/* Wait for up to wait_ms, then read, send and watch once. kav_step_flag bits that end the step, or -errno. */
static int one_round(kav_dispatch *d, int wake_fd, int wait_ms)
{
    poll_set set;
    fill(d, &set, wake_fd);
    if (d->refused && wait_ms > AGAIN_MS) wait_ms = AGAIN_MS;
    int ready = poll(set.fds, 1 + set.workers + set.walkers, wait_ms);
    if (ready < 0) return errno == EINTR ? KAV_STEP_SIGNAL : -errno;
    int failed = ready > 0 ? read_ready(d, &set) : 0;
    for (uint32_t i = 0; i < d->worker_count; i++) d->workers[i].refuses = false;
    d->refused = false;
    if (!failed) failed = kav_give(d);
    if (!failed) failed = watch(d);
    if (failed) return failed;
    return flags_now(d) | (set.fds[0].revents ? KAV_STEP_WAKE : 0);
}

int kav_dispatch_step(kav_dispatch *d, int wake_fd, uint32_t timeout_ms)
{
    uint64_t now = clock_ms(), end = now + timeout_ms;
    int failed = kav_give(d);
    if (failed) return failed;
    int flags = flags_now(d);
    while (!flags) {
        flags = one_round(d, wake_fd, (int)(end - now < ROUND_MS ? end - now : ROUND_MS));
        now = clock_ms();
        if (now >= end) break;
    }
    return flags;
}

int kav_dispatch_turn(kav_dispatch *d)
{
    int failed = kav_give(d);
    return failed ? failed : one_round(d, -1, 0);
}

/* ---- what Python asks ---------------------------------------------------------------------------------------------
 */

int kav_dispatch_submit(kav_dispatch *d, int fd, const void *path, size_t path_len, uint32_t delta, uint64_t tag)
{
    if (!path_len || path_len > KAV_PATH_MAX || memchr(path, 0, path_len)) return -EINVAL;
    kav_item *item = kav_item_submitted(fd, path, path_len, delta);
    if (!item) return -errno;
    item->tag = tag;
    item->alone = d->options.one_by_one;
    d->outstanding++;
    d->fds_held++;
    d->totals.entries[KAV_E_FILE]++;
    bool joined;
    int failed = kav_settle_join(d, item, &joined);
    if (!failed && !joined) kav_give_push(d, item);
    return failed;
}

size_t kav_dispatch_event_count(const kav_dispatch *d)
{
    return d->events.count;
}
kav_event kav_dispatch_event(const kav_dispatch *d, size_t index)
{
    return kav_events_get(&d->events, index);
}
void kav_dispatch_clear(kav_dispatch *d)
{
    kav_events_clear(&d->events);
}
const kav_dispatch_totals *kav_dispatch_get_totals(const kav_dispatch *d)
{
    return &d->totals;
}
uint64_t kav_dispatch_outstanding(const kav_dispatch *d)
{
    return d->outstanding;
}
uint64_t kav_dispatch_in_hand(const kav_dispatch *d)
{
    uint64_t flying = 0;
    for (uint32_t i = 0; i < KAV_ENGINE_COUNT; i++) flying += d->classes[i].flying;
    return flying;
}
uint32_t kav_dispatch_workers(const kav_dispatch *d, uint32_t engine)
{
    return engine < KAV_ENGINE_COUNT ? d->classes[engine].live_workers : 0;
}
uint32_t kav_dispatch_ready(const kav_dispatch *d, uint32_t engine)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < d->worker_count; i++) {
        const kav_worker *worker = &d->workers[i];
        ready += worker->engine == engine && worker->socket >= 0 && worker->ready;
    }
    return ready;
}
uint32_t kav_dispatch_wanted(const kav_dispatch *d)
{
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < KAV_ENGINE_COUNT && !d->held; i++)
        if (!d->classes[i].given_up && d->classes[i].live_workers < kav_give_demand(d, i)) wanted |= 1u << i;
    return wanted;
}

void kav_dispatch_walked(const kav_dispatch *d, uint64_t *entries, uint64_t *directories)
{
    *entries = d->walked;
    *directories = d->directories;
    for (uint32_t i = 0; i < d->walker_count; i++) add_walked(&d->walkers[i], entries, directories);
}
