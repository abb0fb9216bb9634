#include "textout.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 16384 };

bool kav_text_out_grow(kav_text_out *out)
{
    if (out->len < out->room) return true;
    if (out->room >= out->limit) {
        if (out->full && out->room) out->full(out, out->context);
        if (out->len < out->room) return true;
        out->cut = true;
        return false;
    }
    size_t room = out->room ? 2 * out->room : FIRST_ROOM;
    if (room > out->limit) room = out->limit;
    uint8_t *data = realloc(out->data, room);
    if (!data) {
        out->failed = true;
        return false;
    }
    out->data = data;
    out->room = room;
    return true;
}

bool kav_text_out_reserve(kav_text_out *out, size_t bytes)
{
    while (out->room - out->len < bytes && out->room < out->limit) {
        size_t len = out->len;
        out->len = out->room; /* what asks for more */
        bool grown = kav_text_out_grow(out);
        out->len = len;
        if (!grown) return false;
    }
    return out->room - out->len >= bytes;
}

void kav_text_write(kav_text_out *out, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    while (len && kav_text_out_grow(out)) {
        size_t n = out->room - out->len < len ? out->room - out->len : len;
        memcpy(out->data + out->len, from, n);
        out->len += n;
        from += n;
        len -= n;
    }
}

void kav_text_out_free(kav_text_out *out)
{
    free(out->data);
    out->data = NULL;
    out->len = out->room = 0;
}
