/* A connection's row, from its opening to its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"

static uint32_t index_of(const kav_front *f, const kav_conn *c)
{
    return (uint32_t)(c - f->conns);
}

uint64_t kav_conn_id(const kav_front *f, const kav_conn *c)
{
    return (uint64_t)c->serial << INDEX_BITS | index_of(f, c);
}

static kav_conn *row(const kav_front *f, uint64_t id)
{
    uint32_t index = (uint32_t)id & CONNECTIONS;
    if (index >= f->options.connections) return NULL;
    kav_conn *c = &f->conns[index];
    return c->phase != KAV_FREE && c->serial == id >> INDEX_BITS ? c : NULL;
}

kav_conn *kav_conn_find(const kav_front *f, uint64_t id)
{
    kav_conn *c = row(f, id);
    return c && c->phase != KAV_UNREAD ? c : NULL;
}

kav_conn *kav_conn_open(kav_front *f, int fd, enum kav_protocol protocol, enum kav_transport transport)
{
    uint32_t index = f->free;
    kav_conn *c = &f->conns[index];
    struct epoll_event event = {.events = EPOLLIN};
    uint32_t serial = c->serial + 1;
    event.data.u64 = (uint64_t)serial << INDEX_BITS | index;
    if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) != 0) return NULL;
    f->free = c->next;
    *c = (kav_conn){
        .fd = fd,
        .passed = -1,
        .serial = serial,
        .watched = EPOLLIN,
        .client = KAV_NO_CLIENT,
        .next = KAV_NOBODY,
        .protocol = (uint8_t)protocol,
        .transport = (uint8_t)transport,
        .phase = KAV_COMMANDS,
        .flights = &c->one,
        .stream = {.fd = -1},
    };
    f->counts.connections++;
    f->counts.clamd += protocol == KAV_CLAMD;
    return c;
}

uint32_t kav_conn_flights(const kav_conn *c)
{
    return c->session ? KAV_SERVE_FLIGHTS : 1;
}

void kav_conn_settle_stream(kav_front *f, const kav_conn *c, kav_stream *stream)
{
    if (c->client != KAV_NO_CLIENT) kav_stream_settle(stream, &f->budget, kav_clients_share(f->clients, c->client));
}

void kav_conn_land(kav_front *f, kav_conn *c, kav_flight *flight)
{
    kav_conn_settle_stream(f, c, &flight->content);
    *flight = c->flights[--c->flying];
}

static void leave_again(kav_front *f, kav_conn *c)
{
    uint32_t own = index_of(f, c), before = KAV_NOBODY;
    if (!c->again) return;
    for (uint32_t at = f->again_first; at != own; at = f->conns[at].next) before = at;
    if (before == KAV_NOBODY) f->again_first = c->next;
    else f->conns[before].next = c->next;
    if (f->again_last == own) f->again_last = before;
    c->again = false;
}

static void leave(kav_front *f, kav_conn *c)
{
    close(c->fd); /* which takes it out of epoll, too; no child of ours has it */
    if (c->client != KAV_NO_CLIENT) kav_clients_leave(f->clients, c->client);
    f->counts.connections--;
    f->counts.clamd -= c->protocol == KAV_CLAMD;
    uint32_t serial = c->serial;
    *c = (kav_conn){.fd = -1, .serial = serial, .next = f->free, .phase = KAV_FREE};
    f->free = index_of(f, c);
}

/* A descriptor of ours counts as on its way for as long as the peer leaves it unread, with our end closed, too. So that
 * nobody has more of them than connections, it keeps its place until then: that it has read is told only as an edge. */
