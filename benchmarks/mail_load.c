/* mail_load: senders of mail, as many at once as asked for, each on a connection that it keeps; and a server that takes
 * all mail and forgets it.
 *
 *     mail_load send PORT SENDERS < LIST     LIST: paths of messages as they stand on the wire, without the last dot
 *     mail_load sink                         prints its port, and at its end (stdin closed) how many messages came
 *
 * Both speak SMTP on 127.0.0.1. `send` prints one line of JSON: requests, seconds, percentiles of the time from MAIL to
 * the reply to the message in milliseconds, failed (any reply but the one that was hoped for), wrong (0), CPU seconds
 * of the senders themselves. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SENDERS_MAX = 64, LINE = 4096, BLOCK = 1 << 17, PATIENCE = 300, SHOWN = 5 };

typedef struct {
    char *path, *bytes;
    size_t size;
} message;

typedef struct {
    struct sockaddr_in address;
    message *messages;
    size_t count, next;
    float *times;
    unsigned long failed, told;
} load;

typedef struct {
    int sock; /* -1: none */
    size_t have;
    char line[LINE]; /* of the last reply, the rest behind it */
} talk;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *why)
{
    perror(why);
    exit(1);
}

static bool send_all(int sock, const char *at, size_t size, int more)
{
    while (size > 0) {
        ssize_t done = send(sock, at, size, MSG_NOSIGNAL | more);
        if (done <= 0) return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

static bool say(int sock, const char *text)
{
    return send_all(sock, text, strlen(text), 0);
}

/* ---- senders ---- */

/* The code of the next reply, of its last line; 0: there is none. */
static int hear(talk *t)
{
    for (;;) {
        t->line[t->have] = 0;
        char *end = strchr(t->line, '\n');
        if (end != NULL) {
            int code = end - t->line > 3 && t->line[3] != '-' ? atoi(t->line) : -1;
            if (code >= 400) return code; /* the connection is not used any more */
            t->have -= (size_t)(end + 1 - t->line);
            memmove(t->line, end + 1, t->have);
            if (code >= 0) return code;
            continue;
        }
        if (t->have + 1 >= sizeof t->line) return 0;
        ssize_t got = recv(t->sock, t->line + t->have, sizeof t->line - 1 - t->have, 0);
        if (got <= 0) return 0;
        t->have += (size_t)got;
    }
}

static bool call(talk *t, const struct sockaddr_in *address)
{
    const struct timeval patience = {.tv_sec = PATIENCE};
    const int on = 1;
    t->have = 0;
    t->sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->sock < 0) return false;
    setsockopt(t->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(t->sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(t->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect(t->sock, (const void *)address, sizeof *address) == 0 && hear(t) == 220 &&
           say(t->sock, "EHLO sender.example.org\r\n") && hear(t) == 250;
}

/* MAIL, RCPT and DATA in one go (PIPELINING), as mail servers do it. */
static bool give(talk *t, const message *m)
{
    return say(t->sock, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n") && hear(t) == 250 &&
           hear(t) == 250 && hear(t) == 354 && send_all(t->sock, m->bytes, m->size, MSG_MORE) &&
           say(t->sock, ".\r\n") && hear(t) == 250;
}

static void *live(void *argument)
{
    load *all = argument;
    talk t = {.sock = -1};
    for (;;) {
        size_t i = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED);
        if (i >= all->count) break;
        bool called = t.sock >= 0 || call(&t, &all->address);
        double started = now();
        if (!called || !give(&t, &all->messages[i])) {
            __atomic_fetch_add(&all->failed, 1, __ATOMIC_RELAXED);
            if (__atomic_fetch_add(&all->told, 1, __ATOMIC_RELAXED) < SHOWN) {
                fprintf(stderr, "mail_load: %s: %.300s\n", all->messages[i].path, t.line);
            }
            if (t.sock >= 0) close(t.sock);
            t.sock = -1;
        }
        all->times[i] = (float)(now() - started);
    }
    if (t.sock >= 0) {
        say(t.sock, "QUIT\r\n");
        close(t.sock);
    }
    return NULL;
}

static void fill(message *m)
{
    struct stat st;
    int fd = open(m->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) die(m->path);
    m->size = (size_t)st.st_size;
    m->bytes = malloc(m->size + 1);
    if (m->bytes == NULL || read(fd, m->bytes, m->size) != (ssize_t)m->size) die(m->path);
    close(fd);
}

static void read_list(load *all)
{
    char line[LINE];
    size_t room = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (all->count == room) {
            room = room ? 2 * room : 1024;
            all->messages = realloc(all->messages, room * sizeof *all->messages);
            if (all->messages == NULL) die("realloc");
        }
        all->messages[all->count] = (message){.path = strdup(line)};
        fill(&all->messages[all->count++]);
    }
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(load *all, double seconds)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    size_t n = all->count;
    qsort(all->times, n, sizeof *all->times, compare);
    printf("{\"requests\": %zu, \"seconds\": %.6f, \"p50\": %.4f, \"p99\": %.4f, \"failed\": %lu, \"wrong\": 0, "
           "\"cpu\": %.6f}\n",
           n, seconds, all->times[n / 2] * 1e3, all->times[n * 99 / 100] * 1e3, all->failed, cpu);
}

static int send_mail(int port, int senders)
{
    load all = {.address = {.sin_family = AF_INET,
                            .sin_port = htons((unsigned short)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    pthread_t threads[SENDERS_MAX];
    if (senders < 1 || senders > SENDERS_MAX) return 2;
    read_list(&all);
    if (all.count == 0) return 2;
    all.times = calloc(all.count, sizeof *all.times);
    if (all.times == NULL) die("calloc");
    double started = now();
    for (int i = 0; i < senders; i++) {
        if (pthread_create(&threads[i], NULL, live, &all) != 0) die("pthread_create");
    }
    for (int i = 0; i < senders; i++) pthread_join(threads[i], NULL);
    report(&all, now() - started);
    return 0;
}

/* ---- the server ---- */

static unsigned long taken;

typedef struct {
    int sock;
    size_t have;
    char block[BLOCK];
} client;

/* Bytes until *end* are passed over; false: the client is gone. */
static bool skip_to(client *c, const char *end)
{
    size_t size = strlen(end);
    for (;;) {
        char *at = memmem(c->block, c->have, end, size);
        if (at != NULL) {
            c->have -= (size_t)(at + size - c->block);
            memmove(c->block, at + size, c->have);
            return true;
        }
        if (c->have >= size) { /* the end may have begun */
            memmove(c->block, c->block + c->have - (size - 1), size - 1);
            c->have = size - 1;
        }
        ssize_t got = recv(c->sock, c->block + c->have, sizeof c->block - c->have, 0);
        if (got <= 0) return false;
        c->have += (size_t)got;
    }
}

/* Replies to commands that have come together go out together. */
static void *serve(void *argument)
{
    client *c = calloc(1, sizeof *c);
    char out[LINE] = "220 sink.example.org\r\n";
    if (c == NULL) die("calloc");
    c->sock = (int)(long)argument;
    for (bool quit = false; !quit;) {
        char *end = memmem(c->block, c->have, "\r\n", 2);
        if (end == NULL || strlen(out) > sizeof out / 2) {
            if (out[0] && !say(c->sock, out)) break;
            out[0] = 0;
            if (end == NULL) {
                ssize_t got = recv(c->sock, c->block + c->have, sizeof c->block - c->have, 0);
                if (got <= 0) break;
                c->have += (size_t)got;
                continue;
            }
        }
        bool hello = strncasecmp(c->block, "EHLO", 4) == 0, data = strncasecmp(c->block, "DATA", 4) == 0;
        quit = strncasecmp(c->block, "QUIT", 4) == 0;
        c->have -= (size_t)(end + 2 - c->block);
        memmove(c->block, end + 2, c->have);
        if (data) {
            strcat(out, "354 go on\r\n");
            if (!say(c->sock, out) || !skip_to(c, "\r\n.\r\n")) break;
            __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
            out[0] = 0;
        }
        strcat(out, hello  ? "250-sink.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE\r\n250 DSN\r\n"
                    : quit ? "221 2.0.0 bye\r\n"
                           : "250 2.0.0 ok\r\n");
    }
    if (out[0]) say(c->sock, out);
    close(c->sock);
    free(c);
    return NULL;
}

static _Noreturn void *take_all(void *argument)
{
    const int on = 1;
    int listening = (int)(long)argument;
    for (;;) {
        pthread_t thread;
        int sock = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (sock < 0) die("accept");
        setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (pthread_create(&thread, NULL, serve, (void *)(long)sock) != 0) die("pthread_create");
        pthread_detach(thread);
    }
}

static int sink(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    pthread_t thread;
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || bind(sock, (void *)&address, size) != 0 || listen(sock, SENDERS_MAX) != 0) die("listen");
    if (getsockname(sock, (void *)&address, &size) != 0) die("getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    if (pthread_create(&thread, NULL, take_all, (void *)(long)sock) != 0) die("pthread_create");
    while (getchar() != EOF) {
    }
    printf("%lu\n", __atomic_load_n(&taken, __ATOMIC_RELAXED));
    return 0;
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "sink") == 0) return sink();
    if (count == 4 && strcmp(words[1], "send") == 0) return send_mail(atoi(words[2]), atoi(words[3]));
    fputs("mail_load send PORT SENDERS < LIST | mail_load sink\n", stderr);
    return 2;
}
