/* PowerPoint: records of kind, length and bytes; those of kind 1011 are OLE objects (VBA projects too): deflated behind
 * their length, or a compound file as it is. Which of them the record says itself (its instance: 1, 0); its bytes are
 * believed more, so that no lie about it hides anything. */
#include "document.h"
#include "inflate.h"

#include <stdio.h>
#include <string.h>

enum { HEAD = 8, OBJECT = 0x1011, OBJECT_HEAD = 4 };

static const uint8_t COMPOUND[] = {0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1};

static int begin_object(uint64_t at, uint64_t size, kav_unpack *u)
{
    char name[32];
    int len = snprintf(name, sizeof name, "object at %llu", (unsigned long long)at);
    return kav_unpack_begin(u, name, (size_t)len, size, KAV_M_PART);
}

static bool pass_plain(const uint8_t *bytes, uint64_t at, size_t len, uint32_t reasons, kav_unpack *u)
{
    if (begin_object(at, len, u) != 0) return false;
    kav_unpack_data(u, bytes + at, len);
    return kav_unpack_end(u, reasons) == 0;
}

static bool pass_packed(const kav_source *source, uint64_t at, uint64_t len, kav_unpack *u)
{
    kav_inflated done;
    if (begin_object(at, UINT64_MAX, u) != 0) return false;
    return kav_unpack_end(u, kav_inflate(u, KAV_INFLATE_ZLIB, source, at, len, KAV_INFLATE_UNKNOWN, &done)) == 0;
}

/* The object in size bytes from at; fewer are there where the record lies or the file is cut. */
static bool pass_object(const kav_source *source, size_t at, size_t size, kav_unpack *u)
{
    const uint8_t *bytes = source->memory;
    size_t left = source->size - at, len = size < left ? size : left;
    if (len >= sizeof COMPOUND && memcmp(bytes + at, COMPOUND, sizeof COMPOUND) == 0)
        return pass_plain(bytes, at, len, len < size ? KAV_R_DAMAGED : 0, u);
    return len <= OBJECT_HEAD || pass_packed(source, at + OBJECT_HEAD, len - OBJECT_HEAD, u);
}

bool kav_powerpoint_pass(const uint8_t *bytes, size_t len, kav_unpack *u)
{
    kav_source source = {.memory = bytes, .fd = -1, .size = len};
    bool going = true;
    for (size_t at = 0; going && len - at >= HEAD;) {
        unsigned kind = kav_le16(bytes + at + 2);
        size_t size = kav_le32(bytes + at + 4), left = len - at - HEAD;
        if (kind == OBJECT) going = pass_object(&source, at + HEAD, size, u);
        if (kav_unpack_tick(u) != 0 || size > left) break;
        at += HEAD + size;
    }
    return going;
}
