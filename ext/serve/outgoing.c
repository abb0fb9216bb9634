/* A queue of lines in one buffer: a head of eight bytes, then the line (contract: outgoing.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "outgoing.h"

typedef struct {
    uint32_t len, apart;
} head;

static int make_room(kav_outgoing *out, size_t more)
{
    if (out->room - out->end >= more) return 0;
    size_t waits = kav_outgoing_waits(out);
    if (out->begin && out->room / 2 >= waits + more) { /* what was sent is as much as what is moved */
        memmove(out->bytes, out->bytes + out->begin, waits);
    } else {
        size_t room = 256;
        while (room < waits + more) room *= 2;
        uint8_t *bytes = malloc(room);
        if (!bytes) return -ENOMEM;
        if (waits) memcpy(bytes, out->bytes + out->begin, waits);
        free(out->bytes);
        out->bytes = bytes;
        out->room = room;
    }
    out->begin = 0;
    out->end = waits;
    return 0;
}

int kav_outgoing_add(kav_outgoing *out, const struct iovec *parts, size_t count, size_t sent, bool apart)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) len += parts[i].iov_len;
    head h = {.len = (uint32_t)(len - sent), .apart = apart};
    if (make_room(out, sizeof h + h.len)) return -ENOMEM;
    memcpy(out->bytes + out->end, &h, sizeof h);
    out->end += sizeof h;
    for (size_t i = 0; i < count; i++) {
        size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;
        size_t rest = parts[i].iov_len - skip;
        if (rest) memcpy(out->bytes + out->end, (const uint8_t *)parts[i].iov_base + skip, rest);
        out->end += rest;
        sent -= skip;
    }
    return 0;
}

const uint8_t *kav_outgoing_first(const kav_outgoing *out, size_t *len, bool *apart)
{
    head h;
    if (out->begin == out->end) return NULL;
    memcpy(&h, out->bytes + out->begin, sizeof h);
    *len = h.len;
    *apart = h.apart;
    return out->bytes + out->begin + sizeof h;
}

void kav_outgoing_took(kav_outgoing *out, size_t len)
{
    head h;
    memcpy(&h, out->bytes + out->begin, sizeof h);
    out->begin += len; /* the head of the rest goes where its last bytes were */
    h.len -= (uint32_t)len;
    if (h.len) {
        memcpy(out->bytes + out->begin, &h, sizeof h);
        return;
    }
    out->begin += sizeof h;
    if (out->begin == out->end) kav_outgoing_free(out);
}

void kav_outgoing_free(kav_outgoing *out)
{
    free(out->bytes);
    *out = (kav_outgoing){0};
}
