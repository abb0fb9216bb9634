/* Floor of a warm scan: list every directory and statx every file, and nothing else.
 *
 *     floor_walk THREADS FOLDER
 *
 * It shares no line with kavfs. Directories lie on a stack that all threads take from; a thread lists one with
 * getdents64, calls statx on each name relative to it and puts the directories it met on the stack. The time of a scan
 * in which nothing has changed is given as a multiple of the seconds printed here.
 */
#define _GNU_SOURCE
#include "floor.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BUFFER = 64 << 10 };

struct entry { /* as getdents64 writes it */
    uint64_t ino;
    int64_t next;
    unsigned short length;
    unsigned char type;
    char name[];
};

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    char **paths;
    size_t count, room;
    unsigned busy; /* threads that may still push */
} stack;

typedef struct {
    stack *stack;
    unsigned long long files, bytes, directories, failed;
} hand;

static void push(stack *s, char *path)
{
    pthread_mutex_lock(&s->lock);
    if (s->count == s->room) s->paths = must(realloc(s->paths, (s->room = s->room ? s->room * 2 : 1024) * sizeof path));
    s->paths[s->count++] = path;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
}

/* The next directory, or NULL at the end of the walk. The caller has counted itself as busy. */
static char *take(stack *s)
{
    char *path = NULL;
    pthread_mutex_lock(&s->lock);
    s->busy--;
    while (!s->count && s->busy) pthread_cond_wait(&s->more, &s->lock);
    if (s->count) {
        path = s->paths[--s->count];
        s->busy++;
    } else {
        pthread_cond_broadcast(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return path;
}

static char *joined(const char *folder, const char *name)
{
    size_t a = strlen(folder), b = strlen(name);
    char *path = must(malloc(a + b + 2));
    memcpy(path, folder, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b + 1);
    return path;
}

static void look(hand *h, int folder, const char *name)
{
    struct statx st;
    if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &st)) {
        h->failed++;
        return;
    }
    h->files++;
    h->bytes += st.stx_size;
}

static void list(hand *h, const char *path, char *buffer)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    long got = fd < 0 ? -1 : 0;
    while (fd >= 0 && (got = syscall(SYS_getdents64, fd, buffer, BUFFER)) > 0) {
        for (long at = 0; at < got;) {
            struct entry *e = (struct entry *)(void *)(buffer + at);
            at += e->length;
            if (e->type == DT_REG) look(h, fd, e->name);
            else if (e->type == DT_DIR && strcmp(e->name, ".") && strcmp(e->name, ".."))
                push(h->stack, joined(path, e->name));
        }
    }
    if (got < 0) h->failed++;
    if (fd >= 0) close(fd);
    h->directories++;
}

static void *run(void *argument)
{
    hand *h = argument;
    char *buffer = must(aligned_alloc(64, BUFFER)), *path;
    while ((path = take(h->stack))) {
        list(h, path, buffer);
        free(path);
    }
    free(buffer);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: floor_walk THREADS FOLDER\n");
        return 2;
    }
    unsigned threads = thread_count(argv[1]);
    stack s = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .busy = threads};
    hand hands[MAX_THREADS] = {0}, sum = {0};
    pthread_t thread[MAX_THREADS];
    double start = now();
    push(&s, must(strdup(argv[2])));
    for (unsigned i = 0; i < threads; i++) {
        hands[i].stack = &s;
        if (pthread_create(&thread[i], NULL, run, &hands[i])) die("pthread_create");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        sum.files += hands[i].files;
        sum.bytes += hands[i].bytes;
        sum.directories += hands[i].directories;
        sum.failed += hands[i].failed;
    }
    printf("{\"seconds\": %.6f, \"files\": %llu, \"bytes\": %llu, \"directories\": %llu, \"failed\": %llu}\n",
           now() - start, sum.files, sum.bytes, sum.directories, sum.failed);
    return 0;
}
