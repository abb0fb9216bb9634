#include "ovba.h"

#include <string.h>

enum { PACKED = 0x8000, KIND = 0x7000, KIND_CHUNK = 0x3000, LENGTH = 0x0fff };

/* How many bits of a copy say how far back it reaches, at this place of the chunk. */
static unsigned reach_bits(size_t made)
{
    unsigned bits = 4;
    while (((size_t)1 << bits) < made) bits++;
    return bits;
}

/* Append a copy of what the chunk has already. False: it reaches before the chunk. */
static bool copy(uint8_t *out, size_t *made, unsigned token)
{
    unsigned bits = reach_bits(*made);
    size_t back = (token >> (16 - bits)) + 1, count = (token & (0xffffu >> bits)) + 3;
    if (back > *made) return false;
    if (count > KAV_OVBA_CHUNK - *made) count = KAV_OVBA_CHUNK - *made;
    for (size_t i = 0; i < count; i++, (*made)++) out[*made] = out[*made - back];
    return true;
}

/* Unpack the groups of one chunk. False: it breaks off, or is wrong; made is what could be read. */
static bool unpack_chunk(const uint8_t *in, size_t len, uint8_t *out, size_t *made)
{
    size_t at = 0;
    *made = 0;
    while (at < len && *made < KAV_OVBA_CHUNK) {
        unsigned flags = in[at++];
        for (int i = 0; i < 8 && at < len && *made < KAV_OVBA_CHUNK; i++, flags >>= 1) {
            if (!(flags & 1)) {
                out[(*made)++] = in[at++];
                continue;
            }
            if (len - at < 2 || !copy(out, made, (unsigned)(in[at] | in[at + 1] << 8))) return false;
            at += 2;
        }
    }
    return true;
}

bool kav_ovba_unpack(const uint8_t *in, size_t len, kav_ovba_taker take, void *context)
{
    uint8_t out[KAV_OVBA_CHUNK];
    size_t at = 1, made;
    if (len < 4 || in[0] != 1) return false;
    while (len - at >= 3) {
        unsigned head = (unsigned)(in[at] | in[at + 1] << 8);
        size_t length = (head & LENGTH) + 1, left = len - at - 2;
        bool whole = length <= left;
        if ((head & KIND) != KIND_CHUNK) return at > 1;
        if (!whole) length = left;
        if (head & PACKED) {
            whole = unpack_chunk(in + at + 2, length, out, &made) && whole;
        } else {
            made = length < sizeof out ? length : sizeof out;
            memcpy(out, in + at + 2, made);
        }
        if (!take(context, out, made)) return true;
        if (!whole) return false;
        at += 2 + length;
    }
    return true;
}
