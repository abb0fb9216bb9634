/* Dispatch: the coordinator's loop between walkers and workers, without Python in it.
 *
 *     kav_dispatch *d = kav_dispatch_new(&options);
 *     kav_dispatch_add_walker(d, id, socket, slot_fd);  kav_dispatch_add_worker(d, id, socket, slot_fd);
 *     do { flags = kav_dispatch_step(d, wake_fd, 100);  ... kav_dispatch_event(d, i) ...  kav_dispatch_clear(d); }
 *     while (!(flags & KAV_STEP_DONE));
 *
 * Batches come from walkers, are checked, cut into pieces of work and given to the least loaded worker; results are
 * checked and counted. Only what Python must see becomes an event. Walkers and workers are hostile: a frame with one
 * wrong field ends that peer (KAV_EV_LOST), and everything it had not answered is scanned again by another.
 *
 * A worker has a class: the engine in whose name it may speak. An object goes through the classes that its scan needs,
 * one after the other in the order of enum kav_engine; their verdicts become one (ext/dispatch/merge.h). A class that
 * fails on an object leaves its reason there: an object that not everybody saw is never clean.
 *
 * Every KAV_E_FILE entry ends with exactly one verdict: a worker's, that of another path to the same inode (if what was
 * read is what this path's own descriptor showed), or KAV_ERROR with KAV_R_WORKER. What needs no scan is counted.
 * Back-pressure: at most KAV_DISPATCH_LOAD pieces of work wait at each worker and one batch waits here; then walkers
 * are not read and block. Descriptors are held until the verdict is in.
 *
 * One thread; no globals. Functions return 0 or -errno unless said otherwise.
 */
#ifndef KAV_DISPATCH_H
#define KAV_DISPATCH_H

#include <stdbool.h>

#include "kav.h"

#define KAV_DISPATCH_LOAD    2           /* pieces of work that a worker has at most */
#define KAV_DISPATCH_WORKERS 256         /* most workers */
#define KAV_DISPATCH_WALKERS 64          /* most walkers at a time */
#define KAV_DISPATCH_NOTES   (64u << 20) /* bytes of notes of one object; what lies beyond is left out */

typedef struct kav_dispatch kav_dispatch;

enum kav_when {
    KAV_WHEN_NEVER = 0,     /* the class takes no part */
    KAV_WHEN_EVERY = 1,     /* it sees every object */
    KAV_WHEN_ELSEWHERE = 2, /* what native does not cover wholly (KAV_F_ELSEWHERE), or could say nothing of */
    KAV_WHEN_COUNT = 3
};

typedef struct {
    uint32_t when;        /* enum kav_when */
    uint32_t workers_max; /* KAV_STEP_WANT asks for no more */
    uint32_t start_ms;    /* until a worker must have greeted, besides the budget of an object */
} kav_dispatch_class;

typedef struct {
    kav_limits limits;  /* the watchdog's budget: base + (size + progress) / rate + grace */
    uint32_t grace_ms;  /* what a worker may overrun its own soft time limit before it is killed */
    uint32_t stall_ms;  /* silence after which a walker is given up */
    uint32_t fd_budget; /* descriptors of objects held at most; at least KAV_BATCH_FILES */
    bool want_clean;    /* clean and complete objects are events too */
    bool all_match;     /* classes that follow are asked even of what is known to be infected */
    bool one_by_one;    /* each object is work of its own, and one more worker pays off for each: somebody waits for it.
                           The    layers stand behind the notes of its KAV_EV_RESULT */
    bool hand_back;     /* descriptors that were submitted are not closed here: kav_dispatch_take_spent */
    kav_dispatch_class classes[KAV_ENGINE_COUNT]; /* one at least must see every object */
} kav_dispatch_options;

/* What a scan remembers, and what it was made for (kavfs/ports.py: Stores, Image). */
typedef struct {
    int folder;                       /* where the files stand */
    const char *journal;              /* name of the journal in it; NULL or "" = none is kept */
    int objects_memory, objects_file; /* both levels of the object cache, -1 = none */
    bool files;                       /* remember whole files */
    uint8_t secret[32], objects_secret[32], generation[16];
    const void *delta; /* the delta table (ext/cache/delta.h), or NULL */
    size_t delta_len;
    uint64_t size_limit; /* bytes of each file */
    int64_t start_ns;    /* when the scan began, CLOCK_REALTIME */
} kav_dispatch_stores;

