/* Gzip: one member, the streams in the file put together as gzip(1) does.
 *
 *     1f 8b 08 flags time[4] xfl os [extra] [name NUL] [comment NUL] [crc]  deflated bytes  crc[4] size[4] */
#include "inflate.h"

#include <string.h>

#define NAME_REACH 4096 /* a name further in than this is not worth showing */

enum { HAS_EXTRA = 4, HAS_NAME = 8 };

/* The file name in a header, "" when there is none. head holds len bytes and a NUL. */
static const char *name_in(const uint8_t *head, size_t len)
{
    size_t at = 10;
    if (len < at || !(head[3] & HAS_NAME)) return "";
    if (head[3] & HAS_EXTRA) at += len >= at + 2 ? 2 + (size_t)(head[at] | head[at + 1] << 8) : 2;
    return at < len && memchr(head + at, 0, len - at) != NULL ? (const char *)head + at : "";
}

static bool is_stream(const kav_source *s, uint64_t at)
{
    uint8_t magic[2];
    return kav_source_read(s, at, magic, sizeof magic) == sizeof magic && magic[0] == 0x1f && magic[1] == 0x8b;
}

/* Everything up to the end, to damage, or to bytes that are no gzip stream: gzip(1) warns of those and goes on. *end is
 * where they begin; the size of the source when there are none, or when it was not read so far. */
static uint32_t pass_streams(const kav_source *source, kav_unpack *u, uint64_t *end)
{
    kav_inflated done;
    uint64_t at = 0;
    *end = source->size;
    do {
        uint32_t reasons = kav_inflate(u, KAV_INFLATE_GZIP, source, at, source->size - at, KAV_INFLATE_UNKNOWN, &done);
        if (reasons != 0) return reasons;
        at += done.used;
    } while (done.finished && at < source->size && is_stream(source, at));
    if (done.finished) *end = at;
    return 0;
}

int kav_open_gzip(const kav_source *source, kav_type type, kav_unpack *u)
{
    uint8_t head[NAME_REACH];
    (void)type;
    ssize_t n = kav_source_read(source, 0, head, sizeof head);
    const char *name = name_in(head, n < 0 ? 0 : (size_t)n);
    uint64_t end = source->size;
    bool going = kav_unpack_begin(u, name, strlen(name), UINT64_MAX, 0) == 0;
    if (going) going = kav_unpack_end(u, pass_streams(source, u, &end)) == 0;
    if (going) kav_rest_pass(source, end, u);
    return 0;
}
