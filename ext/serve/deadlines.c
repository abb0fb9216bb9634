/* Lists of deadlines and one timer (contract: deadlines.h). */
#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "deadlines.h"

int kav_deadlines_open(kav_deadlines *d, uint32_t connections)
{
    for (int kind = 0; kind < KAV_WAITS; kind++) d->first[kind] = d->last[kind] = KAV_NOBODY;
    d->rings_ms = UINT64_MAX;
    d->of = calloc(connections ? connections : 1, sizeof *d->of);
    d->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!d->of) return -ENOMEM;
    return d->timer < 0 ? -errno : 0;
}

void kav_deadlines_close(kav_deadlines *d)
{
    free(d->of);
    if (d->timer >= 0) close(d->timer);
    d->of = NULL;
    d->timer = -1;
}

uint64_t kav_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void ring_at(kav_deadlines *d, uint64_t at_ms)
{
    if (at_ms >= d->rings_ms) return;
    /* The millisecond must be over, and a timer of 0 is one that is off. */
    struct itimerspec when = {.it_value = {(time_t)(at_ms / 1000), (long)(at_ms % 1000) * 1000000 + 1}};
    timerfd_settime(d->timer, TFD_TIMER_ABSTIME, &when, NULL);
    d->rings_ms = at_ms;
}

static void take_out(kav_deadlines *d, uint32_t i)
{
    kav_deadline *own = &d->of[i];
    if (own->kind == KAV_WAIT_NONE) return;
    if (own->before == KAV_NOBODY) d->first[own->kind] = own->after;
    else d->of[own->before].after = own->after;
    if (own->after == KAV_NOBODY) d->last[own->kind] = own->before;
    else d->of[own->after].before = own->before;
    own->kind = KAV_WAIT_NONE;
}

void kav_deadlines_set(kav_deadlines *d, uint32_t i, enum kav_wait kind, int again, uint64_t now_ms)
{
    kav_deadline *own = &d->of[i];
    if (!d->length_ms[kind]) kind = KAV_WAIT_NONE;
    if (own->kind == kind && !again) return;
    take_out(d, i);
    if (kind == KAV_WAIT_NONE) return;
    own->kind = kind;
    own->at_ms = now_ms + d->length_ms[kind];
    own->before = d->last[kind];
    own->after = KAV_NOBODY;
    if (own->before == KAV_NOBODY) d->first[kind] = i;
    else d->of[own->before].after = i;
    d->last[kind] = i;
    ring_at(d, own->at_ms);
}

uint32_t kav_deadlines_over(const kav_deadlines *d, uint64_t now_ms)
{
    for (int kind = 1; kind < KAV_WAITS; kind++)
        if (d->first[kind] != KAV_NOBODY && d->of[d->first[kind]].at_ms <= now_ms) return d->first[kind];
    return KAV_NOBODY;
}

void kav_deadlines_ring(kav_deadlines *d)
{
    ring_at(d, 0);
}

void kav_deadlines_rang(kav_deadlines *d)
{
    struct itimerspec off = {0};
    uint64_t next = UINT64_MAX;
    for (int kind = 1; kind < KAV_WAITS; kind++)
        if (d->first[kind] != KAV_NOBODY && d->of[d->first[kind]].at_ms < next) next = d->of[d->first[kind]].at_ms;
    d->rings_ms = UINT64_MAX;
    if (next == UINT64_MAX) timerfd_settime(d->timer, 0, &off, NULL); /* also takes back what it has to tell */
    else ring_at(d, next);
}
