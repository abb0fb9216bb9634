#define _GNU_SOURCE
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int kav_store_init(kav_store *s, uint64_t arena_size, int spill_fd, uint64_t spill_max)
{
    memset(s, 0, sizeof *s);
    s->spill_fd = spill_fd;
    s->spill_max = spill_fd >= 0 ? spill_max : 0;
    s->arena = malloc((size_t)arena_size); /* untouched pages cost nothing */
    if (s->arena == NULL) return -ENOMEM;
    s->arena_size = arena_size;
    return 0;
}

void kav_store_free(kav_store *s)
{
    free(s->arena);
    s->arena = NULL;
}

kav_stored kav_store_begin(kav_store *s)
{
    return (kav_stored){.arena_at = s->arena_used, .spill_at = s->spill_used, .size = 0, .spilled = false};
}

static int write_all(int fd, const uint8_t *bytes, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, (size_t)(len > (1u << 30) ? (1u << 30) : len), (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO;
        bytes += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* Give back what lies beyond length and make later holes there read as zeros. Shrinking a file does not fail in
 * practice; if it did, a later member could at worst see old bytes where its own holes are. */
static void cut(kav_store *s, uint64_t length)
{
    while (ftruncate(s->spill_fd, (off_t)length) != 0 && errno == EINTR) continue;
    s->spill_end = length;
}

/* A hole at the end: what earlier members left there goes first. */
static int append_hole(kav_store *s, uint64_t len)
{
    if (s->spill_end > s->spill_used) cut(s, s->spill_used);
    while (ftruncate(s->spill_fd, (off_t)(s->spill_used + len)) != 0)
        if (errno != EINTR) return -errno;
    return 0;
}

static int append_spill(kav_store *s, const void *bytes, uint64_t len)
{
    if (len > s->spill_max - s->spill_used) return -ENOSPC;
    int error = bytes != NULL ? write_all(s->spill_fd, bytes, len, s->spill_used) : append_hole(s, len);
    if (error == 0) s->spill_used += len;
    else cut(s, s->spill_used); /* part of it may have been written */
    if (s->spill_end < s->spill_used) s->spill_end = s->spill_used;
    return error;
}

/* Move what the arena holds of m to the spill file. */
static int spill(kav_store *s, kav_stored *m)
{
    if (s->spill_fd < 0) return -ENOSPC;
    int error = append_spill(s, s->arena + m->arena_at, m->size);
    if (error != 0) return error;
    s->arena_used = m->arena_at;
    m->spilled = true;
    return 0;
}

int kav_store_append(kav_store *s, kav_stored *m, const void *bytes, uint64_t len)
{
    int error;
    if (len == 0) return 0;
    if (!m->spilled && len <= s->arena_size - s->arena_used) {
        if (bytes != NULL) memcpy(s->arena + s->arena_used, bytes, (size_t)len);
        else memset(s->arena + s->arena_used, 0, (size_t)len);
        s->arena_used += len;
        m->size += len;
        return 0;
    }
    if (!m->spilled && (error = spill(s, m)) != 0) return error;
    if ((error = append_spill(s, bytes, len)) != 0) return error;
    m->size += len;
    return 0;
}

kav_source kav_store_source(const kav_store *s, const kav_stored *m)
{
    if (m->spilled) return (kav_source){.memory = NULL, .fd = s->spill_fd, .base = m->spill_at, .size = m->size};
    return (kav_source){.memory = s->arena + m->arena_at, .fd = -1, .base = 0, .size = m->size};
}

void kav_store_release(kav_store *s, const kav_stored *m)
{
    s->spill_used = m->spill_at;
    s->arena_used = m->arena_at;
}

uint64_t kav_store_room(const kav_store *s)
{
    uint64_t arena = s->arena_size - s->arena_used, file = s->spill_max - s->spill_used;
    return arena > file ? arena : file;
}

void kav_store_empty(kav_store *s)
{
    if (s->spill_end > 0) cut(s, 0);
}

void kav_store_rest(kav_store *s)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)s->arena + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)s->arena + s->arena_size) & ~(page - 1);
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}
