/* Flash: a film that is packed from its ninth byte on, by zlib ("CWS") or LZMA ("ZWS"). Unpacked it is a part, with the
 * header of a film that is not packed ("FWS") before it, as signatures for Flash expect it. */
#include "inflate.h"

#include <lzma.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 8, CHUNK = 32 << 10, LZMA_HEADER = 13, PROPERTIES = 5 };

#define DICTIONARY_MAX (256u << 20) /* memory for LZMA */

typedef struct {
    const kav_source *source;
    kav_unpack *unpack;
    lzma_stream stream;
    uint64_t at; /* what was read of the source */
    uint8_t in[CHUNK], out[CHUNK];
} unlzma;

static bool refill(unlzma *z)
{
    ssize_t n = kav_source_read(z->source, z->at, z->in, CHUNK);
    if (n <= 0) return false;
    z->at += (uint64_t)n;
    z->stream.next_in = z->in;
    z->stream.avail_in = (size_t)n;
    return true;
}

/* Hand everything on that comes out before the end or damage. */
static uint32_t decode(unlzma *z)
{
    bool more = true, any = false;
    for (;;) {
        if (z->stream.avail_in == 0 && more) more = refill(z);
        z->stream.next_out = z->out;
        z->stream.avail_out = CHUNK;
        lzma_ret rc = lzma_code(&z->stream, LZMA_RUN);
        size_t n = CHUNK - z->stream.avail_out;
        any = any || n > 0;
        if (n > 0 && kav_unpack_data(z->unpack, z->out, n) != 0) return 0;
        if (rc == LZMA_MEM_ERROR || rc == LZMA_MEMLIMIT_ERROR) return KAV_R_MEMORY;
        if (rc == LZMA_STREAM_END) return 0;
        if (rc != LZMA_OK || (!more && n == 0)) return any ? 0 : KAV_R_DAMAGED;
        if (kav_unpack_tick(z->unpack) != 0) return 0;
    }
}

/* Behind the header stand the packed length, which nobody needs, and the properties. What is missing of the header that
 * liblzma expects is the length; "not known" is said there, and so everything comes out, whatever the film says. */
static int pass_lzma(const kav_source *source, kav_unpack *u, uint32_t *reasons)
{
    uint8_t start[LZMA_HEADER];
    unlzma *z = malloc(sizeof *z);
    if (!z) return -ENOMEM;
    *z = (unlzma){.source = source, .unpack = u, .stream = LZMA_STREAM_INIT, .at = HEADER + 4 + PROPERTIES};
    *reasons = KAV_R_DAMAGED;
    if (kav_source_read(source, HEADER + 4, start, PROPERTIES) == PROPERTIES) {
        memset(start + PROPERTIES, 0xff, sizeof start - PROPERTIES);
        if (lzma_alone_decoder(&z->stream, DICTIONARY_MAX) == LZMA_OK) {
            z->stream.next_in = start;
            z->stream.avail_in = sizeof start;
            *reasons = decode(z);
        } else {
            *reasons = KAV_R_MEMORY;
        }
    }
    lzma_end(&z->stream);
    free(z);
    return 0;
}

static int pass_zlib(const kav_source *source, kav_unpack *u, uint32_t *reasons)
{
    kav_inflated result = {0};
    *reasons = kav_inflate(u, KAV_INFLATE_ZLIB, source, HEADER, source->size - HEADER, KAV_INFLATE_UNKNOWN, &result);
    if (result.produced) *reasons &= ~(uint32_t)KAV_R_DAMAGED; /* a player shows what there is */
    return 0;
}

int kav_open_flash(const kav_source *source, kav_type type, kav_unpack *u)
{
    uint8_t header[HEADER];
    uint32_t reasons = 0;
    if (kav_source_read(source, 0, header, HEADER) != HEADER) return KAV_OPEN_NOT_MINE;
    if (memcmp(header, "CWS", 3) != 0 && memcmp(header, "ZWS", 3) != 0) return KAV_OPEN_NOT_MINE;
    bool lzma = header[0] == 'Z';
    if (kav_unpack_begin(u, "film", 4, UINT64_MAX, KAV_M_PART) != 0) return 0;
    header[0] = 'F';
    kav_unpack_type(u, type);
    kav_unpack_data(u, header, HEADER);
    int rc = lzma ? pass_lzma(source, u, &reasons) : pass_zlib(source, u, &reasons);
    kav_unpack_end(u, reasons);
    return rc;
}
