#include "remember.h"
#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEP_NS      100000000ll /* what the clock is set back by at least; less is the time that asking takes */
#define WAIT_MS      2000        /* that facts wait for company */
#define RETRY_MS     100         /* after another process held the lock */
#define FILE_SYSTEMS 64          /* that are told apart; files of more are not remembered */

struct kav_memory {
    kav_cachewrite writer;
    kav_delta *delta;
    kav_pending *pending;          /* room items, oldest first */
    uint32_t count, room, waiting; /* waiting: of these, held back at the last flush */
    size_t extras;                 /* bytes */
    uint64_t order;
    int64_t start_ns, last_ms;
    int64_t ahead_ns, back_ns; /* the clock, before one that nobody sets; how far it has been set back since */
    bool journal, busy;        /* busy: another process held the lock */
    uint8_t generation[16];
    struct {
        uint64_t fs;
        int64_t newest;
    } seen[FILE_SYSTEMS];
    uint32_t seen_count;
    kav_memory_totals totals;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t ns_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t clock_ahead(void)
{
    return ns_of(CLOCK_REALTIME) - ns_of(CLOCK_MONOTONIC);
}

/* Whether what has this stamp may be written again with the same one. When the clock is set back, what is written then
 * is dated before the scan. */
static bool is_fresh(kav_memory *m, int64_t stamp)
{
    int64_t back = m->ahead_ns - clock_ahead();
    if (back > STEP_NS && back > m->back_ns) m->back_ns = back;
    int64_t margin = KAV_MEMORY_MARGIN_NS + m->back_ns;
    return m->start_ns < INT64_MIN + margin || stamp >= m->start_ns - margin;
}

kav_memory *kav_memory_new(const kav_memory_options *options)
{
    kav_memory *m = calloc(1, sizeof *m);
    int failed = m ? 0 : -ENOMEM;
    if (m) {
        m->writer.file.fd = m->writer.lock = -1;
        m->room = options->room ? options->room : KAV_MEMORY_FACTS;
        m->start_ns = options->start_ns;
        m->journal = options->journal;
        m->last_ms = now_ms();
        m->ahead_ns = clock_ahead();
        memcpy(m->generation, options->generation, sizeof m->generation);
        if (options->delta) m->delta = kav_delta_open(options->delta, options->delta_len);
        m->pending = malloc(m->room * sizeof *m->pending);
        failed = m->pending ? 0 : -ENOMEM;
    }
    if (!failed)
        failed = kav_cachewrite_open(&m->writer, options->folder, options->name, options->secret, options->size_limit);
    if (!failed) return m;
    kav_memory_free(m);
    errno = -failed;
    return NULL;
}

/* ---- the buffer -------------------------------------------------------------------------------------------------- */

static void forget(kav_memory *m, kav_pending *p)
{
    if (p->extra) m->extras -= p->extra->length;
    free(p->extra);
    p->extra = NULL;
}

static void forget_first(kav_memory *m, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        m->totals.dropped += m->pending[i].kind == KAV_PENDING_FACT;
        forget(m, &m->pending[i]);
    }
    m->count -= count;
    m->waiting = m->waiting > count ? m->waiting - count : 0;
    memmove(m->pending, m->pending + count, m->count * sizeof *m->pending);
}

void kav_memory_free(kav_memory *m)
{
    if (!m) return;
    for (uint32_t i = 0; i < m->count; i++) forget(m, &m->pending[i]);
    free(m->pending);
    kav_delta_close(m->delta);
    kav_cachewrite_close(&m->writer);
    free(m);
}

static void go_deaf(kav_memory *m, int error)
{
    m->totals.error = error;
    forget_first(m, m->count);
}

/* A place in the buffer; the oldest quarter makes room. */
static kav_pending *append(kav_memory *m, const uint8_t place[16], uint8_t kind)
{
    if (m->count == m->room) forget_first(m, m->room / 4 + 1);
    kav_pending *p = &m->pending[m->count++];
    memset(p, 0, sizeof *p);
    memcpy(p->place, place, sizeof p->place);
    p->kind = kind;
    p->order = m->order++;
    return p;
}

int kav_memory_add(kav_memory *m, const uint8_t place[16], uint64_t fs, const kav_fact *fact, const kav_extra *extra)
{
    const kav_identity *id = &fact->id;
    int64_t stamp = id->ctime_ns > id->mtime_ns ? id->ctime_ns : id->mtime_ns;
    bool fresh = !m->journal && is_fresh(m, stamp);
    if (m->totals.error || fresh || (extra && !kav_extra_sound(extra, extra->length))) {
        m->totals.dropped++;
        return 0;
    }
    kav_extra *copy = NULL;
    if (extra) {
        if (!(copy = malloc(extra->length))) return -ENOMEM;
        memcpy(copy, extra, extra->length);
        while (m->count && m->extras + extra->length > KAV_MEMORY_EXTRAS) forget_first(m, m->count / 4 + 1);
        m->extras += extra->length;
    }
    kav_pending *p = append(m, place, KAV_PENDING_FACT);
    p->fs = fs;
    p->fact = *fact;
    p->fact.flags &= (uint8_t)~KAV_FACT_JOURNAL;
    if (m->journal) p->fact.flags |= KAV_FACT_JOURNAL;
    p->extra = copy;
    return 0;
}

int kav_memory_renew(kav_memory *m, const uint8_t place[16])
{
    if (!m->totals.error) append(m, place, KAV_PENDING_RENEW);
    return 0;
}

int kav_memory_gone(kav_memory *m, const uint8_t place[16], const uint64_t *inodes, uint32_t count)
{
    for (uint32_t i = 0; i < count && !m->totals.error; i++)
        append(m, place, KAV_PENDING_GONE)->fact.id.ino = inodes[i];
    return 0;
}

