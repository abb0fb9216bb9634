/* load: clients of a scanning service, as many at once as asked for; every answer is compared with what is expected.
 *
 *     load SOCKET clamd|ave path|stream CLIENTS ONCE|KEPT REQUESTS < LIST
 *
 * LIST: lines "clean PATH" or "found PATH", asked for one after the other and from the start again until there were
 * REQUESTS (0: each line once), or a SIGINT came. ONCE: a connection for each request, as most programs do it; KEPT:
 * one for each client (a session of clamd). Streams are read into memory before. Prints one line of JSON: requests,
 * seconds, percentiles of the time from connect (KEPT: send) to the last byte of the answer in milliseconds, failed (no
 * whole answer, or none about the bytes), wrong (clean and found exchanged), CPU seconds of the clients themselves. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

enum { CLIENTS_MAX = 256, ANSWER = 16384, PATIENCE = 60, SHOWN = 5 };

typedef struct {
    char *path, *bytes;
    size_t size;
    bool found;
} object;

typedef struct {
    struct sockaddr_un address;
    bool ave, stream, kept;
    object *objects;
    size_t count, requests, next;
    float *times;
    unsigned long failed, wrong, told;
} load;

typedef struct {
    load *all;
    int sock;             /* -1: none */
    unsigned long number; /* in a session of clamd */
    char answer[ANSWER];
    size_t have;
} client;

static volatile sig_atomic_t enough;

static void stop(int number)
{
    (void)number;
    enough = 1;
}

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

static bool send_all(int sock, const void *bytes, size_t size, int more)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t done = send(sock, at, size, MSG_NOSIGNAL | more);
        if (done <= 0) return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* More of the answer; false: it is not going on. */
static bool hear(client *c)
{
    if (c->have + 1 >= sizeof c->answer) return false;
    ssize_t got = recv(c->sock, c->answer + c->have, sizeof c->answer - 1 - c->have, 0);
    if (got <= 0) return false;
    c->have += (size_t)got;
    c->answer[c->have] = 0;
    return true;
}

/* Until a whole answer is there. ave: a line whose number is followed by a blank; clamd: a NUL. */
static bool hear_answer(client *c)
{
    size_t line = 0;
    for (;;) {
        char *end = memchr(c->answer + line, c->all->ave ? '\n' : '\0', c->have - line);
        if (end == NULL) {
            if (!hear(c)) return false;
            continue;
        }
        if (!c->all->ave || (end - (c->answer + line) > 3 && c->answer[line + 3] == ' ')) return true;
        line = (size_t)(end + 1 - c->answer);
    }
}

static void hang_up(client *c)
{
    if (c->sock >= 0) close(c->sock);
    c->sock = -1;
    c->number = 0;
}

static bool call(client *c)
{
    const struct timeval patience = {.tv_sec = PATIENCE};
    c->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->sock < 0) return false;
    setsockopt(c->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(c->sock, (const void *)&c->all->address, sizeof c->all->address) != 0) return false;
    if (c->all->ave) {
        c->have = 0;
        return hear_answer(c); /* the greeting */
    }
    return !c->all->kept || send_all(c->sock, "zIDSESSION", sizeof "zIDSESSION", 0);
}

static bool ask(client *c, const object *o)
{
    char line[4200];
    if (c->all->stream) {
        uint32_t length = htonl((uint32_t)o->size), end = 0;
        return send_all(c->sock, "zINSTREAM", sizeof "zINSTREAM", MSG_MORE) &&
               send_all(c->sock, &length, sizeof length, MSG_MORE) && send_all(c->sock, o->bytes, o->size, MSG_MORE) &&
               send_all(c->sock, &end, sizeof end, 0);
    }
    int size = snprintf(line, sizeof line, c->all->ave ? "SCAN b %s\r\n" : "zSCAN %s", o->path);
    return size > 0 && (size_t)size < sizeof line && send_all(c->sock, line, (size_t)size + !c->all->ave, 0);
}

/* 1 found, 0 clean, -1 neither. */
static int verdict(client *c)
{
    if (c->all->ave) return strncmp(c->answer, "220 ", 4) == 0 ? 0 : strncmp(c->answer, "322-", 4) == 0 ? 1 : -1;
    const char *text = c->answer;
    if (c->all->kept) {
        char *end;
        if (strtoul(text, &end, 10) != c->number || strncmp(end, ": ", 2) != 0) return -1;
    }
    size_t size = strlen(text);
    if (size > 4 && strcmp(text + size - 4, ": OK") == 0) return 0;
    return size > 6 && strcmp(text + size - 6, " FOUND") == 0 ? 1 : -1;
}

