/* Source: reads by pread alone, so that several readers can share a descriptor whose position is never used. */
#define _GNU_SOURCE
#include "source.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* The largest count one pread may be asked for; Linux itself stops a little below 2 GiB. */
#define READ_MAX ((size_t)1 << 30)

/* Bytes between offset and the end of the layer, at most len. */
static size_t within(const kav_source *s, uint64_t offset, size_t len)
{
    if (offset >= s->size) return 0;
    uint64_t left = s->size - offset;
    return left < len ? (size_t)left : len;
}

/* False when base + offset is no position a file can have. */
static int position(const kav_source *s, uint64_t offset, off_t *out)
{
    if (s->base > INT64_MAX || offset > (uint64_t)INT64_MAX - s->base) return 0;
    *out = (off_t)(s->base + offset);
    return 1;
}

ssize_t kav_source_read(const kav_source *s, uint64_t offset, void *out, size_t len)
{
    len = within(s, offset, len);
    if (len > SSIZE_MAX) len = SSIZE_MAX;
    if (len == 0) return 0;
    if (s->memory) {
        memcpy(out, s->memory + offset, len);
        return (ssize_t)len;
    }
    size_t done = 0;
    while (done < len) {
        off_t at;
        if (!position(s, offset + done, &at)) return -EOVERFLOW;
        size_t want = len - done < READ_MAX ? len - done : READ_MAX;
        ssize_t n = pread(s->fd, (char *)out + done, want, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break; /* the file has shrunk */
        done += (size_t)n;
    }
    return (ssize_t)done;
}

uint64_t kav_source_next_data(const kav_source *s, uint64_t offset)
{
    off_t from;
    if (offset >= s->size) return s->size;
    if (s->memory || !position(s, offset, &from)) return offset;
    off_t at = lseek(s->fd, from, SEEK_DATA);
    if (at < 0) return errno == ENXIO ? s->size : offset;
    uint64_t found = (uint64_t)at - s->base;
    return found < s->size ? found : s->size;
}

uint64_t kav_source_next_hole(const kav_source *s, uint64_t offset)
{
    off_t from;
    if (offset >= s->size || s->memory || !position(s, offset, &from)) return s->size;
    off_t at = lseek(s->fd, from, SEEK_HOLE);
    if (at < 0) return s->size;
    uint64_t found = (uint64_t)at - s->base;
    return found < s->size ? found : s->size;
}
