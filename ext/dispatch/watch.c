/* Whom to give up, and who is to blame.
 *
 * Time is counted here only while the loop runs: when the coordinator itself stood still (a full pipe behind the
 * report, Ctrl-Z), nobody's budget was used. What a slot says can only shorten a worker's life: an object gets its
 * budget once, when a worker shows it in hand for the first time, and silence has a budget too.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"

#define BLAME_ERROR   4  /* this much blame makes an object an Error ... */
#define BLAME_OWN     2  /* ... a worker that died of itself or was killed by us: the second time */
#define BLAME_FOREIGN 1  /* ... a SIGKILL from outside: the fourth time */
#define TRIES_ALONE   3  /* died with it unanswered, though not in hand: from now on it goes alone */
#define TRIES_ERROR   20 /* the end of it, whatever the slot says */

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static kav_item *item_at(const kav_worker *worker, uint64_t batch, uint32_t index)
{
    for (const kav_work *work = worker->works; work; work = work->next)
        if (work->id == batch) return index < work->count ? work->items[index] : NULL;
    return NULL;
}

kav_item *kav_watch_in_hand(const kav_worker *worker)
{
    if (LOAD(worker->slot->state) != KAV_SLOT_BUSY) return NULL;
    return item_at(worker, LOAD(worker->slot->batch), LOAD(worker->slot->index));
}

int kav_watch_lose(kav_dispatch *d, kav_worker *worker, const char *why)
{
    if (worker->socket < 0) return 0;
    kav_dispatch_hang_up(d, worker);
    return kav_events_say(&d->events, KAV_EV_LOST, worker->id, why);
}

int kav_watch_stalled(kav_dispatch *d, kav_walker *walker, const char *why)
{
    uint32_t id = walker->id;
    kav_dispatch_close_walker(d, walker);
    return kav_events_say(&d->events, KAV_EV_STALLED, id, why);
}

/* ---- time ------------------------------------------------------------------------------------------------------ */

static uint64_t hard_budget_ms(const kav_dispatch *d, const kav_item *item, uint64_t progress)
{
    const kav_limits *limits = &d->options.limits;
    uint64_t budget = limits->time_base_ms + d->options.grace_ms;
    if (!item || !limits->time_rate) return budget;
    uint64_t most = item->entry->size + limits->max_unpacked;
    if (most < item->entry->size) most = UINT64_MAX;
    if (progress < item->entry->size) progress = item->entry->size; /* reading it once is always allowed for */
    if (progress > most) progress = most;
    return budget + (uint64_t)((double)progress * 1000.0 / (double)limits->time_rate);
}

static int watch_worker(kav_dispatch *d, kav_worker *worker, uint64_t passed_ms)
{
    if (worker->socket < 0 || (worker->ready && !worker->works)) return 0;
    kav_item *item = kav_watch_in_hand(worker);
    if (item && !item->started) {
        item->started = true;
        worker->in_hand_ms = 0;
        return 0;
    }
    worker->in_hand_ms += passed_ms;
    uint64_t budget = hard_budget_ms(d, item, LOAD(worker->slot->bytes));
    if (!worker->ready) budget += d->options.classes[worker->engine].start_ms;
    if (worker->in_hand_ms <= budget) return 0;
    return kav_watch_lose(d, worker, item ? "time limit" : worker->ready ? "did not answer" : "did not start");
}

static int watch_walker(kav_dispatch *d, kav_walker *walker, uint64_t passed_ms)
{
    uint64_t beat = LOAD(walker->slot->beat);
    if (beat != walker->beat || !walker->listened) {
        walker->beat = beat;
        walker->still_ms = 0;
        return 0;
    }
    walker->still_ms += passed_ms;
    if (walker->still_ms <= d->options.stall_ms) return 0;
    return kav_watch_stalled(d, walker, "file system does not answer");
}

int kav_watch(kav_dispatch *d, uint64_t passed_ms)
{
    int failed = 0;
    for (uint32_t i = 0; i < d->worker_count && !failed; i++) failed = watch_worker(d, &d->workers[i], passed_ms);
    for (uint32_t i = d->walker_count; i-- > 0 && !failed;) failed = watch_walker(d, &d->walkers[i], passed_ms);
    return failed;
}

/* ---- one object is given up ------------------------------------------------------------------------------------ */

typedef struct {
    kav_item *item;
    kav_item **link;    /* to it, from the alias before it */
    kav_class *pending; /* in whose queue it is */
    kav_worker *worker; /* who has it ... */
    kav_work *work;     /* ... in this work, at this place */
    uint32_t index;
} kav_whereabouts;

static bool is_it(kav_item *item, uint64_t tag, kav_whereabouts *at)
{
    at->link = NULL;
    at->item = item;
    if (item->tag == tag) return true;
    for (at->link = &item->aliases; *at->link; at->link = &(*at->link)->next) {
        at->item = *at->link;
        if (at->item->tag == tag) return true;
    }
    return false;
}

