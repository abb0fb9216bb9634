/* Input: from bytes to requests. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"

bool kav_input_wanted(const kav_conn *c)
{
    if (c->phase == KAV_STREAM || c->phase == KAV_PASSING || c->phase == KAV_LINGER) return true;
    if (c->phase != KAV_COMMANDS || c->again || kav_outgoing_waits(&c->out) > KAV_SERVE_OUT_HIGH) return false;
    if (c->in_len != c->seen) return false; /* what is left and not looked at goes first: there is room for one line */
    return c->flying < kav_conn_flights(c);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void hear_no_more(kav_conn *c)
{
    c->phase = KAV_DEAF;
    c->closing = true;
}

/* A session may have several requests open, which takes a table. */
static int begin_session(kav_conn *c)
{
    kav_flight *table = calloc(KAV_SERVE_FLIGHTS, sizeof *table);
    if (!table) return -ENOMEM;
    c->flights = table;
    c->session = true;
    return 0;
}

/* The newest request goes to Python; its stream's bytes count until it is answered. Takes the descriptor. */
static int hand_out(kav_front *f, kav_conn *c, uint32_t verb, const void *argument, size_t argument_len, int fd)
{
    uint8_t option[2];
    size_t option_len = 0;
    if (c->prefix) option[option_len++] = c->prefix;
    if (c->session) option[option_len++] = 's';
    const kav_request request = {.connection = kav_conn_id(f, c),
                                 .number = c->number,
                                 .verb = verb,
                                 .fd = fd,
                                 .option = option,
                                 .option_len = option_len,
                                 .argument = argument,
                                 .argument_len = argument_len};
    if (kav_inbox_add(&f->inbox, &request)) {
        if (fd >= 0) kav_passed_drop(f, c, fd);
        return -ENOMEM;
    }
    c->flights[c->flying++] =
        (kav_flight){.number = c->number, .content = c->stream, .end = c->prefix == 'z' ? 0 : '\n'};
    c->stream = (kav_stream){.fd = -1};
    f->counts.requests++;
    if (!c->session) hear_no_more(c);
    return 0;
}

/* A request that cannot be understood or met, and the last of this connection. */
static int hand_out_wrong(kav_front *f, kav_conn *c, uint32_t verb, const char *why)
{
    kav_conn_settle_stream(f, c, &c->stream);
    int failed = hand_out(f, c, verb, why, strlen(why), -1);
    hear_no_more(c);
    c->cut = true;
    return failed;
}

