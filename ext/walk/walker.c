#define _GNU_SOURCE
#include "walker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* ---- the stack and the end -------------------------------------------------------------------------------------- */

/* One stack under one lock. Measured on 2 cores, with 50 files and with 1 file per directory: no more CPU time than
 * with a lock-free list of all directories known beforehand, so stacks per thread and stealing had nothing to gain. */

void kav_walker_push(kav_walker *walker, kav_node *first, kav_node *last, size_t count)
{
    pthread_mutex_lock(&walker->lock);
    last->next = walker->stack;
    walker->stack = first;
    walker->busy += count;
    if (count > 1) pthread_cond_broadcast(&walker->more);
    else pthread_cond_signal(&walker->more);
    pthread_mutex_unlock(&walker->lock);
}

void kav_walker_fail(kav_walker *walker, int error)
{
    int none = 0;
    __atomic_compare_exchange_n(&walker->failure, &none, error, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    pthread_mutex_lock(&walker->lock);
    pthread_cond_broadcast(&walker->more);
    pthread_mutex_unlock(&walker->lock);
}

bool kav_walker_over(const kav_walker *walker)
{
    volatile int *stop = walker->outlet.stop;
    return __atomic_load_n(&walker->failure, __ATOMIC_RELAXED) || (stop && __atomic_load_n(stop, __ATOMIC_RELAXED));
}

void kav_walker_beat(const kav_walker *walker, unsigned entries)
{
    kav_slot *slot = walker->outlet.sink->slot;
    if (!slot) return;
    __atomic_fetch_add(&slot->beat, entries ? entries : 1, __ATOMIC_RELAXED);
    if (entries) __atomic_fetch_add(&slot->total, entries, __ATOMIC_RELAXED);
}

void kav_beat(kav_lister *lister)
{
    kav_walker_beat(lister->walker, lister->unbeaten);
    lister->unbeaten = 0;
}

/* The next node to list, waiting for one if others may still find some; NULL = the end. What was gathered is sent
 * before waiting, so that nothing lies here while the others work for long. */
static kav_node *take(kav_lister *lister)
{
    kav_walker *walker = lister->walker;
    kav_node *node = NULL;
    pthread_mutex_lock(&walker->lock);
    while (walker->busy > 0 && !kav_walker_over(walker)) {
        node = walker->stack;
        if (node) {
            walker->stack = node->next;
            break;
        }
        if (!kav_has_unsent(lister) && !lister->among) {
            pthread_cond_wait(&walker->more, &walker->lock);
            continue;
        }
        pthread_mutex_unlock(&walker->lock);
        kav_leave_among(lister);
        kav_flush(lister);
        pthread_mutex_lock(&walker->lock);
    }
    pthread_mutex_unlock(&walker->lock);
    return node;
}

static void done(kav_walker *walker, kav_node *node)
{
    kav_node_unref(node);
    pthread_mutex_lock(&walker->lock);
    walker->busy--;
    if (walker->busy == 0 || kav_walker_over(walker)) pthread_cond_broadcast(&walker->more);
    pthread_mutex_unlock(&walker->lock);
}

static void *run(void *argument)
{
    kav_lister *lister = argument;
    kav_node *node;
    lister->newest = INT64_MIN;
    if (lister->walker->options->lookup) {
        lister->lookup = kav_lookup_new(&lister->walker->lookup);
        if (!lister->lookup) kav_walker_fail(lister->walker, -ENOMEM);
    }
    while ((node = take(lister))) {
        kav_list(lister, node);
        done(lister->walker, node);
    }
    kav_leave_among(lister);
    kav_trail_free(&lister->trail);
    kav_lookup_free(lister->lookup);
    if (kav_walker_over(lister->walker)) kav_batch_clear(&lister->batch);
    else if (kav_has_unsent(lister)) kav_flush(lister);
    return NULL;
}

/* ---- from the first to the last --------------------------------------------------------------------------------- */

/* The first root ends on top. */
static int push_roots(kav_walker *walker)
{
    for (size_t i = walker->options->root_count; i-- > 0;) {
        const char *root = walker->options->roots[i];
        kav_node *node = kav_node_new(NULL, root, strlen(root), 0);
        if (!node) return -ENOMEM;
        kav_walker_push(walker, node, node, 1);
    }
    return 0;
}

/* Threads besides the caller's, which is the first; they leave signals to it. */
static int run_all(kav_walker *walker)
{
    unsigned threads = walker->options->threads, started = 1;
    pthread_t ids[KAV_WALK_THREADS_MAX];
    sigset_t all, before;
    kav_lister *listers = calloc(threads, sizeof *listers);
    if (!listers) return -ENOMEM;
    for (unsigned i = 0; i < threads; i++) listers[i].walker = walker;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; started < threads; started++) {
        int error = pthread_create(&ids[started], NULL, run, &listers[started]);
        if (error) {
            kav_walker_fail(walker, -error);
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    run(&listers[0]);
    for (unsigned i = 1; i < started; i++) pthread_join(ids[i], NULL);
    free(listers);
    return walker->failure;
}

/* Somebody who opens a file for writing in the moment in which we hold a lease on it makes the kernel send SIGIO. */
static bool ignores_sigio(void)
{
    struct sigaction action;
    return sigaction(SIGIO, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static bool sensible(const kav_walk_options *options, const kav_walk_sink *sink)
{
    if (options->threads < 1 || options->threads > KAV_WALK_THREADS_MAX) return false;
    if (sink->socket < 0 && !options->count_only) return false;
    if (options->trusted && !ignores_sigio()) return false;
    for (size_t i = 0; i < options->root_count; i++) {
        size_t len = strlen(options->roots[i]);
        if (len == 0 || len >= KAV_PATH_MAX) return false;
    }
    return true;
}

static int walk(kav_walker *walker)
{
    const kav_walk_options *options = walker->options;
    int error = kav_paths_init(&walker->mounts, options->mount_points, options->mount_point_count);
    if (!error) error = kav_paths_init(&walker->excluded, options->exclude_dirs, options->exclude_dir_count);
    if (!error) error = push_roots(walker);
    if (!error) error = run_all(walker);
    while (walker->stack) { /* only when it ended early */
        kav_node *node = walker->stack;
        walker->stack = node->next;
        kav_node_unref(node);
    }
    kav_paths_free(&walker->mounts);
    kav_paths_free(&walker->excluded);
    return error;
}

int kav_walk(const kav_walk_options *options, const kav_walk_sink *sink, volatile int *stop)
{
    if (!sensible(options, sink)) return -EINVAL;
    kav_walker walker = {.options = options, .budget = {.most = options->max_fds}};
    if (options->lookup) {
        walker.lookup = *options->lookup;
        if (!options->trusted) walker.lookup.file = -1; /* only what this very scan had found before it was resumed */
        walker.asks = walker.lookup.file >= 0 || walker.lookup.journal >= 0;
    }
    int error = kav_outlet_init(&walker.outlet, sink, stop);
    if (error) return error;
    pthread_mutex_init(&walker.lock, NULL); /* neither can fail with default attributes on Linux */
    pthread_cond_init(&walker.more, NULL);
    kav_visited_init(&walker.visited);
    if (sink->slot) __atomic_store_n(&sink->slot->state, KAV_SLOT_BUSY, __ATOMIC_RELAXED);
    error = walk(&walker);
    if (sink->slot) __atomic_store_n(&sink->slot->state, KAV_SLOT_IDLE, __ATOMIC_RELAXED);
    kav_visited_free(&walker.visited);
    pthread_cond_destroy(&walker.more);
    pthread_mutex_destroy(&walker.lock);
    kav_outlet_free(&walker.outlet);
    return error;
}
