/* Decode: libarchive fed from a kav_source, its answers turned into the words of kav.h.
 *
 * libarchive gets callbacks and never a path; it may only use what is built into it (a filter that would start a
 * program is refused). Every read ticks the object's clock, so that long decoding without output ends too.
 */
#ifndef KAV_DECODE_H
#define KAV_DECODE_H

#include "opener.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>

#define KAV_DECODE_CHUNK (64u << 10)

/* What libarchive reads: first `head`, then source[offset .. offset + length). */
typedef struct {
    const kav_source *source;
    uint64_t offset, length;
    const uint8_t *head;
    size_t head_len;
    kav_unpack *unpack;
    uint64_t at;     /* position in head + stretch */
    uint8_t *buffer; /* KAV_DECODE_CHUNK bytes; not needed when the source lies in memory */
    bool late;       /* the clock ended it */
    int error;       /* errno of a failed read */
} kav_feed;

/* Open a on feed. seekable: offer seeking (a reader that can look at the end of the archive will). An ARCHIVE_* code.
 */
int kav_decode_open(struct archive *a, kav_feed *feed, bool seekable);

/* Pass the bytes of the entry in hand to the sink. Returns the KAV_R_* bits of what went wrong. *ended: libarchive
 * cannot go on with this archive. */
uint32_t kav_decode_entry(struct archive *a, struct archive_entry *entry, kav_feed *feed, bool *ended);

/* The KAV_R_* bits for the error that libarchive just returned. */
uint32_t kav_decode_reasons(struct archive *a, const kav_feed *feed);

/* True when a warning only says that a name could not be put into this character set. */
bool kav_decode_is_naming(struct archive *a);

#endif
