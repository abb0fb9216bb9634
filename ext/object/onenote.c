/* OneNote: files lie in a section as they are, each behind a GUID and its length ([MS-ONESTORE] 2.6.13); each is a
 * part.
 *
 *     GUID (16) | length (8) | unused (4) | reserved (8) | bytes | zeros to a multiple of 8 | GUID of the end
 *
 * They are looked for everywhere, not by the tables that lead to them: those can be made wrong in more ways than this,
 * and the names they lead to are hints for the reader only. What stands inside such bytes is looked at once more by
 * itself: a length that reaches over another file hides nothing.
 */
#define _GNU_SOURCE
#include "numbers.h"
#include "scanner.h"

#include <stdio.h>
#include <string.h>

enum { GUID = 16, HEAD = 36, PIECE = 32 << 10, FORMAT_AT = 48 };

static const uint8_t FILE_DATA[GUID] = {0xe7, 0x16, 0xe3, 0xbd, 0x65, 0x26, 0x11, 0x45,
                                        0xa4, 0xc4, 0x8d, 0x4d, 0x0b, 0x7a, 0x9e, 0xac};
static const uint8_t STORE[GUID] = {0x3f, 0xdd, 0x9a, 0x10, 0x1b, 0x91, 0xf5, 0x49,
                                    0xa5, 0xd0, 0x17, 0x91, 0xed, 0xc8, 0xae, 0xd8};

/* The file whose GUID stands at an offset; false: stop. */
static bool pass_file(const kav_source *source, uint64_t at, kav_unpack *u)
{
    uint8_t h[HEAD];
    char name[32];
    if (kav_source_read(source, at, h, sizeof h) != sizeof h) return true;
    uint64_t size = kav_le64(h + GUID), left = source->size - at - HEAD;
    if (size > left) { /* cut short: what is there is looked at */
        kav_unpack_flag(u, KAV_R_DAMAGED);
        size = left;
    }
    if (size == 0) return true;
    snprintf(name, sizeof name, "file at %llu", (unsigned long long)(at + HEAD));
    return kav_unpack_span(u, name, source, (kav_span){at + HEAD, size, NULL}) == 0;
}

int kav_open_onenote(const kav_source *source, kav_type type, kav_unpack *u)
{
    uint8_t piece[PIECE];
    uint64_t at = 0;
    (void)type;
    while (at < source->size) {
        ssize_t n = kav_source_read(source, at, piece, sizeof piece);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n < GUID || kav_unpack_tick(u) != 0) break;
        const uint8_t *found = memmem(piece, (size_t)n, FILE_DATA, GUID);
        if (!found) {
            at += (uint64_t)n - GUID + 1;
            continue;
        }
        at += (uint64_t)(found - piece);
        if (!pass_file(source, at, u)) break;
        at += GUID;
    }
    return 0;
}

bool kav_onenote_is_foreign(const kav_source *source)
{
    uint8_t format[GUID];
    return kav_source_read(source, FORMAT_AT, format, sizeof format) == sizeof format &&
           memcmp(format, STORE, sizeof STORE) != 0;
}
