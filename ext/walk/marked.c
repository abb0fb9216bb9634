#define _GNU_SOURCE
#include "walker.h"

#include "open.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OTHERS_WRITE (S_IWGRP | S_IWOTH)
#define MARK_SIZE    sizeof("kavfs store 18446744073709551615 -9223372036854775808\n")

/* Whether what *st* tells of belongs to root or to whoever scans, and nobody else may write to it. */
static bool is_ours(const struct statx *st)
{
    return !(st->stx_mode & OTHERS_WRITE) && (st->stx_uid == 0 || st->stx_uid == geteuid());
}

/* Whether the file holds these words and nothing else. */
static bool holds(int fd, const char *words, size_t len)
{
    char found[MARK_SIZE];
    struct statx st;
    return kav_identify(fd, &st) == 0 && S_ISREG(st.stx_mode) && is_ours(&st) && st.stx_size == len &&
           pread(fd, found, sizeof found, 0) == (ssize_t)len && memcmp(found, words, len) == 0;
}

bool kav_is_marked(int fd, const struct statx *st)
{
    /* Others than our stores hardly ever have this bit without being open to everybody's writing: no call for them. */
    if (!(st->stx_mode & S_ISVTX) || !is_ours(st) || kav_btime(st) == INT64_MIN) return false;
    char words[MARK_SIZE];
    int len =
        snprintf(words, sizeof words, "kavfs store %" PRIu64 " %" PRId64 "\n", (uint64_t)st->stx_ino, kav_btime(st));
    int mark = kav_open_file(fd, KAV_STORE_MARK, false, false);
    if (mark < 0) return false;
    bool is = holds(mark, words, (size_t)len);
    close(mark);
    return is;
}
