/* What the floor programs share: dying loudly, memory that is there, seconds. */
#ifndef FLOOR_H
#define FLOOR_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_THREADS = 64 };

static inline void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static inline void *must(void *p)
{
    if (!p) die("out of memory");
    return p;
}

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline unsigned thread_count(const char *word)
{
    int count = atoi(word);
    return count < 1 || count > MAX_THREADS ? 1 : (unsigned)count;
}

#endif
