/* State: what the parts of the dispatcher share. Private to ext/dispatch.
 *
 *     take.c     a frame arrives: from a walker (batch), from a worker (results)
 *     give.c     pending items become work and go to workers
 *     merge.c    what several classes say of one item
 *     settle.c   an item has its verdict: counts, aliases, events
 *     keep.c     what of it is remembered
 *     watch.c    workers and walkers that make no progress; what a dead worker leaves behind
 *     loop.c     life, and the loop over poll()
 */
#ifndef KAV_DISPATCH_STATE_H
#define KAV_DISPATCH_STATE_H

#include "dispatch.h"
#include "event.h"
#include "item.h"
#include "keep.h"
#include "seen.h"

#define KAV_DISPATCH_WHY 300 /* bytes of it that are kept */

typedef struct kav_work kav_work;

/* What went to a worker in one message. An answered place is NULL. */
struct kav_work {
    kav_work *next; /* the worker's next; in the order in which they were sent */
    uint64_t id;
    uint64_t bytes;
    uint32_t count, left;
    uint32_t speaking; /* index + 1 of the object whose notes have begun; so that one holds notes here at a time */
    kav_item *items[KAV_BATCH_FILES];
};

typedef struct {
    uint32_t id;
    uint8_t engine; /* its class */
    int socket;     /* -1: lost, waits for kav_dispatch_retire */
    const kav_slot *slot;
    kav_work *works; /* oldest first */
    uint32_t load;   /* works */
    uint64_t bytes;  /* of the files in them */
    bool ready;      /* has said so; before that it has met no foreign byte */
    bool refuses;    /* the last send found no room; asked again at the next round */
    uint64_t seen_batch;
    uint32_t seen_index;
    uint64_t in_hand_ms; /* that the object in hand, or the silence, has lasted */
} kav_worker;

#define KAV_WALKER_DEVICES                                                                                             \
    8 /* file systems of one walker whose newest stamp is told; of others nothing new is kept                          \
       */

typedef struct {
    uint32_t id;
    int socket;
    const kav_slot *slot;
    uint64_t devices[KAV_WALKER_DEVICES]; /* whose files it has sent */
    uint32_t device_count;
    uint64_t beat;
    uint64_t still_ms; /* that the beat has not changed while we listened */
    bool listened;     /* was polled in this round */
} kav_walker;

/* The items and workers of one class. */
typedef struct {
    kav_item *head, *tail; /* pending: wait for a worker */
    uint32_t pending;
    uint64_t pending_bytes, flying_bytes; /* flying: at a worker */
    uint64_t flying;
    uint32_t live_workers;
    bool given_up; /* there will be no worker; why says why */
    uint8_t why[KAV_DISPATCH_WHY];
    uint32_t why_len;
} kav_class;

struct kav_dispatch {
    kav_dispatch_options options;
    kav_worker workers[KAV_DISPATCH_WORKERS];
    kav_walker walkers[KAV_DISPATCH_WALKERS];
    uint32_t worker_count, walker_count;
    kav_class classes[KAV_ENGINE_COUNT];
    uint64_t outstanding;         /* items without a verdict, aliases too */
    uint64_t walked, directories; /* what the slots of closed walkers said */
    uint32_t fds_held;
    bool refused; /* a send found no room since the last round */
    bool held;    /* nothing new is begun */
    uint64_t next_work;
    uint64_t now_ms;
    kav_seen seen;
    kav_events events;
    kav_keep keep;
    kav_dispatch_totals totals;
    kav_spent spent;
    uint8_t *message; /* KAV_MESSAGE_MAX bytes to receive into */
    int epoll;        /* of the workers' sockets; -1: nobody has asked for it */
};

/* take.c: read what is there. 0 or -ENOMEM; whatever is wrong with the peer is dealt with inside. */
int kav_take_walker(kav_dispatch *d, kav_walker *walker);
int kav_take_results(kav_dispatch *d, kav_worker *worker);

/* give.c */
void kav_give_push(kav_dispatch *d, kav_item *item);                /* a new one: at the end of its first class */
void kav_give_on(kav_dispatch *d, kav_item *item, uint32_t engine); /* at the end of another class */
void kav_give_front(kav_dispatch *d, kav_item *item);               /* scanned again, before all others */
kav_item *kav_give_pop(kav_class *class);                           /* there is one */
void kav_give_take(kav_class *class, kav_item *item);               /* it is among them */
int kav_give(kav_dispatch *d);                                      /* send what can be sent. 0 or -ENOMEM */
void kav_give_forget(kav_dispatch *d, kav_worker *worker, kav_work *work); /* unlink and free it */
uint32_t kav_give_demand(const kav_dispatch *d, uint32_t engine); /* how many workers would have something to do */

/* settle.c: every item ends in exactly one of these. 0 or -ENOMEM */
int kav_settle(kav_dispatch *d, kav_item *item, const kav_said *said); /* or goes on to the next class */
int kav_settle_failed(kav_dispatch *d, kav_item *item, uint32_t reason, const void *text, size_t text_len);
int kav_settle_abort(kav_dispatch *d, kav_item *item, bool flying, const void *text, size_t text_len);
int kav_settle_join(kav_dispatch *d, kav_item *item, bool *joined);    /* another path to an inode that is known */
int kav_settle_known(kav_dispatch *d, const kav_known_header *header); /* a checked message, like the next */
int kav_settle_replay(kav_dispatch *d, const uint8_t *message, size_t len);
int kav_settle_entry(kav_dispatch *d, uint32_t walker, const kav_entry *entry, const uint8_t *blob);

/* watch.c */
int kav_watch(kav_dispatch *d, uint64_t passed_ms);
int kav_watch_lose(kav_dispatch *d, kav_worker *worker, const char *why); /* stop listening; KAV_EV_LOST */
kav_item *kav_watch_in_hand(const kav_worker *worker);                    /* by its slot; NULL: none that can be */
int kav_watch_stalled(kav_dispatch *d, kav_walker *walker, const char *why);

/* loop.c */
void kav_dispatch_close_walker(kav_dispatch *d, kav_walker *walker); /* the last one takes its place */
void kav_dispatch_hang_up(kav_dispatch *d, kav_worker *worker);      /* close its socket; the worker stays */
kav_spent *kav_dispatch_spent(kav_dispatch *d);                      /* where descriptors go back to, or NULL */
bool kav_dispatch_may_read(const kav_dispatch *d);                   /* from walkers */

#endif
