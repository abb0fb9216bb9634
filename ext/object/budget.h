/* Budget: what one top-level object may cost, everything inside it included.
 *
 * One budget is shared by all depths of an object, so nesting earns nothing. Once something is used up `spent` keeps
 * the reason and no further member is begun; bytes already received are still scanned, except after KAV_R_TIME.
 */
#ifndef KAV_BUDGET_H
#define KAV_BUDGET_H

#include "kav.h"

#include <stdbool.h>

/* A process that is stopped for an hour and continued has not worked for an hour. One that hangs in a read that long
 * is the coordinator's to end, which has a clock of its own. */
#define KAV_BUDGET_STEP_NS 2000000000ull

typedef struct {
    kav_limits limits;
    uint64_t allowed_ns; /* UINT64_MAX = no limit */
    uint64_t used_ns;    /* time that passed between ticks, each step counted with KAV_BUDGET_STEP_NS at most */
    uint64_t last_ns;    /* of the last tick, CLOCK_MONOTONIC */
    uint64_t unpacked;   /* bytes that came out of containers */
    uint64_t scanned;    /* bytes that went through the matcher */
    uint32_t members;
    uint32_t parts; /* of documents */
    uint32_t spent; /* KAV_R_* bits of what is used up */
} kav_budget;

/* Begin an object of this many bytes: the time it may take grows with what lies on disk, never with what that unpacks
 * to. A limit of 0 for bytes or time means none. */
void kav_budget_start(kav_budget *b, const kav_limits *limits, uint64_t size);

/* One member more, or one part more of a document; both count against the limit of members. 0, or the reasons why it
 * must not be begun. */
uint32_t kav_budget_member(kav_budget *b, bool part);

/* How many unpacked bytes may still be taken. */
uint64_t kav_budget_left(const kav_budget *b);

/* How many of len unpacked bytes may still be taken; they are taken. Fewer than len: spent has KAV_R_BYTES. */
uint64_t kav_budget_take(kav_budget *b, uint64_t len);

/* 0, or KAV_R_TIME when the time is used up. */
uint32_t kav_budget_tick(kav_budget *b);

/* The same at a given time: kav_budget_tick without its clock. The first call after the start only sets the clock. */
uint32_t kav_budget_tick_at(kav_budget *b, uint64_t now_ns);

#endif
