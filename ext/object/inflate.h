/* Inflate: deflated bytes of a source, unpacked into the sink by zlib.
 *
 * libarchive could do this too, but where a stream is damaged it keeps what it had unpacked and not yet handed out, up
 * to 256 KB; here every byte before the damage reaches the sink.
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

typedef struct {
    uint64_t used;     /* bytes of the source */
    uint64_t produced; /* bytes handed to the sink */
    uint32_t crc;      /* of these */
    bool finished;     /* the stream came to its end; false with no reasons: the sink wanted no more */
} kav_inflated;

kav_inflater *kav_inflater_new(enum kav_inflate_format format); /* NULL: out of memory */
void kav_inflater_free(kav_inflater *i);

/* Unpack one stream that begins at offset and has at most length bytes. Returns KAV_R_* bits of what went wrong. */
uint32_t kav_inflate(kav_inflater *i, const kav_source *source, uint64_t offset, uint64_t length, kav_unpack *u,
                     kav_inflated *out);

#endif