void kav_memory_newest(kav_memory *m, uint64_t fs, int64_t ctime_ns)
{
    uint32_t i = 0;
    while (i < m->seen_count && m->seen[i].fs != fs) i++;
    if (i == FILE_SYSTEMS) return;
    if (i == m->seen_count) {
        m->seen[m->seen_count].fs = fs;
        m->seen[m->seen_count++].newest = ctime_ns;
    }
    if (ctime_ns > m->seen[i].newest) m->seen[i].newest = ctime_ns;
}

bool kav_memory_due(const kav_memory *m)
{
    if (m->totals.error || m->count <= m->waiting) return false;
    int64_t since = now_ms() - m->last_ms;
    if (m->busy) return since >= RETRY_MS;
    return m->count - m->waiting >= m->room / 2 || m->extras >= KAV_MEMORY_EXTRAS / 2 || since >= WAIT_MS;
}

/* ---- flush ------------------------------------------------------------------------------------------------------- */

/* Whether nothing can have been written after this fact's stamps without changing them: the clock of that file system
 * has gone on since. */
static bool settled(const kav_memory *m, const kav_pending *p)
{
    if (m->journal || p->kind != KAV_PENDING_FACT) return true;
    const kav_identity *id = &p->fact.id;
    int64_t stamp = id->ctime_ns > id->mtime_ns ? id->ctime_ns : id->mtime_ns;
    for (uint32_t i = 0; i < m->seen_count; i++)
        if (m->seen[i].fs == p->fs) return stamp < m->seen[i].newest;
    return false;
}

static int by_place(const void *a, const void *b)
{
    const kav_pending *x = *(const kav_pending *const *)a, *y = *(const kav_pending *const *)b;
    int order = memcmp(x->place, y->place, sizeof x->place);
    if (order) return order;
    bool xr = x->kind == KAV_PENDING_RENEW, yr = y->kind == KAV_PENDING_RENEW;
    if (xr != yr) return xr ? -1 : 1;
    if (x->fact.id.ino != y->fact.id.ino) return x->fact.id.ino < y->fact.id.ino ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* What is pending about one place: ready[from] .. ready[to - 1]. */
typedef struct {
    uint32_t from, to;
    uint64_t order; /* of the first of them */
} group;

static int by_order(const void *a, const void *b)
{
    const group *x = a, *y = b;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Groups of one place each, in the order in which walkers came there, so that the next walk reads on. */
static uint32_t make_groups(const kav_pending **ready, uint32_t count, group *out)
{
    uint32_t n = 0;
    qsort(ready, count, sizeof *ready, by_place);
    for (uint32_t i = 0; i < count; i++) {
        if (!i || memcmp(ready[i]->place, ready[i - 1]->place, sizeof ready[i]->place))
            out[n++] = (group){.from = i, .order = ready[i]->order};
        out[n - 1].to = i + 1;
        if (ready[i]->order < out[n - 1].order) out[n - 1].order = ready[i]->order;
    }
    qsort(out, n, sizeof *out, by_order);
    return n;
}

/* Write what is in ready, place by place. */
static int write_ready(kav_memory *m, const kav_pending **ready, uint32_t count)
{
    kav_merge *merge = calloc(1, sizeof *merge);
    group *groups = malloc((count + (size_t)1) * sizeof *groups);
    int failed = merge && groups ? 0 : -ENOMEM;
    if (!failed) *merge = (kav_merge){.writer = &m->writer, .now = m->generation, .delta = m->delta};
    uint32_t n = failed ? 0 : make_groups(ready, count, groups);
    for (uint32_t g = 0; g < n && !failed; g++) {
        uint32_t from = groups[g].from, to = groups[g].to;
        const uint8_t *place = ready[from]->place;
        bool renew = ready[from]->kind == KAV_PENDING_RENEW;
        while (from < to && ready[from]->kind == KAV_PENDING_RENEW) from++;
        failed = kav_merge_place(merge, place, ready + from, to - from, renew);
    }
    if (merge) {
        m->totals.kept += merge->kept;
        m->totals.dropped += merge->dropped;
        m->totals.renewed += merge->renewed;
        kav_merge_free(merge);
    }
    free(merge);
    free(groups);
    return failed;
}

/* Under the lock: write, and keep what has to wait. */
static int write_batch(kav_memory *m, const kav_pending **ready)
{
    uint32_t count = 0, left = 0;
    for (uint32_t i = 0; i < m->count; i++)
        if (settled(m, &m->pending[i])) ready[count++] = &m->pending[i];
    int failed = write_ready(m, ready, count);
    int ended = kav_cachewrite_end(&m->writer, count ? m->generation : NULL);
    if (failed || ended) return failed ? failed : ended;
    for (uint32_t i = 0; i < m->count; i++) {
        if (settled(m, &m->pending[i])) forget(m, &m->pending[i]);
        else m->pending[left++] = m->pending[i];
    }
    m->count = m->waiting = left;
    return 0;
}

int kav_memory_flush(kav_memory *m, bool last)
{
    if (m->totals.error) return m->totals.error;
    if (!m->count) return 0;
    m->last_ms = now_ms();
    const kav_pending **ready = malloc(m->count * sizeof *ready);
    int failed = ready ? kav_cachewrite_begin(&m->writer, last) : -ENOMEM;
    m->busy = failed == -EAGAIN;
    if (!failed) failed = write_batch(m, ready);
    free(ready);
    if (failed && failed != -EAGAIN) go_deaf(m, failed);
    if (!failed && last) forget_first(m, m->count);
    return failed;
}

kav_memory_totals kav_memory_get_totals(const kav_memory *m)
{
    kav_memory_totals totals = m->totals;
    totals.held = m->waiting;
    return totals;
}
