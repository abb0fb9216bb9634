/* Serve: the front of the service: sockets, framing of both protocols, streams, passed descriptors, replies. What a
 * command means is decided elsewhere: requests are handed out, replies handed in.
 *
 *     accept -> receive -> cut commands (spoken.h) -> request -> ... -> reply -> send -> next command or close
 *                                |
 *                      INSTREAM: content into memory or a file (stream.h); FILDES: the descriptor that came along
 *
 * One thread; no call blocks. All input is hostile: work for one connection in one step is bounded, so are its buffers:
 * commands that wait (a line and 16 KiB; 64 KiB while all together have little), one stream, KAV_SERVE_OUT_MAX of
 * output. An idle connection costs some 300 bytes.
 *
 * AVE: a greeting at once; lines; one request at a time, further lines wait; each line of a reply has a send of its
 * own. Clients look at the beginning of each piece that they receive and nothing else, so on UNIX sockets no recv goes
 * beyond a line that was sent apart. What ends it is a descriptor that comes along (unix(7): ancillary data is a
 * barrier for what is received): an empty sealed memfd, which the kernel drops unless it is asked for. None goes while
 * the one of an earlier answer may be unread (the client asked on without reading), for the kernel counts what is on
 * its way for all of this user, and the workers need theirs (a connection that ends so keeps its place until the
 * client has read or closed); nor when it refuses (ETOOMANYREFS), nor over TCP.
 *
 * CLAMD: one command and the connection ends; between IDSESSION and END up to KAV_SERVE_FLIGHTS at a time, numbered,
 * answered in any order. After UNKNOWN, TOO_LONG, TOO_LARGE and BROKEN (of AVE: TOO_LONG) nothing more is read, and the
 * connection ends when all is answered. What has no prefix and no end is taken as it is after KAV_SERVE_QUIET_MS.
 */
#ifndef KAV_SERVE_H
#define KAV_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "verbs.h"

#define KAV_SERVE_FLIGHTS   32        /* requests of a session that are not answered yet */
#define KAV_SERVE_OUT_HIGH  (1 << 16) /* bytes of output: hold back ... */
#define KAV_SERVE_OUT_MAX   (4 << 20) /* ... and the end of a connection */
#define KAV_SERVE_QUIET_MS  100
#define KAV_SERVE_LINGER_MS 2000
#define KAV_SERVE_ACCEPT_MS 100
#define KAV_SERVE_MUTED     64

typedef struct kav_front kav_front;

typedef struct {
    uint32_t connections, per_client; /* per_client 0: no limit */
    uint32_t line_max;
    uint64_t stream_max;
    uint64_t memory_max;                /* bytes of one stream in memory ... */
    uint64_t memory_total, spill_total; /* ... of all in memory, of all in spill_dir; one client at most what is free */
    const char *spill_dir;
    uint32_t idle_ms;  /* between requests of AVE; 0: for ever */
    uint32_t stall_ms; /* for a whole command; for the next bytes of a stream */
    uint32_t send_ms;  /* for a peer that takes no output */
} kav_front_options;

typedef struct {
    uint64_t connection, number;
    uint32_t verb;
    int fd;                /* -1: none */
    const uint8_t *option; /* AVE: letters. CLAMD: prefix (if any), then "s" in a session */
    const uint8_t *argument;
    size_t option_len, argument_len;
} kav_request;

typedef struct {
    int64_t uid; /* who sent it; -1: not known any more */
    int fd;
} kav_unwanted;

typedef struct {
    int64_t pid, uid, gid; /* -1: not told */
    uint32_t *groups;      /* to be freed by the caller */
    size_t group_count;
    char address[128]; /* "ip port", what adopt was told, or "" */
} kav_peer;

typedef struct {
    uint64_t connections, clamd; /* now; of these CLAMD */
    uint64_t accepted, busy, requests, stalled, slow, stream_bytes, spilled;
    uint64_t memory_used, spill_used; /* by streams that are not answered */
} kav_front_counts;

/* 0 or -errno. */
int kav_front_new(const kav_front_options *options, kav_front **front);
void kav_front_free(kav_front *f);

/* End all connections, so that there is nothing left to do but to take what is unwanted, and to free it. */
void kav_front_drop(kav_front *f);

int kav_front_fileno(const kav_front *f);

/* Texts are copied; CLAMD has no greeting. Late: to a CLAMD peer whose command does not come to its end. */
enum kav_front_text { KAV_TEXT_GREETING, KAV_TEXT_BUSY, KAV_TEXT_LATE, KAV_TEXTS };
int kav_front_say(kav_front *f, enum kav_protocol protocol, enum kav_front_text which, const void *text, size_t len);

/* The descriptor is taken over, whatever the answer. */
int kav_front_listen(kav_front *f, int fd, enum kav_protocol protocol);

/* A connected socket. Address not NULL: it stands for a peer elsewhere, and its credentials are not asked. *id 0: there
 * was no room, it was told so and closed. */
int kav_front_adopt(kav_front *f, int fd, enum kav_protocol protocol, const char *address, uint64_t *id);

int kav_front_accepting(kav_front *f, bool on);

/* What there is to do now; 0 or -errno when the front itself cannot go on. */
int kav_front_step(kav_front *f);

size_t kav_front_request_count(const kav_front *f);
kav_request kav_front_request(const kav_front *f, size_t index);
/* Those before `taken` are the caller's with their descriptors, the others are lost. */
void kav_front_clear_requests(kav_front *f, size_t taken);

/* Descriptors that came and are of no use. They are the caller's when it has cleared them, for to close one can take as
 * long as its file system likes. */
size_t kav_front_unwanted_count(const kav_front *f);
kav_unwanted kav_front_unwanted(const kav_front *f, size_t index);
void kav_front_clear_unwanted(kav_front *f);

/* Whether descriptors of this user are taken; else the kernel drops them, and the request is BROKEN. KAV_SERVE_MUTED
 * users at most, others are taken from: whether it is so now. */
bool kav_front_mute(kav_front *f, int64_t uid, bool on);

/* Connections that ended with requests unanswered. */
size_t kav_front_gone_count(const kav_front *f);
uint64_t kav_front_gone(const kav_front *f, size_t index);
void kav_front_clear_gone(kav_front *f);

/* 0; -ENOENT: there is no such connection any more. */
int kav_front_peer(const kav_front *f, uint64_t connection, kav_peer *peer);

/* One line of an answer; the next one can be kept apart, once in an answer. Bytes that wait to be sent; 0 for a
 * connection that has gone; -EINVAL: no such request is open; -ENOMEM. In AVE bytes that would end the line are
 * replaced. */
enum kav_front_how { KAV_REPLY_LAST = 1, KAV_REPLY_APART = 2 };
ssize_t kav_front_reply(kav_front *f, uint64_t connection, uint64_t number, const void *text, size_t len, unsigned how);

/* Bytes that wait to be sent. */
size_t kav_front_waits(const kav_front *f, uint64_t connection);

/* No more is read; it ends when what waits has been sent. What is not answered is forgotten. */
void kav_front_end(kav_front *f, uint64_t connection);

kav_front_counts kav_front_get_counts(const kav_front *f);

#endif
