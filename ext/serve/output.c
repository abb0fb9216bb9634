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

/* Whether the peer has read all that it was answered. While it is told that there is room again, one byte still counts.
 */
bool kav_output_read(const kav_conn *c)
{
    int unread = 0;
    return !kav_outgoing_waits(&c->out) && (ioctl(c->fd, SIOCOUTQ, &unread) != 0 || unread <= 1);
}

/* Apart: no recv goes on behind these bytes. They must be one piece for the kernel, which holds for lines of less than
 * half of a socket's buffer and 32 KiB; when it takes a part nevertheless, the rest goes apart, too. */
static ssize_t send_parts(const kav_front *f, const kav_conn *c, struct iovec *parts, size_t count, bool apart)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    if (apart) {
        memcpy(CMSG_DATA(&control.head), &f->apart, sizeof f->apart);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    ssize_t sent = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (apart && errno == ETOOMANYREFS) return send_parts(f, c, parts, count, false);
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
}

void kav_output_flush(kav_front *f, kav_conn *c)
{
    size_t len;
    bool apart, progress = false;
    const uint8_t *line;
    while ((line = kav_outgoing_first(&c->out, &len, &apart))) {
        struct iovec part = {(void *)(uintptr_t)line, len};
        ssize_t sent = send_parts(f, c, &part, 1, apart);
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
static int put(kav_front *f, kav_conn *c, struct iovec *parts, size_t count, bool apart)
{
    size_t len = 0;
    ssize_t sent = 0;
    for (size_t i = 0; i < count; i++) len += parts[i].iov_len;
    if (!kav_outgoing_waits(&c->out)) {
        sent = send_parts(f, c, parts, count, apart);
        if (sent < 0) return (int)sent;
        if ((size_t)sent == len) return 0;
    }
    if (kav_outgoing_waits(&c->out) + len > KAV_SERVE_OUT_MAX) return -ENOBUFS;
    int failed = kav_outgoing_add(&c->out, parts, count, (size_t)sent, apart);
    if (failed || kav_outgoing_waits(&c->out) > len + 8) return failed; /* others wait already, so all is set */
    kav_conn_watch(f, c, c->watched | EPOLLOUT);
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

static int put_line(kav_front *f, kav_conn *c, const kav_flight *flight, const void *text, size_t len, bool apart)
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
    int failed = put(f, c, parts, 3, apart);
    free(copy);
    return failed;
}

/* One descriptor for each connection is on its way, at most: a client that does not read cannot use up what there is.
 */
static bool may_part(kav_conn *c)
{
    if (c->protocol != KAV_AVE || c->transport == KAV_TCP || c->apart) return false;
    return c->apart = true;
}

ssize_t kav_front_reply(kav_front *f, uint64_t id, uint64_t number, const void *text, size_t len, unsigned how)
{
    kav_conn *c = kav_conn_find(f, id);
    if (!c) return 0;
    kav_flight *flight = c->flights;
    while (flight < c->flights + c->flying && flight->number != number) flight++;
    if (flight == c->flights + c->flying) /* 0: ended by kav_front_end */
        return c->phase == KAV_DEAF || c->phase == KAV_LINGER ? 0 : -EINVAL;
    if (c->apart && !flight->lines && kav_output_read(c)) c->apart = false;
    int failed = put_line(f, c, flight, text, len, how & KAV_REPLY_APART && may_part(c));
    if (failed) {
        kav_conn_drop(f, c);
        return failed == -ENOMEM ? failed : 0;
    }
    flight->lines++;
    if (!(how & KAV_REPLY_LAST)) return (ssize_t)kav_outgoing_waits(&c->out);
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
