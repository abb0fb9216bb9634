/* Fat: a Mach-O file for several architectures; each is a part. */
#include "scanner.h"
#include "numbers.h"

#include <stdio.h>

enum { HEADER = 8, ENTRY = 20, ENTRY_64 = 32, MOST = 32 };

int kav_open_fat(const kav_source *source, kav_type type, kav_unpack *u)
{
    uint8_t h[HEADER], e[ENTRY_64];
    char name[24];
    (void)type;
    if (kav_source_read(source, 0, h, sizeof h) != sizeof h) return KAV_OPEN_NOT_MINE;
    bool big = h[0] == 0xca, large = (big ? h[3] : h[0]) == 0xbf;
    uint32_t count = kav_u32(h + 4, big), length = large ? ENTRY_64 : ENTRY;
    if (count == 0 || count > MOST) return KAV_OPEN_NOT_MINE;
    uint64_t at = HEADER;
    for (uint32_t i = 0; i < count; i++) {
        if (kav_source_read(source, at, e, length) != (ssize_t)length) break;
        at += length;
        uint64_t offset = large ? kav_u64(e + 8, big) : kav_u32(e + 8, big);
        uint64_t size = large ? kav_u64(e + 16, big) : kav_u32(e + 12, big);
        if (offset < at || offset >= source->size) continue; /* it would hold itself */
        if (size > source->size - offset) size = source->size - offset;
        snprintf(name, sizeof name, "cpu-%u", kav_u32(e, big) & 0xffffff);
        if (size && kav_unpack_span(u, name, source, (kav_span){offset, size, NULL}) != 0) return 0;
    }
    return 0;
}