static int take_passed(kav_front *f, kav_conn *c)
{
    if (c->refused) return hand_out_wrong(f, c, KAV_VERB_BROKEN, KAV_BROKEN_BUSY);
    if (c->several || c->passed < 0)
        return hand_out_wrong(f, c, KAV_VERB_BROKEN, c->several ? KAV_BROKEN_SEVERAL : KAV_BROKEN_NONE);
    int fd = c->passed;
    const char *wrong = kav_passed_wrong(fd);
    c->passed = -1;
    c->phase = KAV_COMMANDS;
    if (!wrong) return hand_out(f, c, KAV_VERB_FILDES, NULL, 0, fd);
    kav_passed_drop(f, c, fd);
    return hand_out(f, c, KAV_VERB_FILDES, wrong, strlen(wrong), -1);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static int act_on_clamd(kav_front *f, kav_conn *c, const kav_line *line)
{
    c->prefix = line->prefix;
    if (line->verb == KAV_VERB_IDSESSION) return begin_session(c);
    if (line->verb == KAV_VERB_END) {
        hear_no_more(c);
        return 0;
    }
    c->number++;
    if (line->verb == KAV_VERB_INSTREAM) {
        c->phase = KAV_STREAM;
        c->chunks = (kav_chunks){.room = f->options.stream_max};
        return 0;
    }
    if (line->verb == KAV_VERB_FILDES) {
        c->phase = KAV_PASSING;
        return 0;
    }
    int failed = hand_out(f, c, line->verb, line->argument, line->argument_len, -1);
    if (line->verb == KAV_VERB_UNKNOWN || line->verb == KAV_VERB_TOO_LONG) hear_no_more(c);
    c->cut = c->cut || line->verb == KAV_VERB_TOO_LONG;
    return failed;
}

static int act_on_ave(kav_front *f, kav_conn *c, const kav_line *line)
{
    const kav_request request = {.connection = kav_conn_id(f, c),
                                 .number = c->number + 1,
                                 .verb = line->verb,
                                 .fd = -1,
                                 .option = line->option,
                                 .option_len = line->option_len,
                                 .argument = line->argument,
                                 .argument_len = line->argument_len};
    if (line->verb == KAV_VERB_NONE) return 0;
    if (kav_inbox_add(&f->inbox, &request)) return -ENOMEM;
    c->flights[c->flying++] = (kav_flight){.number = ++c->number, .content = {.fd = -1}};
    f->counts.requests++;
    if (line->verb == KAV_VERB_QUIT || line->verb == KAV_VERB_TOO_LONG) hear_no_more(c);
    c->cut = c->cut || line->verb == KAV_VERB_TOO_LONG;
    return 0;
}

/* Each of these takes *used of the bytes, 0 when they are too few; 0 or -errno. */
static int take_line(kav_front *f, kav_conn *c, const uint8_t *bytes, size_t len, bool whole, size_t *used)
{
    kav_line line;
    unsigned how = (c->session ? KAV_CLAMD_SESSION : 0) | (whole ? KAV_CLAMD_WHOLE : 0);
    if (c->protocol == KAV_AVE) *used = kav_ave_line(bytes, len, f->options.line_max, &c->seen, &line);
    else *used = kav_clamd_line(bytes, len, f->options.line_max, how, &c->seen, &line);
    if (!*used) return 0;
    c->seen = 0;
    return c->protocol == KAV_AVE ? act_on_ave(f, c, &line) : act_on_clamd(f, c, &line);
}

static int take_stream(kav_front *f, kav_conn *c, uint8_t *bytes, size_t len, size_t *used)
{
    uint8_t *content;
    size_t content_len;
    enum kav_chunks_end end = kav_chunks_take(&c->chunks, bytes, len, used, &content, &content_len);
    if (end == KAV_CHUNKS_TOO_LARGE) return hand_out_wrong(f, c, KAV_VERB_TOO_LARGE, "");
    f->counts.stream_bytes += content_len;
    int failed = content_len ? kav_stream_write(&c->stream, &f->budget, kav_clients_share(f->clients, c->client),
                                                content, content_len)
                             : 0;
    if (end == KAV_CHUNKS_MORE && !failed) return 0;
    int fd = failed ? failed : kav_stream_seal(&c->stream);
    if (fd < 0) return hand_out_wrong(f, c, KAV_VERB_BROKEN, KAV_BROKEN_SPACE);
    c->phase = KAV_COMMANDS;
    return hand_out(f, c, KAV_VERB_INSTREAM, NULL, 0, fd);
}

static bool no_prefix(uint8_t byte)
{
    return byte != 'n' && byte != 'z';
}

/* A descriptor comes with a byte of no meaning. One that came with the command needs none, but may have it (then owed):
 * any byte but those that begin a command. */
static int take_passing(kav_front *f, kav_conn *c, const uint8_t *bytes, size_t len, size_t *used)
{
    *used = 0;
    if (!len && c->passed < 0 && !c->several && !c->refused) return 0;
    *used = len && (c->passed < 0 || no_prefix(*bytes));
    c->owed = !len;
    return take_passed(f, c);
}

static bool blocked(const kav_conn *c)
{
    return c->phase == KAV_COMMANDS &&
           (c->flying >= kav_conn_flights(c) || kav_outgoing_waits(&c->out) > KAV_SERVE_OUT_HIGH);
}

static int keep_rest(kav_front *f, kav_conn *c, const uint8_t *bytes, size_t len)
{
    uint8_t *old = c->in;
    uint8_t *rest = len ? malloc(len) : NULL;
    if (len && !rest) return -ENOMEM;
    if (len) memcpy(rest, bytes, len);
    f->kept += len;
    f->kept -= c->in_len;
    c->in = rest;
    c->in_len = (uint32_t)len;
    free(old);
    return 0;
}

/* All that can be taken of these bytes of the scratch buffer; the rest is kept. 0 or -errno. */
static int take(kav_front *f, kav_conn *c, uint8_t *bytes, size_t len, bool whole)
{
    int failed = 0;
    while (!failed && c->phase != KAV_DEAF && !blocked(c)) {
        size_t used = 0;
        enum kav_phase before = c->phase;
        if (c->phase == KAV_COMMANDS && len && c->owed) {
            c->owed = false;
            used = no_prefix(*bytes);
            if (!used) continue;
        } else if (c->phase == KAV_COMMANDS && len) failed = take_line(f, c, bytes, len, whole, &used);
        else if (c->phase == KAV_STREAM && len) failed = take_stream(f, c, bytes, len, &used);
        else if (c->phase == KAV_PASSING) failed = take_passing(f, c, bytes, len, &used);
        if (!used && c->phase == before) break;
        bytes += used;
        len -= used;
    }
    if (c->phase == KAV_DEAF) len = 0;
    return failed ? failed : keep_rest(f, c, bytes, len);
}

/* ---- the socket -------------------------------------------------------------------------------------------------- */

static void ended_by_peer(kav_front *f, kav_conn *c)
{
    if (c->phase == KAV_COMMANDS && c->in_len && !blocked(c)) {
        size_t len = c->in_len;
        memcpy(f->scratch, c->in, len);
        if (take(f, c, f->scratch, len, true)) {
            kav_conn_drop(f, c);
            return;
        }
    }
    kav_conn_settle_stream(f, c, &c->stream);
    hear_no_more(c);
}

static void linger(kav_front *f, kav_conn *c)
{
    for (int i = 0; i < RECEIVES; i++) {
        ssize_t got = recv(c->fd, f->scratch, RECEIVE_MAX, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got > 0) continue;
        kav_conn_drop(f, c);
        return;
    }
}

/* Receives behind what is left. What was received, 0 at the end, -errno. */
static ssize_t receive(kav_front *f, kav_conn *c, size_t most)
{
    uint8_t *at = f->scratch + c->in_len;
    if (c->in_len + most > f->scratch_size) return -ENOBUFS; /* a defect: what waits is to be taken first */
    if (c->in_len) memcpy(f->scratch, c->in, c->in_len);
    bool passing = c->protocol == KAV_CLAMD && c->transport == KAV_UNIX;
    ssize_t got = passing ? kav_passed_receive(f, c, at, most) : recv(c->fd, at, most, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

/* One portion; whether there may be more. */
static bool input_once(kav_front *f, kav_conn *c, bool *gone)
{
    /* One command and its stream mostly come as one; of several that wait for their turn little is kept. */
    bool much = c->protocol == KAV_CLAMD && !c->session && (c->phase == KAV_STREAM || f->kept < KEPT_HIGH);
    size_t most = much ? RECEIVE_MAX : RECEIVE_SMALL;
    ssize_t got = receive(f, c, most);
    *gone = false;
    if (got == -EAGAIN || got == -EINTR) return false;
    if (got == 0) {
        uint64_t id = kav_conn_id(f, c);
        ended_by_peer(f, c);
        *gone = !kav_conn_find(f, id);
        return false;
    }
    size_t len = got < 0 ? 0 : (size_t)got;
    if (c->protocol == KAV_AVE) len = kav_ave_strip(f->scratch + c->in_len, len);
    if (got < 0 || take(f, c, f->scratch, c->in_len + len, false)) {
        kav_conn_drop(f, c);
        *gone = true;
        return false;
    }
    return (size_t)got == most || c->phase == KAV_STREAM || c->phase == KAV_PASSING;
}

static void after(kav_front *f, kav_conn *c, bool progress)
{
    if (!kav_conn_settle(f, c)) kav_conn_rearm(f, c, progress);
}

void kav_input(kav_front *f, kav_conn *c)
{
    bool gone = false, more = true;
    if (c->phase == KAV_LINGER) {
        linger(f, c);
        return;
    }
    if (!kav_input_wanted(c)) { /* only now, for most clients say nothing more and so it need not be done */
        kav_conn_watch(f, c, c->watched & ~(uint32_t)EPOLLIN);
        return;
    }
    for (int i = 0; i < RECEIVES && more && kav_input_wanted(c); i++) {
        more = input_once(f, c, &gone);
        if (gone) return;
    }
    after(f, c, true);
}

/* What was left takes its turn. */
static void go_on(kav_front *f, kav_conn *c, bool whole)
{
    size_t len = c->in_len;
    if (c->phase == KAV_COMMANDS && len && !blocked(c)) {
        memcpy(f->scratch, c->in, len);
        if (take(f, c, f->scratch, len, whole)) {
            kav_conn_drop(f, c);
            return;
        }
    }
    if (kav_conn_settle(f, c)) return;
    if (kav_input_wanted(c)) kav_conn_watch(f, c, c->watched | EPOLLIN);
    kav_conn_rearm(f, c, false);
}

void kav_input_again(kav_front *f, kav_conn *c)
{
    go_on(f, c, false);
}

void kav_input_whole(kav_front *f, kav_conn *c)
{
    go_on(f, c, true);
}
