/* PowerPoint: records of kind, length and bytes; those of kind 1011 are OLE objects (VBA projects too), deflated. */
#include "document.h"
#include "inflate.h"

#include <stdio.h>

enum { HEAD = 8, OBJECT = 0x1011, OBJECT_HEAD = 4 };

static bool pass_object(const kav_source *source, uint64_t at, uint64_t len, kav_unpack *u)
{
    kav_inflated done;
    char name[32];
    int name_len = snprintf(name, sizeof name, "object at %llu", (unsigned long long)at);
    if (kav_unpack_begin(u, name, (size_t)name_len, UINT64_MAX, KAV_M_PART) != 0) return false;
    return kav_unpack_end(u, kav_inflate(u, KAV_INFLATE_ZLIB, source, at, len, KAV_INFLATE_UNKNOWN, &done)) == 0;
}

bool kav_powerpoint_pass(const uint8_t *bytes, size_t len, kav_unpack *u)
{
    kav_source source = {.memory = bytes, .fd = -1, .size = len};
    bool going = true;
    for (size_t at = 0; going && len - at >= HEAD;) {
        unsigned kind = kav_le16(bytes + at + 2);
        uint64_t size = kav_le32(bytes + at + 4), left = len - at - HEAD;
        if (kind == OBJECT && size > OBJECT_HEAD) {
            uint64_t most = size < left ? size : left;
            if (most > OBJECT_HEAD) going = pass_object(&source, at + HEAD + OBJECT_HEAD, most - OBJECT_HEAD, u);
        }
        if (kav_unpack_tick(u) != 0 || size > left) break;
        at += HEAD + (size_t)size;
    }
    return going;
}
