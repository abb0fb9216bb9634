/* The chunks of INSTREAM (contract: spoken.h). */
#include <string.h>

#include "spoken.h"

/* One byte of a length; whether the stream goes on. */
static enum kav_chunks_end take_length(kav_chunks *chunks, uint8_t byte)
{
    chunks->length = chunks->length << 8 | byte;
    if (++chunks->have < 4) return KAV_CHUNKS_MORE;
    uint32_t length = chunks->length;
    chunks->have = 0;
    chunks->length = 0;
    if (!length) return KAV_CHUNKS_END;
    if (length > chunks->room) return KAV_CHUNKS_TOO_LARGE;
    chunks->room -= length;
    chunks->left = length;
    return KAV_CHUNKS_MORE;
}

enum kav_chunks_end kav_chunks_take(kav_chunks *chunks, uint8_t *bytes, size_t len, size_t *used, uint8_t **content,
                                    size_t *content_len)
{
    enum kav_chunks_end end = KAV_CHUNKS_MORE;
    size_t at = 0, kept = 0;
    *content = bytes;
    while (at < len && end == KAV_CHUNKS_MORE) {
        if (!chunks->left) {
            end = take_length(chunks, bytes[at++]);
            continue;
        }
        size_t piece = len - at < chunks->left ? len - at : chunks->left;
        if (!kept) *content = bytes + at; /* the first stays where it is: mostly there is but one */
        if (*content + kept != bytes + at) memmove(*content + kept, bytes + at, piece);
        kept += piece;
        at += piece;
        chunks->left -= (uint32_t)piece;
    }
    *used = at;
    *content_len = kept;
    return end;
}