static bool find_pending(kav_dispatch *d, uint64_t tag, kav_whereabouts *at)
{
    for (uint32_t i = 0; i < KAV_ENGINE_COUNT; i++) {
        at->pending = &d->classes[i];
        for (kav_item *item = at->pending->head; item; item = item->next)
            if (is_it(item, tag, at)) return true;
    }
    at->pending = NULL;
    return false;
}

static bool find_flying(kav_dispatch *d, uint64_t tag, kav_whereabouts *at)
{
    for (uint32_t i = 0; i < d->worker_count; i++) {
        at->worker = &d->workers[i];
        for (at->work = at->worker->works; at->work; at->work = at->work->next)
            for (at->index = 0; at->index < at->work->count; at->index++) {
                kav_item *item = at->work->items[at->index];
                if (item && !item->told && is_it(item, tag, at)) return true;
            }
    }
    return false;
}

/* Its work goes with the worker, who is lost. */
static int take_away(kav_dispatch *d, const kav_whereabouts *at, const void *text, size_t text_len)
{
    at->work->items[at->index] = NULL;
    at->work->left--;
    d->classes[at->worker->engine].flying--;
    int failed = kav_settle_abort(d, at->item, false, text, text_len);
    int now = kav_watch_lose(d, at->worker, "a deadline has passed");
    return failed ? failed : now;
}

int64_t kav_dispatch_held(kav_dispatch *d, uint64_t tag)
{
    kav_whereabouts at = {0};
    if (!find_flying(d, tag, &at) || at.link || kav_watch_in_hand(at.worker) != at.item) return -1;
    return at.item->started ? (int64_t)at.worker->in_hand_ms : 0;
}

int kav_dispatch_abort(kav_dispatch *d, uint64_t tag, const void *text, size_t text_len)
{
    kav_whereabouts at = {0};
    bool pending = find_pending(d, tag, &at);
    if (!pending && !find_flying(d, tag, &at)) return -ENOENT;
    if (at.link) *at.link = at.item->next;
    else if (pending) kav_give_take(at.pending, at.item);
    if (at.link || pending) return kav_settle_abort(d, at.item, false, text, text_len);
    const kav_item *busy = kav_watch_in_hand(at.worker);
    if (busy && busy != at.item) return kav_settle_abort(d, at.item, true, text, text_len);
    return take_away(d, &at, text, text_len);
}

/* ---- what a dead worker leaves ---------------------------------------------------------------------------------- */

/* The object that killed it: the one in hand; failing that, the only one it had been given first. A foreign SIGKILL
 * strikes anywhere, so then only the object in hand is meant. */
static kav_item *guilty(const kav_worker *worker, bool outside)
{
    kav_item *item = kav_watch_in_hand(worker);
    if (item || outside || !worker->works) return item;
    return worker->works->count == 1 ? worker->works->items[0] : NULL;
}

static int send_back(kav_dispatch *d, kav_item *item, uint8_t blame, const void *text, size_t text_len)
{
    if (item->told) return kav_settle_failed(d, item, KAV_R_WORKER, text, text_len);
    kav_item_drop_notes(item);
    item->started = false;
    item->blame += blame;
    item->tries++;
    if (item->blame >= BLAME_ERROR || item->tries >= TRIES_ERROR)
        return kav_settle_failed(d, item, KAV_R_WORKER, text, text_len);
    item->alone = item->alone || blame || item->tries >= TRIES_ALONE;
    kav_give_front(d, item);
    return 0;
}

static void remove_worker(kav_dispatch *d, kav_worker *worker)
{
    munmap((void *)(uintptr_t)worker->slot, (size_t)sysconf(_SC_PAGESIZE));
    *worker = d->workers[--d->worker_count];
}

int kav_dispatch_retire(kav_dispatch *d, uint32_t id, const void *text, size_t text_len, bool outside)
{
    kav_worker *worker = d->workers;
    while (worker < d->workers + d->worker_count && worker->id != id) worker++;
    if (worker == d->workers + d->worker_count) return -ENOENT;
    kav_dispatch_hang_up(d, worker);
    bool ready = worker->ready;
    kav_item *blamed = guilty(worker, outside);
    uint8_t blame = outside ? BLAME_FOREIGN : BLAME_OWN;
    int failed = 0;
    while (worker->works) { /* the newest first, so that the oldest ends up in front */
        kav_work *work = worker->works;
        while (work->next) work = work->next;
        d->classes[worker->engine].flying -= work->left;
        for (uint32_t i = work->count; i-- > 0;) {
            kav_item *item = work->items[i];
            if (!item || item == blamed) continue;
            int now = send_back(d, item, 0, text, text_len);
            if (now) failed = now;
        }
        kav_give_forget(d, worker, work);
    }
    if (blamed) {
        int now = send_back(d, blamed, blame, text, text_len);
        if (now) failed = now;
    }
    remove_worker(d, worker);
    return failed ? failed : ready;
}
