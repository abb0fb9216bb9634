/* Foreign: what another engine may see more of: packed programs, installers, images of disks. */
#define _GNU_SOURCE
#include "exe.h"
#include "scanner.h"

#include <string.h>

enum { PIECE = 4096, REACH = 256 << 10, TRAILER = 512 };

/* What installers and compiled scripts carry behind the program, or in its resources. */
static const struct {
    const char *bytes;
    uint8_t length;
} MARKS[] = {
    {"\xef\xbe\xad\xdeNullsoftInst", 16},
    {"\xa3\x48\x4b\xbe\x98\x6c\x4a\xa9\x99\x4c\x53\x0a\x86\xd6\x48\x7d", 16},
    {"InstallShield\0", 14},
    {"ISSetupStream", 13},
    {"ISc(", 4}, /* InstallShield's cabinets */
};

static bool has_mark(const uint8_t *p, size_t length)
{
    for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS; i++)
        if (memmem(p, length, MARKS[i].bytes, MARKS[i].length)) return true;
    return false;
}

/* In the bytes from..: pieces overlap by the longest mark. */
static bool find_mark(const kav_source *source, uint64_t from)
{
    uint8_t piece[PIECE];
    for (uint64_t at = from; at < source->size && at - from < REACH; at += PIECE - 16) {
        ssize_t n = kav_source_read(source, at, piece, sizeof piece);
        if (n <= 0) return false;
        if (has_mark(piece, (size_t)n)) return true;
    }
    return false;
}

static bool is_foreign_program(const kav_source *source, kav_type type)
{
    kav_exe exe;
    if (kav_exe_read(&exe, source, type) != 0) return true; /* nobody knows */
    bool foreign = exe.valid && (kav_exe_is_packed(&exe, source) || find_mark(source, exe.overlay));
    uint64_t resources;
    if (!foreign && exe.valid && exe.directories[2].size &&
        kav_exe_offset(&exe, source, exe.directories[2].rva, &resources))
        foreign = find_mark(source, resources);
    kav_exe_free(&exe);
    return foreign;
}

bool kav_layer_is_foreign(const kav_source *source, kav_type type)
{
    uint8_t end[4];
    if (kav_type_is_foreign(type.format)) return true;
    if (type.format == KAV_FMT_ONENOTE) return kav_onenote_is_foreign(source);
    if (type.format == KAV_FMT_PE) return is_foreign_program(source, type);
    return type.format == KAV_FMT_UNKNOWN && source->size > TRAILER &&
           kav_source_read(source, source->size - TRAILER, end, sizeof end) == sizeof end &&
           memcmp(end, "koly", sizeof end) == 0; /* an image of a disk, as Apple's systems have them */
}
