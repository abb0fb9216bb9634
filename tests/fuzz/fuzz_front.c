/* Fuzz: the whole front of the service with clients on both protocols that send, read, vanish and pass descriptors in
 * any order, while requests are answered late, in several lines, or not at all. Input: deeds, a byte and its bytes.
 *
 * What must hold beside no fault: who is heard of as asking can be answered until he is said to be gone, and when all
 * clients have left, nothing is held for them and no descriptor is open.
 */
#define _GNU_SOURCE
#include "serve.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS     4
#define OPEN        256
#define SEND_ROOM   4096 /* bytes that the kernel keeps for a client (twice that), so that it is soon full */
#define ROUNDS      8
#define LINE        40 /* bytes, the longest */
#define CONTENT     300
#define FLOOD_TIMES 64

enum deed { CONNECT, SEND, FLOOD, PASS, READ, STEP, ANSWER, LINES, LEAVE, FINISH, END, SERVE };

typedef struct {
    uint64_t connection, number;
} asked;

typedef struct {
    kav_front *front;
    int clients[CLIENTS];
    asked open[OPEN];
    size_t count;
    const uint8_t *at, *end;
} trial;

static uint8_t next(trial *t)
{
    return t->at < t->end ? *t->at++ : 0;
}

static void must(bool so)
{
    if (!so) abort();
}

static void leave(trial *t, size_t who)
{
    if (t->clients[who] >= 0) close(t->clients[who]);
    t->clients[who] = -1;
}

static void join(trial *t, size_t who, uint8_t how)
{
    int pair[2], room = SEND_ROOM;
    uint64_t id;
    leave(t, who);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    must(kav_front_adopt(t->front, pair[1], how & 1 ? KAV_AVE : KAV_CLAMD, how & 2 ? "::1 1" : NULL, &id) == 0);
    t->clients[who] = pair[0];
}

/* The next bytes of the input, so many times over. */
static void say(trial *t, size_t who, size_t times, int passed)
{
    size_t len = next(t), left = (size_t)(t->end - t->at);
    uint8_t bytes[255 * FLOOD_TIMES];
    if (len > left) len = left;
    for (size_t i = 0; i < times; i++) memcpy(bytes + i * len, t->at, len);
    t->at += len;
    if (t->clients[who] < 0) return;
    struct iovec part = {bytes, len * times};
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (passed >= 0) {
        memcpy(CMSG_DATA(&control.head), &passed, sizeof passed);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    (void)!sendmsg(t->clients[who], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void pass(trial *t, size_t who)
{
    uint8_t what = next(t);
    int fd = what & 1 ? memfd_create("passed", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    must(fd >= 0);
    say(t, who, 1, fd);
    close(fd);
}

static void listen_to(trial *t, size_t who, size_t most)
{
    uint8_t bytes[1 << 14];
    if (t->clients[who] >= 0)
        (void)!recv(t->clients[who], bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);
}

static void forget(trial *t, uint64_t connection)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++)
        if (t->open[i].connection != connection) t->open[kept++] = t->open[i];
    t->count = kept;
}

static void step(trial *t)
{
    must(kav_front_step(t->front) == 0);
    size_t count = kav_front_request_count(t->front);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        kav_request r = kav_front_request(t->front, i);
        for (size_t k = 0; k < r.argument_len; k++) sum += r.argument[k];
        if (r.fd >= 0) close(r.fd);
        must(t->count < OPEN);
        t->open[t->count++] = (asked){r.connection, r.number};
    }
    kav_front_clear_requests(t->front, count);
    for (size_t i = 0; i < kav_front_unwanted_count(t->front); i++) close(kav_front_unwanted(t->front, i).fd);
    kav_front_clear_unwanted(t->front);
    for (size_t i = 0; i < kav_front_gone_count(t->front); i++) forget(t, kav_front_gone(t->front, i));
    kav_front_clear_gone(t->front);
}

static void answer(trial *t, size_t which, size_t len, unsigned how)
{
    static const uint8_t line[4096] = "322-Name /a\nb";
    if (!t->count) return;
    asked one = t->open[which % t->count];
    must(kav_front_reply(t->front, one.connection, one.number, line, len, how) >= 0);
    if (!(how & KAV_REPLY_LAST)) return;
    t->open[which % t->count] = t->open[t->count - 1];
    t->count--;
}

/* As a server does that is quick. */
static void serve(trial *t, size_t len)
{
    for (int i = 0; i < ROUNDS; i++) {
        step(t);
        while (t->count) answer(t, 0, len, KAV_REPLY_LAST);
    }
}

/* The service wants to hear no more of whoever asked this. */
static void end(trial *t, size_t which)
{
    if (!t->count) return;
    uint64_t connection = t->open[which % t->count].connection;
    kav_front_end(t->front, connection);
    forget(t, connection);
}

static void act(trial *t)
{
    uint8_t what = next(t);
    size_t who = what / 16 % CLIENTS, much = 0;
    switch (what % 16) {
    case CONNECT: join(t, who, next(t)); break;
    case SEND: say(t, who, 1, -1); break;
    case FLOOD: say(t, who, FLOOD_TIMES, -1); break;
    case PASS: pass(t, who); break;
    case READ: listen_to(t, who, (size_t)next(t) * 64); break;
    case STEP: step(t); break;
    case ANSWER:
        much = next(t) * 16u;
        answer(t, next(t), much, KAV_REPLY_LAST);
        break;
    case LINES:
        much = next(t) * 16u;
        answer(t, next(t), much, who & 1 ? KAV_REPLY_APART : 0);
        break;
    case LEAVE: leave(t, who); break;
    case FINISH:
        if (t->clients[who] >= 0) shutdown(t->clients[who], SHUT_WR);
        break;
    case END: end(t, next(t)); break;
    case SERVE: serve(t, next(t) * 16u); break;
    default: break;
    }
}

static int lowest_free(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const kav_front_options options = {.connections = CLIENTS,
                                       .line_max = LINE,
                                       .stream_max = CONTENT,
                                       .memory_max = CONTENT / 3,
                                       .memory_total = CONTENT,
                                       .spill_total = 2 * CONTENT,
                                       .spill_dir = P_tmpdir};
    int before = lowest_free();
    trial t = {.at = data, .end = data + size, .clients = {-1, -1, -1, -1}};
    if (size > 8192) return 0;
    must(kav_front_new(&options, &t.front) == 0);
    kav_front_say(t.front, KAV_AVE, KAV_TEXT_GREETING, "201 a", 5);
    kav_front_say(t.front, KAV_CLAMD, KAV_TEXT_BUSY, "busy", 4);
    while (t.at < t.end) act(&t);
    for (size_t who = 0; who < CLIENTS; who++) leave(&t, who);
    for (int i = 0; i < ROUNDS; i++) serve(&t, 1);
    kav_front_counts counts = kav_front_get_counts(t.front);
    must(!counts.connections && !counts.memory_used && !counts.spill_used);
    kav_front_free(t.front);
    must(lowest_free() == before);
    return 0;
}
