/* Rest: what stands in a file behind the end of the archive or stream that it begins with. The opener for the format
 * stops at that end, but other programs do not: a kernel goes on to the next cpio of an initrd, tar --ignore-zeros to
 * the next tar, and what opens a zip looks for it from the end of the file. */
#include "opener.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CHUNK = 32768,
    LEAST = 20 /* shorter than any container, and libarchive may leave the end block of a rar unread */
};

/* Go on to the first byte that is not zero: archives are padded. 1; 0 when there is none, or stop. */
static int skip_zeros(const kav_source *source, uint64_t *at, kav_unpack *u)
{
    uint8_t buffer[CHUNK];
    while ((*at = kav_source_next_data(source, *at)) < source->size) {
        if (kav_unpack_tick(u) != 0) return 0;
        ssize_t n = kav_source_read(source, *at, buffer, sizeof buffer);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n <= 0) return 0;
        for (ssize_t i = 0; i < n; i++)
            if (buffer[i] != 0) return *at += (uint64_t)i, 1;
        *at += (uint64_t)n;
    }
    return 0;
}

void kav_rest_pass(const kav_source *source, uint64_t from, kav_unpack *u)
{
    uint8_t buffer[CHUNK];
    uint32_t reasons = 0;
    if (!skip_zeros(source, &from, u) || source->size - from < LEAST) return;
    if (kav_unpack_begin(u, "", 0, source->size - from, 0) != 0) return;
    while (from < source->size) {
        ssize_t n = kav_source_read(source, from, buffer, sizeof buffer);
        if (n <= 0) reasons = n < 0 ? KAV_R_UNREADABLE : KAV_R_CHANGED;
        if (n <= 0 || kav_unpack_data(u, buffer, (size_t)n) != 0) break;
        from += (uint64_t)n;
    }
    kav_unpack_end(u, reasons);
}
