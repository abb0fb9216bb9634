/* Front: the state that the files of this folder share. A connection is a row of a table; its number is the row's index
 * and how often the row has been used, so that a number never comes again. */
#ifndef KAV_SERVE_FRONT_H
#define KAV_SERVE_FRONT_H

#include "clients.h"
#include "deadlines.h"
#include "inbox.h"
#include "spoken.h"
#include "outgoing.h"
#include "serve.h"
#include "stream.h"

#define INDEX_BITS    20
#define CONNECTIONS   ((1u << INDEX_BITS) - 1)
#define TAG_LISTENER  (1ull << 63) /* what epoll tells: a connection's number, or one of these */
#define TAG_TIMER     (1ull << 62)
#define LISTENERS     32
#define RECEIVE_MAX   (1u << 16) /* at once: of a stream ... */
#define RECEIVE_SMALL (1u << 14) /* ... of commands; of first ones, too, when so much is kept already: */
#define KEPT_HIGH     (16u << 20)
#define RECEIVES      4 /* of one connection in one step */
#define EVENTS        256
#define ACCEPTS       64 /* of one listener in one step */

enum kav_transport { KAV_UNIX, KAV_TCP, KAV_RELAY };

enum kav_phase {
    KAV_FREE,     /* the row is not used */
    KAV_COMMANDS, /* the next bytes are a command */
    KAV_STREAM,   /* ... chunks */
    KAV_PASSING,  /* ... the byte that a descriptor comes with */
    KAV_DEAF,     /* whatever comes is of no interest */
    KAV_UNREAD,   /* it has ended for all but the peer, who holds on to a descriptor of ours unread */
    KAV_LINGER,   /* all is sent; waits for the peer to close, lest the kernel throw away what it has not read */
};

typedef struct {
    uint64_t number;
    kav_stream content; /* what its stream counts */
    uint32_t lines;     /* sent already */
    uint8_t end;        /* of its replies */
} kav_flight;

typedef struct {
    int fd, passed; /* passed: a descriptor that no FILDES has taken yet, or -1 */
    uint32_t serial, watched, client;
    uint32_t next; /* among the free rows, or among those to be gone on with */
    uint8_t protocol, transport, phase, prefix;
    bool session, closing, cut, again, several, refused, owed, apart; /* apart: f->apart went, and may be unread */
    kav_flight one, *flights; /* flights: &one or a table of KAV_SERVE_FLIGHTS */
    uint32_t flying;
    uint32_t in_len;
    uint8_t *in; /* of a command that is not whole, or that waits for its turn */
    size_t seen;
    uint64_t number; /* of the newest request */
    kav_chunks chunks;
    kav_stream stream;
    kav_outgoing out;
    char *address;
} kav_conn;

typedef struct {
    uint8_t *bytes;
    size_t len;
} kav_text;

typedef struct {
    int fd;
    uint8_t protocol;
} kav_listener;

struct kav_front {
    kav_front_options options;
    char *spill_dir;
    int epoll;
    int apart; /* a descriptor of no use to anybody: where it goes along, a recv ends (output.c) */
    bool accepting, ending, resting; /* resting: no descriptors were left, listeners are not asked for a moment */
    kav_listener listeners[LISTENERS];
    uint32_t listener_count;
    kav_text texts[KAV_CLAMD + 1][KAV_TEXTS];
    kav_conn *conns;
    uint32_t free, again_first, again_last;
    kav_deadlines deadlines; /* one more than connections: the listeners' rest */
    kav_clients *clients;
    kav_stream_budget budget;
    kav_inbox inbox;
    int64_t muted[KAV_SERVE_MUTED];
    uint32_t muted_count;
    kav_front_counts counts;
    uint8_t *scratch; /* where bytes are received, behind those that a connection had left */
    size_t scratch_size;
    uint64_t kept; /* bytes of commands that connections have left */
    int failed;    /* what could not be told */
};

/* conn.c */
uint64_t kav_conn_id(const kav_front *f, const kav_conn *c);
kav_conn *kav_conn_find(const kav_front *f, uint64_t id);
kav_conn *kav_conn_open(kav_front *f, int fd, enum kav_protocol protocol, enum kav_transport transport);
void kav_conn_drop(kav_front *f, kav_conn *c);   /* at once; what is not answered is said to be gone */
bool kav_conn_settle(kav_front *f, kav_conn *c); /* closes what has come to its end; whether it has */
void kav_conn_watch(kav_front *f, kav_conn *c, uint32_t events);
void kav_conn_rearm(kav_front *f, kav_conn *c, bool progress);
void kav_conn_again(kav_front *f, kav_conn *c); /* go on with it in the next step, without waiting for an event */
uint32_t kav_conn_flights(const kav_conn *c);   /* how many may be open at a time */
void kav_conn_land(kav_front *f, kav_conn *c, kav_flight *flight);
bool kav_conn_unread(kav_front *f, uint64_t id); /* whether it has ended so; looks whether the peer has read now */
void kav_conn_settle_stream(kav_front *f, const kav_conn *c, kav_stream *stream); /* its bytes no longer count */

/* input.c: all of these may end the connection */
bool kav_input_wanted(const kav_conn *c);
void kav_input(kav_front *f, kav_conn *c);
void kav_input_again(kav_front *f, kav_conn *c);
void kav_input_whole(kav_front *f, kav_conn *c);

/* passed.c */
ssize_t kav_passed_receive(kav_front *f, kav_conn *c, uint8_t *bytes,
                           size_t len);                        /* as recv; sets passed ... refused */
void kav_passed_drop(kav_front *f, const kav_conn *c, int fd); /* nobody wants it */
const char *kav_passed_wrong(int fd);                          /* why it cannot be scanned, or NULL */

/* output.c: the same */
void kav_output_text(kav_front *f, kav_conn *c, enum kav_front_text which);
void kav_output_flush(kav_front *f, kav_conn *c);
bool kav_output_read(const kav_conn *c); /* whether the peer has read all that was sent to it */

/* accept.c */
void kav_accept(kav_front *f, const kav_listener *listener);
void kav_accept_watch(kav_front *f);

#endif
