/* Inflate: deflated bytes of a source, unpacked into the sink.
 *
 * A small stream is inflated in one piece by libdeflate, which takes less than half of zlib's time. That only answers
 * where the stream is whole and sound, comes to its end, and fits, into the room here and under every limit of the
 * member: what it refuses is inflated by zlib, step by step, as if nothing had been tried. So what comes out of
 * damaged, lying and endless streams is zlib's word: every byte before the damage. (libdeflate takes some streams with
 * unused codes that zlib calls damaged; of these more is seen, never less. libarchive could inflate too, but it keeps
 * what it had unpacked and not yet handed out, up to 256 KB.)
 *
 * Both stand in one inflater, which a scanner has for all streams it meets: they nest, but never while one is inflated.
 */
#ifndef KAV_INFLATE_H
#define KAV_INFLATE_H

#include "opener.h"

#include <stdbool.h>

typedef struct kav_inflater kav_inflater;

enum kav_inflate_format {
    KAV_INFLATE_RAW = -15,
    KAV_INFLATE_ZLIB = 15,
    KAV_INFLATE_GZIP = 15 + 16
}; /* zlib's window bits */

/* What is tried in one piece: so many bytes at most, and what they may become. */
#define KAV_INFLATE_WHOLE      (1u << 20)
#define KAV_INFLATE_WHOLE_MADE (4u << 20)

#define KAV_INFLATE_UNKNOWN UINT64_MAX

typedef struct {
    uint64_t used;     /* bytes of the source */
    uint64_t produced; /* bytes handed to the sink */
    uint32_t crc;      /* of these */
    bool finished;     /* the stream came to its end; false with no reasons: the sink wanted no more */
} kav_inflated;

/* Unpack one stream that begins at offset and has at most length bytes. announced: how many bytes it is said to become,
 * or KAV_INFLATE_UNKNOWN; only a hint. Returns KAV_R_* bits of what went wrong. */
uint32_t kav_inflate(kav_unpack *u, enum kav_inflate_format format, const kav_source *source, uint64_t offset,
                     uint64_t length, uint64_t announced, kav_inflated *out);

/* The bytes of a stream that is small, sound and whole; what stands behind its end does not matter. They are good until
 * the next stream is inflated. NULL: it is none such, or there is no memory. */
const uint8_t *kav_inflate_whole(kav_unpack *u, enum kav_inflate_format format, const uint8_t *bytes, uint64_t len,
                                 size_t *made);

/* For the scanner that has it, which need not have one yet. */
void kav_inflater_free(kav_inflater *i);

#endif