typedef struct {
    uint64_t files, bytes, scanned, members, unopened, suppressed;
    uint64_t known, known_bytes; /* of files and bytes: unchanged, answered by a walker from a store */
    uint64_t delta;              /* objects that were compared with nothing but what is new */
    uint64_t statuses[KAV_STATUS_COUNT];
    uint64_t reasons[KAV_REASON_COUNT];
    uint64_t entries[KAV_E_KIND_COUNT];
} kav_dispatch_totals;

enum kav_event_kind {
    KAV_EV_RESULT = 1, /* number = tag; path; data = kav_result with its notes behind it; text = why */
    KAV_EV_ENTRY = 2,  /* number = walker; path; data = kav_entry of any kind but KAV_E_FILE */
    KAV_EV_LOST = 3,   /* number = worker; text = why. Kill it, then kav_dispatch_retire */
    KAV_EV_WALKED =
        4, /* number = walker that closed its socket; nothing more comes. Its exit status says if it was done */
    KAV_EV_STALLED = 5, /* number = walker; text = why. Kill it; it is forgotten here already */
    KAV_EV_KNOWN = 6,   /* number = files, unchanged and clean; path = directory; data = a uint64_t size of each; text =
                           names, NULs */
    KAV_EV_LISTED = 7   /* number = files, unchanged, they and all their members clean; data = of each kav_replay_header
                           with what follows it; text = their paths and those of the members, as listed.h says */
};

typedef struct {
    uint32_t kind;
    uint64_t number;
    const uint8_t *path, *data, *text;
    size_t path_len, data_len, text_len;
} kav_event;

enum kav_step_flag {
    KAV_STEP_DONE = 1u << 0,  /* no open walker and no object without a verdict */
    KAV_STEP_WANT = 1u << 1,  /* another worker would have something to do: kav_dispatch_wanted */
    KAV_STEP_WAKE = 1u << 2,  /* wake_fd is readable */
    KAV_STEP_EVENT = 1u << 3, /* there are events */
    KAV_STEP_SIGNAL = 1u << 4 /* a signal interrupted the wait */
};

kav_dispatch *kav_dispatch_new(const kav_dispatch_options *options); /* NULL: out of memory */
void kav_dispatch_free(kav_dispatch *d);                             /* closes every descriptor it holds */

/* Give everything up, so that there is nothing left to do but to take what is handed back, and to free it. */
void kav_dispatch_drop(kav_dispatch *d);

/* With hand_back: descriptors of objects that have their verdict, the caller's from now on. How many were put into fds,
 * which has room for most; to be called until it says 0. */
size_t kav_dispatch_take_spent(kav_dispatch *d, int *fds, size_t most);

/* Remember what is found from now on. The descriptors and the delta table stay the caller's and outlive the dispatcher.
 * -errno: something of it cannot be used; the rest is. */
int kav_dispatch_set_stores(kav_dispatch *d, const kav_dispatch_stores *stores);

/* The verdicts are in, or nobody waits for more: write what is to be remembered. 0, or -errno: some of it cannot be. */
int kav_dispatch_finish(kav_dispatch *d);

/* Take over a connected SOCK_SEQPACKET socket, and map the slot behind slot_fd (stays the caller's; its size must be
 * sealed, a page at least). On failure the socket is still the caller's. */
int kav_dispatch_add_walker(kav_dispatch *d, uint32_t id, int socket, int slot_fd);
int kav_dispatch_add_worker(kav_dispatch *d, uint32_t id, uint32_t engine, int socket, int slot_fd);

/* An object that no walker found; fd is taken over on success. delta: the row that is enough, counted from 1, 0 = scan
 * in full. tag comes back in its KAV_EV_RESULT. When the same inode
 * is being scanned just now it waits for that verdict, and is scanned itself if that was about another state of it. */
