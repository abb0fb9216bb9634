#include "inflate.h"
#include "scanner.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define IN_CHUNK  (64u << 10)
#define OUT_CHUNK (128u << 10)

#define GZIP_FLAGS      3
#define GZIP_HEADER_CRC 2

struct kav_inflater {
    struct libdeflate_decompressor *whole;
    z_stream stream;
    bool ready;   /* the stream is set up */
    size_t reach; /* how much is read for a stream in one piece: less after one that was refused, for nothing */
    /* Untouched pages cost nothing. Steps take IN_CHUNK and OUT_CHUNK of them. */
    uint8_t in[KAV_INFLATE_WHOLE];
    uint8_t out[KAV_INFLATE_WHOLE_MADE];
};

/* The scanner's, made for the first stream. NULL: out of memory. */
static kav_inflater *inflater_of(kav_unpack *u)
{
    kav_inflater **own = kav_unpack_inflater(u);
    if (*own != NULL) return *own;
    kav_inflater *i = malloc(sizeof *i);
    if (i == NULL) return NULL;
    i->ready = false;
    i->reach = sizeof i->in;
    i->whole = libdeflate_alloc_decompressor();
    if (i->whole == NULL) {
        free(i);
        return NULL;
    }
    return *own = i;
}

void kav_inflater_free(kav_inflater *i)
{
    if (i == NULL) return;
    if (i->ready) inflateEnd(&i->stream);
    libdeflate_free_decompressor(i->whole);
    free(i);
}

/* ---- in one piece ----------------------------------------------------------------------------------------------- */

/* One stream into i->out, of which room bytes may be used. */
static bool inflate_whole(kav_inflater *i, enum kav_inflate_format format, const uint8_t *bytes, size_t len,
                          size_t room, size_t *used, size_t *made)
{
    switch (format) {
    case KAV_INFLATE_RAW:
        return libdeflate_deflate_decompress_ex(i->whole, bytes, len, i->out, room, used, made) == LIBDEFLATE_SUCCESS;
    case KAV_INFLATE_ZLIB:
        return libdeflate_zlib_decompress_ex(i->whole, bytes, len, i->out, room, used, made) == LIBDEFLATE_SUCCESS;
    case KAV_INFLATE_GZIP:
        if (len <= GZIP_FLAGS || bytes[GZIP_FLAGS] & GZIP_HEADER_CRC) return false; /* zlib compares it */
        return libdeflate_gzip_decompress_ex(i->whole, bytes, len, i->out, room, used, made) == LIBDEFLATE_SUCCESS;
    }
    return false;
}

const uint8_t *kav_inflate_whole(kav_unpack *u, enum kav_inflate_format format, const uint8_t *bytes, uint64_t len,
                                 size_t *made)
{
    size_t used;
    kav_inflater *i = len <= KAV_INFLATE_WHOLE ? inflater_of(u) : NULL;
    if (i == NULL || !inflate_whole(i, format, bytes, (size_t)len, sizeof i->out, &used, made)) return NULL;
    return i->out;
}

/* The bytes of the stream, all of them. NULL: there are too many, or they cannot be read. */
static const uint8_t *fetch_whole(kav_inflater *i, const kav_source *source, uint64_t offset, uint64_t length)
{
    if (source->memory != NULL) return length <= KAV_INFLATE_WHOLE ? source->memory + offset : NULL;
    if (length > i->reach) return NULL;
    return kav_source_read(source, offset, i->in, (size_t)length) == (ssize_t)length ? i->in : NULL;
}

