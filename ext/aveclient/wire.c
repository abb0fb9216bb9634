/* One connection (contract: aveclient.h). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "aveclient.h"

#define REQUEST "SCAN bPQRSTUW "

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *ave_connect(ave_wire *wire, const char *path, unsigned seconds)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    wire->fd = -1;
    wire->limit_ns = (uint64_t)seconds * 1000000000u;
    wire->in_from = wire->in_len = wire->out_from = wire->out_len = 0;
    if (!len || len >= sizeof address.sun_path) return strerror(len ? ENAMETOOLONG : ENOENT);
    memcpy(address.sun_path, path, len);
    wire->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (wire->fd < 0) return strerror(errno);
    struct timeval patience = {.tv_sec = seconds}; /* where too many others wait to be accepted */
    setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(wire->fd, (struct sockaddr *)&address, sizeof address) != 0) return strerror(errno);
    if (fcntl(wire->fd, F_SETFL, O_NONBLOCK) != 0) return strerror(errno);
    ave_answered(wire);
    return NULL;
}

void ave_answered(ave_wire *wire)
{
    wire->until_ns = now_ns() + wire->limit_ns;
}

bool ave_ask(ave_wire *wire, const char *path)
{
    size_t words = strlen(REQUEST), len = strlen(path), whole = words + len + 2;
    if (wire->out_from && wire->out_len + whole > AVE_OUT_MAX) {
        memmove(wire->out, wire->out + wire->out_from, wire->out_len - wire->out_from);
        wire->out_len -= wire->out_from;
        wire->out_from = 0;
    }
    if (whole > AVE_OUT_MAX - wire->out_len) return false;
    char *at = wire->out + wire->out_len;
    memcpy(at, REQUEST, words);
    memcpy(at + words, path, len);
    memcpy(at + words + len, "\r\n", 2);
    wire->out_len += whole;
    return true;
}

/* A line out of what is there. */
static bool cut(ave_wire *wire, const char **line, size_t *len)
{
    const char *from = wire->in + wire->in_from;
    size_t there = wire->in_len - wire->in_from;
    const char *end = there ? memchr(from, '\n', there) : NULL;
    if (!end) return false;
    *line = from;
    *len = (size_t)(end - from);
    wire->in_from += *len + 1;
    if (*len && from[*len - 1] == '\r') --*len;
    return true;
}

static const char *send_some(ave_wire *wire)
{
    while (wire->out_from < wire->out_len) {
        ssize_t n = send(wire->fd, wire->out + wire->out_from, wire->out_len - wire->out_from, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return NULL;
        if (n < 0) return strerror(errno);
        wire->out_from += (size_t)n;
    }
    wire->out_from = wire->out_len = 0;
    return NULL;
}

static const char *receive_some(ave_wire *wire)
{
    if (wire->in_from) {
        memmove(wire->in, wire->in + wire->in_from, wire->in_len - wire->in_from);
        wire->in_len -= wire->in_from;
        wire->in_from = 0;
    }
    if (wire->in_len == AVE_LINE_MAX) return "a line of its answer has no end";
    ssize_t n = recv(wire->fd, wire->in + wire->in_len, AVE_LINE_MAX - wire->in_len, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
    if (n == 0) return "it has gone without an answer";
    wire->in_len += (size_t)n;
    return NULL;
}

const char *ave_line(ave_wire *wire, const char **line, size_t *len)
{
    const char *lost = NULL; /* what could not be sent; answers may be there all the same */
    for (;;) {
        uint64_t now = now_ns();
        if (now >= wire->until_ns) return "it did not answer in time";
        if (cut(wire, line, len)) return NULL;
        if (!lost) lost = send_some(wire);
        short wanted = POLLIN | (!lost && wire->out_from < wire->out_len ? POLLOUT : 0);
        struct pollfd waits = {.fd = wire->fd, .events = wanted};
        uint64_t left_ms = (wire->until_ns - now) / 1000000u + 1;
        int ready = poll(&waits, 1, left_ms < 3600000u ? (int)left_ms : 3600000);
        if (ready < 0 && errno != EINTR) return strerror(errno);
        if (ready <= 0 || !(waits.revents & ~POLLOUT)) continue;
        const char *error = receive_some(wire);
        if (error) return error;
    }
}

void ave_bye(ave_wire *wire)
{
    if (wire->fd < 0) return;
    (void)!send(wire->fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(wire->fd);
    wire->fd = -1;
}