/* One request. What goes wrong costs the connection. */
static void request(client *c, const object *o)
{
    load *all = c->all;
    int said = -1;
    c->answer[0] = 0;
    bool called = c->sock >= 0 || call(c);
    c->have = 0;
    c->number++;
    if (called && ask(c, o) && hear_answer(c)) said = verdict(c);
    if (said < 0) {
        __atomic_fetch_add(&all->failed, 1, __ATOMIC_RELAXED);
        if (__atomic_fetch_add(&all->told, 1, __ATOMIC_RELAXED) < SHOWN) {
            fprintf(stderr, "load: %s: %.300s\n", o->path, c->answer);
        }
    } else if (said != o->found) {
        __atomic_fetch_add(&all->wrong, 1, __ATOMIC_RELAXED);
    }
    if (said < 0 || !all->kept) hang_up(c);
}

static void *live(void *argument)
{
    load *all = argument;
    client *c = calloc(1, sizeof *c);
    if (c == NULL) die("calloc");
    *c = (client){.all = all, .sock = -1};
    while (!enough) {
        size_t i = __atomic_fetch_add(&all->next, 1, __ATOMIC_RELAXED);
        if (i >= all->requests) break;
        double started = now();
        request(c, &all->objects[i % all->count]);
        all->times[i] = (float)(now() - started);
    }
    hang_up(c);
    free(c);
    return NULL;
}

static void fill(object *o)
{
    struct stat st;
    int fd = open(o->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) die(o->path);
    o->size = (size_t)st.st_size;
    o->bytes = malloc(o->size + 1);
    if (o->bytes == NULL || read(fd, o->bytes, o->size) != (ssize_t)o->size) die(o->path);
    close(fd);
}

static void read_list(load *all)
{
    char line[4200];
    size_t room = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strlen(line) < 7) continue;
        if (all->count == room) {
            room = room ? 2 * room : 1024;
            all->objects = realloc(all->objects, room * sizeof *all->objects);
            if (all->objects == NULL) die("realloc");
        }
        object *o = &all->objects[all->count++];
        *o = (object){.path = strdup(line + 6), .found = line[0] == 'f'};
        if (all->stream) fill(o);
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
    size_t n = all->next < all->requests ? all->next : all->requests;
    if (n == 0) return;
    qsort(all->times, n, sizeof *all->times, compare);
    printf("{\"requests\": %zu, \"seconds\": %.6f, \"p50\": %.4f, \"p99\": %.4f, \"most\": %.4f, \"failed\": %lu, "
           "\"wrong\": %lu, \"cpu\": %.6f}\n",
           n, seconds, all->times[n / 2] * 1e3, all->times[n * 99 / 100] * 1e3, all->times[n - 1] * 1e3, all->failed,
           all->wrong, cpu);
}

int main(int count, char **words)
{
    if (count != 7) {
        fputs("load SOCKET clamd|ave path|stream CLIENTS ONCE|KEPT REQUESTS < LIST\n", stderr);
        return 2;
    }
    load all = {.address.sun_family = AF_UNIX,
                .ave = strcmp(words[2], "ave") == 0,
                .stream = strcmp(words[3], "stream") == 0,
                .kept = strcmp(words[5], "KEPT") == 0,
                .requests = strtoul(words[6], NULL, 10)};
    int clients = atoi(words[4]);
    if (strlen(words[1]) >= sizeof all.address.sun_path || clients < 1 || clients > CLIENTS_MAX) return 2;
    strcpy(all.address.sun_path, words[1]);
    read_list(&all);
    if (all.count == 0) return 2;
    if (all.requests == 0) all.requests = all.count;
    all.times = calloc(all.requests, sizeof *all.times);
    if (all.times == NULL) die("calloc");
    signal(SIGINT, stop);
    pthread_t threads[CLIENTS_MAX];
    double started = now();
    for (int i = 0; i < clients; i++) {
        if (pthread_create(&threads[i], NULL, live, &all) != 0) die("pthread_create");
    }
    for (int i = 0; i < clients; i++) pthread_join(threads[i], NULL);
    report(&all, now() - started);
    return 0;
}
