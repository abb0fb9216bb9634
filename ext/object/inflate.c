#include "inflate.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define IN_CHUNK  (64u << 10)
#define OUT_CHUNK (128u << 10)

struct kav_inflater {
    z_stream stream;
    uint8_t in[IN_CHUNK];
    uint8_t out[OUT_CHUNK];
};

kav_inflater *kav_inflater_new(enum kav_inflate_format format)
{
    kav_inflater *i = malloc(sizeof *i);
    if (i == NULL) return NULL;
    memset(&i->stream, 0, sizeof i->stream);
    if (inflateInit2(&i->stream, format) != Z_OK) {
        free(i);
        return NULL;
    }
    return i;
}

void kav_inflater_free(kav_inflater *i)
{
    if (i == NULL) return;
    inflateEnd(&i->stream);
    free(i);
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
    out->crc = (uint32_t)crc32(out->crc, i->out, (uInt)made);
    out->produced += made;
    return kav_unpack_data(u, i->out, made) == 0;
}

uint32_t kav_inflate(kav_inflater *i, const kav_source *source, uint64_t offset, uint64_t length, kav_unpack *u,
                     kav_inflated *out)
{
    uint64_t fetched = 0;
    *out = (kav_inflated){.used = 0, .finished = false};
    if (inflateReset(&i->stream) != Z_OK) return KAV_R_MEMORY;
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
