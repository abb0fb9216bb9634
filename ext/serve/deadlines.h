/* Deadlines: until when something must have happened to a connection. One list for each kind of waiting; all waits of a
 * kind last equally long, so a list is in order by itself and each operation takes the same time for any number. One
 * timer wakes for the earliest; it is set again only when it has to ring earlier than it would. */
#ifndef KAV_SERVE_DEADLINES_H
#define KAV_SERVE_DEADLINES_H

#include <stdint.h>

enum kav_wait {
    KAV_WAIT_NONE,
    KAV_WAIT_IDLE,   /* for a request to begin */
    KAV_WAIT_INPUT,  /* for the rest of a request */
    KAV_WAIT_QUIET,  /* whether what came is all of a command that has no end */
    KAV_WAIT_OUTPUT, /* for the peer to make room */
    KAV_WAIT_LINGER, /* for the peer to close, too */
    KAV_WAIT_ACCEPT, /* for descriptors to be had again */
    KAV_WAITS,
};

#define KAV_NOBODY UINT32_MAX

typedef struct {
    uint64_t at_ms;
    uint32_t before, after;
    uint32_t kind;
} kav_deadline;

typedef struct {
    kav_deadline *of; /* one for each connection, by its index */
    uint32_t first[KAV_WAITS], last[KAV_WAITS];
    uint64_t length_ms[KAV_WAITS]; /* 0: for ever */
    uint64_t rings_ms;             /* when the timer does; UINT64_MAX: it is not set */
    int timer;
} kav_deadlines;

/* 0 or -errno. */
int kav_deadlines_open(kav_deadlines *d, uint32_t connections);
void kav_deadlines_close(kav_deadlines *d);

uint64_t kav_now_ms(void);

/* Connection i waits so from now on; `again`: anew, even if it does already. KAV_WAIT_NONE: it does not wait. */
void kav_deadlines_set(kav_deadlines *d, uint32_t i, enum kav_wait kind, int again, uint64_t now_ms);

/* Somebody whose time is over, or KAV_NOBODY; he stays on his list until he is set to wait otherwise. */
uint32_t kav_deadlines_over(const kav_deadlines *d, uint64_t now_ms);

/* Ring at once / the timer has rung: set it for what is next. */
void kav_deadlines_ring(kav_deadlines *d);
void kav_deadlines_rang(kav_deadlines *d);

#endif
