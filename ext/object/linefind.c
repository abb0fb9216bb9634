/* Lines of a source by their beginnings, without holding the source in memory. */
#include "mail.h"

#include <string.h>

enum { FIRST_CHUNK = 4096, CHUNK = 65536 };

static const uint8_t *find_after_newline(const uint8_t *p, const uint8_t *end, const char *prefix, size_t len)
{
    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if ((size_t)(end - p) < len) return NULL;
        if (memcmp(p, prefix, len) == 0) return p;
    }
    return NULL;
}

int kav_line_find(const kav_source *source, uint64_t from, const char *prefix, size_t len, kav_unpack *u, uint64_t *at)
{
    uint8_t buffer[CHUNK];
    size_t chunk = FIRST_CHUNK; /* the next line is often near, and many short searches should not read far each */
    if (from == 0 && kav_source_read(source, 0, buffer, len) == (ssize_t)len && memcmp(buffer, prefix, len) == 0) {
        *at = 0;
        return 1;
    }
    for (;;) {
        if (kav_unpack_tick(u)) return -1;
        ssize_t n = kav_source_read(source, from, buffer, chunk);
        if (n < 0) {
            kav_unpack_flag(u, KAV_R_UNREADABLE);
            return -1;
        }
        const uint8_t *found = find_after_newline(buffer, buffer + n, prefix, len);
        if (found) {
            *at = from + (uint64_t)(found - buffer);
            return 1;
        }
        if ((size_t)n < chunk) return 0;
        from += (uint64_t)n - len; /* a line's beginning may straddle the edge, its line feed included */
        chunk = CHUNK;
    }
}

int kav_range_copy(const kav_source *source, uint64_t from, uint64_t to, kav_unpack *u)
{
    uint8_t buffer[CHUNK];
    while (from < to) {
        size_t want = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        ssize_t n = kav_source_read(source, from, buffer, want);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n <= 0) return 0;
        if (kav_unpack_data(u, buffer, (size_t)n)) return 1;
        from += (uint64_t)n;
    }
    return 0;
}