/* False: nothing has happened. Where the sink refuses bytes after all, the clock has run out. */
static bool pass_whole(kav_inflater *i, enum kav_inflate_format format, const kav_source *source, uint64_t offset,
                       uint64_t length, kav_unpack *u, kav_inflated *out)
{
    size_t used, made, n;
    uint64_t left = offset < source->size ? source->size - offset : 0, room = kav_unpack_left(u);
    if (length > left) length = left;
    if (length == 0) return false;
    const uint8_t *bytes = fetch_whole(i, source, offset, length);
    if (room > sizeof i->out) room = sizeof i->out;
    if (bytes == NULL) return false;
    if (!inflate_whole(i, format, bytes, (size_t)length, (size_t)room, &used, &made)) {
        i->reach = IN_CHUNK;
        return false;
    }
    if (i->reach < sizeof i->in) i->reach *= 2;
    *out = (kav_inflated){.used = used, .finished = true};
    for (size_t at = 0; at < made && out->finished; at += n) {
        n = made - at < OUT_CHUNK ? made - at : OUT_CHUNK;
        out->produced += n;
        out->finished = kav_unpack_data(u, i->out + at, n) == 0;
    }
    out->crc = libdeflate_crc32(0, i->out, (size_t)out->produced);
    return true;
}

/* ---- step by step ----------------------------------------------------------------------------------------------- */

static bool stream_begin(kav_inflater *i, enum kav_inflate_format format)
{
    if (i->ready) return inflateReset2(&i->stream, format) == Z_OK;
    memset(&i->stream, 0, sizeof i->stream);
    return i->ready = inflateInit2(&i->stream, format) == Z_OK;
}

/* Have input at hand. 0, or what ends the stream. */
static uint32_t refill(kav_inflater *i, const kav_source *source, uint64_t at, uint64_t left, kav_unpack *u)
{
    if (kav_unpack_tick(u) != 0) return KAV_R_TIME;
    ssize_t n = kav_source_read(source, at, i->in, left < IN_CHUNK ? (size_t)left : IN_CHUNK);
    if (n < 0) return KAV_R_UNREADABLE;
    if (n == 0) return KAV_R_DAMAGED;
    i->stream.next_in = i->in;
    i->stream.avail_in = (uInt)n;
    return 0;
}

/* Hand on what the last step made. False: no more is wanted. */
static bool deliver(kav_inflater *i, kav_unpack *u, kav_inflated *out)
{
    size_t made = OUT_CHUNK - i->stream.avail_out;
    if (made == 0) return true;
    out->crc = libdeflate_crc32(out->crc, i->out, made);
    out->produced += made;
    return kav_unpack_data(u, i->out, made) == 0;
}

static uint32_t pass_steps(kav_inflater *i, const kav_source *source, uint64_t offset, uint64_t length, kav_unpack *u,
                           kav_inflated *out)
{
    uint64_t fetched = 0;
    i->stream.avail_in = 0;
    for (;;) {
        if (i->stream.avail_in == 0) {
            uint32_t trouble = refill(i, source, offset + fetched, length - fetched, u);
            if (trouble != 0) return trouble;
            fetched += i->stream.avail_in;
        }
        i->stream.next_out = i->out;
        i->stream.avail_out = OUT_CHUNK;
        int code = inflate(&i->stream, Z_NO_FLUSH);
        out->used = fetched - i->stream.avail_in;
        if (!deliver(i, u, out)) return 0;
        if (code == Z_STREAM_END) {
            out->finished = true;
            return 0;
        }
        if (code == Z_MEM_ERROR) return KAV_R_MEMORY;
        if (code != Z_OK && code != Z_BUF_ERROR) return KAV_R_DAMAGED;
        /* No input used, no output made: without this a stream could keep us here. */
        if (code == Z_BUF_ERROR && i->stream.avail_in > 0 && i->stream.avail_out == OUT_CHUNK) return KAV_R_DAMAGED;
    }
}

uint32_t kav_inflate(kav_unpack *u, enum kav_inflate_format format, const kav_source *source, uint64_t offset,
                     uint64_t length, uint64_t announced, kav_inflated *out)
{
    *out = (kav_inflated){.used = 0, .finished = false};
    kav_inflater *i = inflater_of(u);
    if (i == NULL) return KAV_R_MEMORY;
    if (kav_unpack_tick(u) != 0) return KAV_R_TIME;
    bool fits = announced == KAV_INFLATE_UNKNOWN || announced <= KAV_INFLATE_WHOLE_MADE;
    if (fits && pass_whole(i, format, source, offset, length, u, out)) return 0;
    if (!stream_begin(i, format)) return KAV_R_MEMORY;
    return pass_steps(i, source, offset, length, u, out);
}