int kav_dispatch_submit(kav_dispatch *d, int fd, const void *path, size_t path_len, uint32_t delta, uint64_t tag);

/* The object with this tag is not waited for any longer: it ends as KAV_ERROR with KAV_R_TIME and text, in an event
 * like any other. A worker that has it in hand, or shows nothing in hand, is lost with it (KAV_EV_LOST); where another
 * object is in hand the worker goes on, and what it will say of this one is dropped. Who waits for the same inode is
 * scanned himself. -ENOENT: no such object, or it has its verdict. */
int kav_dispatch_abort(kav_dispatch *d, uint64_t tag, const void *text, size_t text_len);

/* Milliseconds that a worker has had the object with this tag in hand, give or take the time between two turns; -1: it
 * waits, also behind another one at the same worker. */
int64_t kav_dispatch_held(kav_dispatch *d, uint64_t tag);

/* The worker's process is gone. What it had is scanned again: the object in hand alone, the rest as new work. An object
 * on which workers of one class died for the second time gets KAV_R_WORKER with text. outside: it was killed by neither
 * us nor itself as far as can be told (SIGKILL); that says less about the object, so it takes four of these. -ENOENT:
 * no such worker.
 */
int kav_dispatch_retire(kav_dispatch *d, uint32_t id, const void *text, size_t text_len, bool outside);

/* No worker of this class can be had: what waits for it, and what would come to it, goes on without, with reason
 * KAV_R_ENGINE and text. 0 or -EINVAL. */
int kav_dispatch_give_up(kav_dispatch *d, uint32_t engine, const void *text, size_t text_len);

/* Forget which inodes were scanned: the next scan is another one. Only when nothing is outstanding (-EBUSY). */
int kav_dispatch_forget(kav_dispatch *d);

void kav_dispatch_set_workers(kav_dispatch *d, uint32_t engine, uint32_t workers_max);
void kav_dispatch_set_want_clean(kav_dispatch *d, bool want_clean);

/* Held: nothing more is given to workers, and walkers are not read, so that they block; results are taken. What is with
 * workers already is finished, under its budget. No other clock runs. */
void kav_dispatch_set_held(kav_dispatch *d, bool held);

/* Work for up to timeout_ms; returns sooner with events, a signal, wake_fd readable, a wish for a worker, or when done.
 * kav_step_flag bits, or -errno (-ENOMEM: verdicts may be missing, the scan cannot go on). wake_fd may be -1. */
int kav_dispatch_step(kav_dispatch *d, int wake_fd, uint32_t timeout_ms);

/* The same in one round that waits for nothing, for who waits himself: at kav_dispatch_fileno(), and 50 ms at most
 * while objects are outstanding or workers have not greeted, as clocks run only in here. Not with walkers. */
int kav_dispatch_turn(kav_dispatch *d);

/* An epoll descriptor, readable when a worker has something to say. It stays the dispatcher's. -errno */
int kav_dispatch_fileno(kav_dispatch *d);

size_t kav_dispatch_event_count(const kav_dispatch *d);
kav_event kav_dispatch_event(const kav_dispatch *d, size_t index); /* valid until the next call of anything else */
void kav_dispatch_clear(kav_dispatch *d);                          /* forget the events */

const kav_dispatch_totals *kav_dispatch_get_totals(const kav_dispatch *d);
uint64_t kav_dispatch_outstanding(const kav_dispatch *d);              /* objects without a verdict */
uint64_t kav_dispatch_in_hand(const kav_dispatch *d);                  /* of these, with workers */
uint32_t kav_dispatch_workers(const kav_dispatch *d, uint32_t engine); /* live ones */
uint32_t kav_dispatch_ready(const kav_dispatch *d, uint32_t engine);   /* of these, that have greeted */
uint32_t kav_dispatch_wanted(const kav_dispatch *d); /* a bit for each class that could use another worker */
/* Directory entries seen so far by all walkers, and directories listed; for progress only. */
void kav_dispatch_walked(const kav_dispatch *d, uint64_t *entries, uint64_t *directories);

#endif
