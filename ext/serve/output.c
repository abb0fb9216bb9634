/* Replies: framed, sent at once where the peer takes them, else kept in order. */
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "front.h"

/* Whether the peer has read all that was sent. While it is told that there is room again, one byte still counts. */
static bool has_read(const kav_conn *c)
{
    int unread = 0;
    return c->transport == KAV_TCP || ioctl(c->fd, SIOCOUTQ, &unread) != 0 || unread <= 1;
}

static ssize_t send_parts(const kav_conn *c, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
}

/* Room is told only as an edge: the kernel speaks up whenever the peer has read something. */
static void wait_for_reader(kav_front *f, kav_conn *c)
{
    c->reader = true;
    kav_conn_watch(f, c, EPOLLOUT | EPOLLET);
    kav_conn_rearm(f, c, false);
}

void kav_output_flush(kav_front *f, kav_conn *c)
{
    size_t len;
    bool alone, progress = false;
    const uint8_t *line;
    while ((line = kav_outgoing_first(&c->out, &len, &alone))) {
        if (alone && !has_read(c)) {
            wait_for_reader(f, c);
            return;
        }
        c->reader = false;
        struct iovec part = {(void *)(uintptr_t)line, len};
        ssize_t sent = send_parts(c, &part, 1);
        if (sent < 0) {
            kav_conn_drop(f, c);
            return;
        }
        if (sent) kav_outgoing_took(&c->out, (size_t)sent);
        progress = progress || sent;
        if ((size_t)sent < len) {
            kav_conn_watch(f, c, EPOLLOUT | (kav_input_wanted(c) ? EPOLLIN : 0));
            kav_conn_rearm(f, c, progress);
            return;
        }
    }
    if (kav_conn_settle(f, c)) return;
    if (c->phase == KAV_COMMANDS && c->in_len) kav_conn_again(f, c); /* it may have waited for this */
    if (c->phase != KAV_LINGER) kav_conn_watch(f, c, kav_input_wanted(c) ? EPOLLIN : 0);
    kav_conn_rearm(f, c, false);
}

/* 0 or -errno. */
static int put(kav_front *f, kav_conn *c, struct iovec *parts, size_t count, bool alone)
{
    size_t len = 0;
    ssize_t sent = 0;
    for (size_t i = 0; i < count; i++) len += parts[i].iov_len;
    if (!kav_outgoing_waits(&c->out) && (!alone || has_read(c))) {
        sent = send_parts(c, parts, count);
        if (sent < 0) return (int)sent;
        if ((size_t)sent == len) return 0;
        alone = false;
    }
    if (kav_outgoing_waits(&c->out) + len > KAV_SERVE_OUT_MAX) return -ENOBUFS;
    int failed = kav_outgoing_add(&c->out, parts, count, (size_t)sent, alone);
    if (failed || kav_outgoing_waits(&c->out) > len + 8) return failed; /* others wait already, so all is set */
    if (alone) wait_for_reader(f, c);
    else kav_conn_watch(f, c, c->watched | EPOLLOUT);
    kav_conn_rearm(f, c, true);
    return 0;
}

void kav_output_text(kav_front *f, kav_conn *c, enum kav_front_text which)
{
    const kav_text *text = &f->texts[c->protocol][which];
    struct iovec part = {text->bytes, text->len};
    if (text->len && put(f, c, &part, 1, false)) kav_conn_drop(f, c);
}

static bool ends_line(uint8_t c)
{
    return c == '\r' || c == '\n' || c == 0;
}

/* A line of AVE that holds what would end it: a copy without, or NULL. */
static uint8_t *without_ends(const uint8_t *text, size_t len)
{
    uint8_t *copy = malloc(len);
    for (size_t i = 0; copy && i < len; i++) copy[i] = ends_line(text[i]) ? '_' : text[i];
    return copy;
}

static int put_line(kav_front *f, kav_conn *c, const kav_flight *flight, const void *text, size_t len, bool last)
{
    char number[32];
    uint8_t *copy = NULL, end = flight->end;
    bool ave = c->protocol == KAV_AVE;
    struct iovec parts[3] = {{number, 0}, {(void *)(uintptr_t)text, len}, {&end, 1}};
    for (size_t i = 0; ave && i < len && !copy; i++) {
        if (!ends_line(((const uint8_t *)text)[i])) continue;
        if (!(copy = without_ends(text, len))) return -ENOMEM;
        parts[1].iov_base = copy;
    }
    if (c->session)
        parts[0].iov_len = (size_t)snprintf(number, sizeof number, "%llu: ", (unsigned long long)flight->number);
    if (ave) parts[2] = (struct iovec){(void *)(uintptr_t) "\r\n", 2};
    int failed = put(f, c, parts, 3, ave && last && flight->lines);
    free(copy);
    return failed;
}

ssize_t kav_front_reply(kav_front *f, uint64_t id, uint64_t number, const void *text, size_t len, bool last)
{
    kav_conn *c = kav_conn_find(f, id);
    if (!c) return 0;
    kav_flight *flight = c->flights;
    while (flight < c->flights + c->flying && flight->number != number) flight++;
    if (flight == c->flights + c->flying) /* 0: ended by kav_front_end */
        return c->phase == KAV_DEAF || c->phase == KAV_LINGER ? 0 : -EINVAL;
    int failed = put_line(f, c, flight, text, len, last);
    if (failed) {
        kav_conn_drop(f, c);
        return failed == -ENOMEM ? failed : 0;
    }
    flight->lines++;
    if (!last) return (ssize_t)kav_outgoing_waits(&c->out);
    kav_conn_land(f, c, flight);
    if (kav_conn_settle(f, c)) return 0;
    if (c->phase == KAV_COMMANDS && c->in_len) kav_conn_again(f, c);
    if (!kav_outgoing_waits(&c->out) && c->phase != KAV_LINGER) {
        if (kav_input_wanted(c)) kav_conn_watch(f, c, c->watched | EPOLLIN);
        kav_conn_rearm(f, c, false);
    }
    return (ssize_t)kav_outgoing_waits(&c->out);
}

size_t kav_front_waits(const kav_front *f, uint64_t id)
{
    const kav_conn *c = kav_conn_find(f, id);
    return c ? kav_outgoing_waits(&c->out) : 0;
}

void kav_front_end(kav_front *f, uint64_t id)
{
    kav_conn *c = kav_conn_find(f, id);
    if (!c || c->phase == KAV_LINGER) return;
    c->cut = c->cut || c->phase != KAV_COMMANDS || c->in_len;
    c->phase = KAV_DEAF;
    c->closing = true;
    while (c->flying) kav_conn_land(f, c, c->flights);
    kav_conn_settle_stream(f, c, &c->stream);
    f->kept -= c->in_len;
    free(c->in);
    c->in = NULL;
    c->in_len = 0;
    if (!kav_conn_settle(f, c)) kav_conn_rearm(f, c, false);
}
