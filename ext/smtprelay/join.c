/* Bytes both ways (contract: smtprelay.h). Neither way waits for the other: a daemon that does not read yet may have
 * something to say. Descriptors stay blocking, as they may be shared with whoever started us. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "smtprelay.h"

enum { ROOM = 65536 };

typedef struct {
    int from, to;
    bool ended; /* nothing more will come */
    bool deaf;  /* nobody reads what has come */
    size_t at, len;
    char data[ROOM];
} way;

/* The beginning of the line that the daemon is saying. */
typedef struct {
    char start[4];
    size_t len;
    bool bye, any;
} heard;

static void listen_in(heard *h, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (h->len < sizeof h->start) h->start[h->len] = data[i];
        h->len++;
        if (data[i] != '\n') continue;
        h->bye = h->len > 4 && memcmp(h->start, "221 ", 4) == 0;
        h->len = 0;
    }
    h->any |= len > 0;
}

static void take(way *w)
{
    ssize_t got = read(w->from, w->data, sizeof w->data);
    if (got > 0) {
        w->at = 0;
        w->len = (size_t)got;
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
        w->ended = true;
    }
}

/* Never waits: a pipe that can be written to takes PIPE_BUF bytes at least. */
static void give(way *w)
{
    size_t left = w->len - w->at;
    ssize_t put = send(w->to, w->data + w->at, left, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0 && errno == ENOTSOCK) put = write(w->to, w->data + w->at, left < PIPE_BUF ? left : PIPE_BUF);
    if (put >= 0) w->at += (size_t)put;
    else if (errno != EINTR && errno != EAGAIN) w->deaf = w->ended = true;
    if (w->at == w->len || w->deaf) w->at = w->len = 0;
}

/* A way is read when it is empty and written when it is not. */
static struct pollfd wish(const way *w)
{
    if (w->len) return (struct pollfd){w->to, POLLOUT, 0};
    return (struct pollfd){w->ended ? -1 : w->from, POLLIN, 0};
}

join_end join(int in, int out, int socket)
{
    way up = {.from = in, .to = socket}, down = {.from = socket, .to = out};
    heard said = {0};
    bool closed = false;
    while (!down.ended || down.len) {
        struct pollfd ready[2] = {wish(&up), wish(&down)};
        if (poll(ready, 2, -1) < 0) {
            if (errno == EINTR) continue;
            return JOIN_BROKEN;
        }
        if (ready[0].revents) up.len ? give(&up) : take(&up);
        if (ready[1].revents) {
            if (down.len) {
                give(&down);
            } else {
                take(&down);
                listen_in(&said, down.data, down.len);
            }
        }
        if (up.ended && !up.len && !closed) {
            shutdown(socket, SHUT_WR);
            closed = true;
        }
    }
    if (down.deaf) return JOIN_BROKEN;
    if (!said.any) return JOIN_SILENT;
    return said.bye || up.ended ? JOIN_DONE : JOIN_BROKEN;
}
