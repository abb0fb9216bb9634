#include "budget.h"

#include <string.h>
#include <time.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

static uint64_t now_ns(void)
{
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Nanoseconds that an object of this size may take; saturates, because limits come from the outside. */
static uint64_t allowed_ns(const kav_limits *limits, uint64_t size)
{
    uint64_t base, extra = 0;
    if (limits->time_base_ms == 0 && limits->time_rate == 0) return UINT64_MAX;
    if (__builtin_mul_overflow(limits->time_base_ms, NS_PER_MS, &base)) return UINT64_MAX;
    if (limits->time_rate != 0) {
        uint64_t seconds = size / limits->time_rate;
        if (__builtin_mul_overflow(seconds, NS_PER_S, &extra)) return UINT64_MAX;
        extra += (uint64_t)((double)(size % limits->time_rate) / (double)limits->time_rate * (double)NS_PER_S);
    }
    return base > UINT64_MAX - extra ? UINT64_MAX : base + extra;
}

void kav_budget_start(kav_budget *b, const kav_limits *limits, uint64_t size)
{
    memset(b, 0, sizeof *b);
    b->limits = *limits;
    b->allowed_ns = allowed_ns(limits, size);
    kav_budget_tick(b);
}

uint32_t kav_budget_member(kav_budget *b, bool part)
{
    if ((uint64_t)b->members + b->parts >= b->limits.max_members) b->spent |= KAV_R_MEMBERS;
    if (kav_budget_tick(b) | b->spent) return b->spent;
    if (part) b->parts++;
    else b->members++;
    return 0;
}

uint64_t kav_budget_left(const kav_budget *b)
{
    uint64_t limit = b->limits.max_unpacked;
    return limit == 0 ? UINT64_MAX - b->unpacked : limit > b->unpacked ? limit - b->unpacked : 0;
}

uint64_t kav_budget_take(kav_budget *b, uint64_t len)
{
    uint64_t left = kav_budget_left(b);
    if (len > left) {
        len = left;
        b->spent |= KAV_R_BYTES;
    }
    b->unpacked += len;
    return len;
}

uint32_t kav_budget_tick_at(kav_budget *b, uint64_t now)
{
    if (b->last_ns != 0 && now > b->last_ns) {
        uint64_t step = now - b->last_ns;
        b->used_ns += step < KAV_BUDGET_STEP_NS ? step : KAV_BUDGET_STEP_NS;
    }
    b->last_ns = now;
    if (b->allowed_ns != UINT64_MAX && b->used_ns >= b->allowed_ns) b->spent |= KAV_R_TIME;
    return b->spent & KAV_R_TIME;
}

uint32_t kav_budget_tick(kav_budget *b)
{
    return kav_budget_tick_at(b, now_ns());
}
