/* Accepting: who may come in. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"

/* The user of a UNIX socket, the address of another; of IPv6 the first half. */
static uint64_t name_of(int fd, const struct sockaddr_storage *address, enum kav_client_kind *kind)
{
    uint64_t name = 0;
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t len = sizeof who;
    if (address->ss_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(ip);
        *kind = mapped ? KAV_CLIENT_IP4 : KAV_CLIENT_IP6;
        memcpy(&name, ip->s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
    } else if (address->ss_family == AF_INET) {
        *kind = KAV_CLIENT_IP4;
        memcpy(&name, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else {
        *kind = KAV_CLIENT_USER;
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
        name = who.uid;
    }
    return name;
}

/* Peers of a relay are told apart by what stands before the blank, their address without port. */
static uint64_t name_of_text(const char *address)
{
    uint64_t name = 1469598103934665603u;
    for (; *address && *address != ' '; address++) name = (name ^ (uint8_t)*address) * 1099511628211u;
    return name;
}

static void refuse(kav_front *f, int fd, enum kav_protocol protocol)
{
    const kav_text *text = &f->texts[protocol][KAV_TEXT_BUSY];
    f->counts.busy++;
    if (text->len && send(fd, text->bytes, text->len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) shutdown(fd, SHUT_WR);
    recv(fd, f->scratch, RECEIVE_MAX, MSG_DONTWAIT); /* what is unread would undo what was said, over TCP */
    close(fd);
}

static void prepare_tcp(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on); /* an idle peer may have gone without a word */
}

/* Takes the descriptor; the connection, or NULL: it was refused. */
static kav_conn *enter(kav_front *f, int fd, enum kav_protocol protocol, enum kav_transport transport,
                       enum kav_client_kind kind, uint64_t name)
{
    uint32_t client = KAV_NO_CLIENT;
    kav_conn *c = NULL;
    if (f->free != KAV_NOBODY) client = kav_clients_enter(f->clients, kind, name, f->options.per_client);
    if (client != KAV_NO_CLIENT) c = kav_conn_open(f, fd, protocol, transport);
    if (!c) {
        if (client != KAV_NO_CLIENT) kav_clients_leave(f->clients, client);
        refuse(f, fd, protocol);
        return NULL;
    }
    c->client = client;
    f->counts.accepted++;
    if (transport == KAV_TCP) prepare_tcp(fd);
    return c;
}

/* The greeting first; then what the client has said already, which saves waiting for an event. */
static void welcome(kav_front *f, kav_conn *c)
{
    uint64_t id = kav_conn_id(f, c);
    kav_output_text(f, c, KAV_TEXT_GREETING);
    if (!kav_conn_find(f, id)) return;
    kav_conn_rearm(f, c, false);
    kav_input(f, c);
}

/* Without descriptors there is nothing to do but to ask again in a moment; the clients wait in the kernel's queue. */
static void rest(kav_front *f)
{
    f->resting = true;
    kav_accept_watch(f);
    kav_deadlines_set(&f->deadlines, f->options.connections, KAV_WAIT_ACCEPT, 1, kav_now_ms());
}

void kav_accept(kav_front *f, const kav_listener *listener)
{
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof address;
        enum kav_client_kind kind;
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) rest(f);
            if (errno == ECONNABORTED || errno == EINTR) continue;
            return;
        }
        uint64_t name = name_of(fd, &address, &kind);
        enum kav_transport transport = kind == KAV_CLIENT_USER ? KAV_UNIX : KAV_TCP;
        kav_conn *c = enter(f, fd, listener->protocol, transport, kind, name);
        if (c) welcome(f, c);
    }
}

void kav_accept_watch(kav_front *f)
{
    for (uint32_t i = 0; i < f->listener_count; i++) {
        struct epoll_event event = {.events = f->accepting && !f->resting ? EPOLLIN : 0, .data.u64 = TAG_LISTENER | i};
        epoll_ctl(f->epoll, EPOLL_CTL_MOD, f->listeners[i].fd, &event);
    }
}

static int prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC)) return -errno;
    return 0;
}

int kav_front_listen(kav_front *f, int fd, enum kav_protocol protocol)
{
    struct epoll_event event = {.events = f->accepting && !f->resting ? EPOLLIN : 0};
    event.data.u64 = TAG_LISTENER | f->listener_count;
    int failed = f->listener_count < LISTENERS ? prepare(fd) : -ENOSPC;
    if (!failed && epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event)) failed = -errno;
    if (failed) {
        if (fd >= 0) close(fd);
        return failed;
    }
    f->listeners[f->listener_count++] = (kav_listener){fd, (uint8_t)protocol};
    return 0;
}

int kav_front_adopt(kav_front *f, int fd, enum kav_protocol protocol, const char *address, uint64_t *id)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    enum kav_client_kind kind = KAV_CLIENT_NAMED;
    int failed = prepare(fd);
    if (!failed && getpeername(fd, (struct sockaddr *)&peer, &len)) failed = -errno;
    char *copy = address && !failed ? strdup(address) : NULL;
    if (address && !failed && !copy) failed = -ENOMEM;
    *id = 0;
    if (failed) {
        if (fd >= 0) close(fd);
        return failed;
    }
    uint64_t name = address ? name_of_text(address) : name_of(fd, &peer, &kind);
    enum kav_transport transport = address ? KAV_RELAY : kind == KAV_CLIENT_USER ? KAV_UNIX : KAV_TCP;
    kav_conn *c = enter(f, fd, protocol, transport, kind, name);
    if (!c) {
        free(copy);
        return 0;
    }
    c->address = copy;
    *id = kav_conn_id(f, c);
    kav_output_text(f, c, KAV_TEXT_GREETING);
    if (kav_conn_find(f, *id)) kav_conn_rearm(f, c, false);
    return 0;
}

int kav_front_accepting(kav_front *f, bool on)
{
    f->accepting = on;
    kav_accept_watch(f);
    return 0;
}