static void release(kav_front *f, kav_conn *c)
{
    leave_again(f, c);
    if (c->passed >= 0) kav_passed_drop(f, c, c->passed);
    while (c->flying) kav_conn_land(f, c, c->flights);
    kav_conn_settle_stream(f, c, &c->stream);
    if (c->flights != &c->one) free(c->flights);
    f->kept -= c->in_len;
    free(c->in);
    free(c->address);
    kav_outgoing_free(&c->out);
    kav_deadlines_set(&f->deadlines, index_of(f, c), KAV_WAIT_NONE, 0, 0);
    if (!c->apart || f->ending) {
        leave(f, c);
        return;
    }
    shutdown(c->fd, SHUT_RDWR);
    c->phase = KAV_UNREAD;
    c->passed = -1;
    c->flights = &c->one;
    c->in = NULL;
    c->address = NULL;
    c->in_len = 0;
    kav_conn_watch(f, c, EPOLLOUT | EPOLLET);
    kav_conn_unread(f, kav_conn_id(f, c));
}

bool kav_conn_unread(kav_front *f, uint64_t id)
{
    kav_conn *c = row(f, id);
    if (!c || c->phase != KAV_UNREAD) return false;
    if (kav_output_read(c)) leave(f, c);
    return true;
}

void kav_conn_drop(kav_front *f, kav_conn *c)
{
    if (c->flying && kav_inbox_add_id(&f->inbox, kav_conn_id(f, c))) f->failed = -ENOMEM;
    release(f, c);
}

/* What lies unread when a socket is closed makes TCP throw away what the peer has not read yet, and a peer that is
 * still sending has an error before it reads why. */
static bool may_linger(kav_front *f, kav_conn *c)
{
    if (c->cut) return true;
    return c->transport != KAV_UNIX && recv(c->fd, f->scratch, RECEIVE_MAX, MSG_DONTWAIT) > 0;
}

bool kav_conn_settle(kav_front *f, kav_conn *c)
{
    if (!c->closing || c->flying || c->phase == KAV_LINGER || kav_outgoing_waits(&c->out)) return false;
    if (c->phase != KAV_DEAF) return false;
    if (may_linger(f, c)) {
        shutdown(c->fd, SHUT_WR);
        c->phase = KAV_LINGER;
        kav_conn_watch(f, c, EPOLLIN);
        kav_conn_rearm(f, c, false);
        return false;
    }
    release(f, c);
    return true;
}

void kav_conn_watch(kav_front *f, kav_conn *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u64 = kav_conn_id(f, c)};
    if (c->watched == events) return;
    if (epoll_ctl(f->epoll, EPOLL_CTL_MOD, c->fd, &event) == 0) c->watched = events;
    else f->failed = -errno;
}

static enum kav_wait waits_for(const kav_conn *c)
{
    if (c->phase == KAV_LINGER) return KAV_WAIT_LINGER;
    if (kav_outgoing_waits(&c->out)) return KAV_WAIT_OUTPUT;
    if (c->phase == KAV_STREAM || c->phase == KAV_PASSING) return KAV_WAIT_INPUT;
    if (c->phase == KAV_DEAF || !kav_input_wanted(c)) return KAV_WAIT_NONE;
    if (c->in_len && c->protocol == KAV_CLAMD && !c->session && *c->in != 'n' && *c->in != 'z') return KAV_WAIT_QUIET;
    if (c->in_len) return KAV_WAIT_INPUT;
    if (c->flying) return KAV_WAIT_NONE;
    return c->protocol == KAV_AVE ? KAV_WAIT_IDLE : KAV_WAIT_INPUT;
}

void kav_conn_rearm(kav_front *f, kav_conn *c, bool progress)
{
    enum kav_wait kind = waits_for(c);
    /* A command has its time from its first byte on; a stream, and a peer that reads, as long as they get on. */
    bool again = progress && (c->phase == KAV_STREAM || kind == KAV_WAIT_OUTPUT || kind == KAV_WAIT_QUIET);
    kav_deadlines_set(&f->deadlines, index_of(f, c), kind, again, kav_now_ms());
}

void kav_conn_again(kav_front *f, kav_conn *c)
{
    uint32_t own = index_of(f, c);
    if (c->again) return;
    c->again = true;
    c->next = KAV_NOBODY;
    if (f->again_last == KAV_NOBODY) f->again_first = own;
    else f->conns[f->again_last].next = own;
    f->again_last = own;
    kav_deadlines_ring(&f->deadlines);
}
