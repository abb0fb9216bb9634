/* PE: headers and sections. Numbers of the file are 32 bits wide and are computed with as such: what wraps there wraps
 * here too, and is cut at the end of the file afterwards. */
#include "exe_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_HEADER = 24, /* "PE\0\0" and what follows it */
    OPTIONAL_32 = 96, /* without the directories */
    OPTIONAL_64 = 112,
    SECTION = 40,
    SECTOR = 0x200,
    IS_LIBRARY = 0x2000,
    WIDE_MAGIC = 0x20b
};

typedef struct {
    uint32_t section_alignment, file_alignment;
    uint32_t section_count;
    uint64_t sections; /* offset of their headers */
} layout;

static uint32_t align_down(uint32_t value, uint32_t unit)
{
    return unit ? value / unit * unit : value;
}

static uint32_t align_up(uint32_t value, uint32_t unit)
{
    return unit ? (value / unit + (value % unit != 0)) * unit : value;
}

/* The optional header, directories included. False: too short, or not there. */
static bool read_optional(kav_exe *exe, const kav_source *source, uint64_t at, uint16_t given, layout *l)
{
    uint8_t h[OPTIONAL_64], d[KAV_EXE_DIRECTORIES * 8];
    if (given < OPTIONAL_32 || !kav_exe_bytes(source, at, h, OPTIONAL_32)) return false;
    exe->wide = kav_le16(h) == WIDE_MAGIC;
    uint32_t length = exe->wide ? OPTIONAL_64 : OPTIONAL_32;
    if (exe->wide && (given < OPTIONAL_64 || !kav_exe_bytes(source, at, h, OPTIONAL_64))) return false;
    exe->entry_rva = kav_le32(h + 16);
    l->section_alignment = kav_le32(h + 32);
    l->file_alignment = kav_le32(h + 36);
    exe->header_size = align_up(kav_le32(h + 60), l->section_alignment);
    uint32_t count = kav_le32(h + length - 4);
    if (count > KAV_EXE_DIRECTORIES) count = KAV_EXE_DIRECTORIES;
    if (given < length + count * 8 || !kav_exe_bytes(source, at + length, d, count * 8)) return false;
    for (uint32_t i = 0; i < count; i++)
        exe->directories[i] = (kav_exe_directory){kav_le32(d + 8 * i), kav_le32(d + 8 * i + 4)};
    l->sections = at + given;
    return true;
}

static bool read_headers(kav_exe *exe, const kav_source *source, layout *l)
{
    uint8_t dos[64], h[FILE_HEADER];
    if (!kav_exe_bytes(source, 0, dos, sizeof dos)) return false;
    if (memcmp(dos, "MZ", 2) != 0 && memcmp(dos, "ZM", 2) != 0) return false;
    exe->header = kav_le32(dos + 60);
    if (exe->header == 0 || !kav_exe_bytes(source, exe->header, h, sizeof h)) return false;
    if (memcmp(h, "PE\0\0", 4) != 0) return false;
    exe->machine = kav_le16(h + 4);
    l->section_count = kav_le16(h + 6);
    exe->library = kav_le16(h + 22) & IS_LIBRARY;
    return l->section_count > 0 && read_optional(exe, source, exe->header + FILE_HEADER, kav_le16(h + 20), l);
}

/* A section that begins on a sector inside the alignment shows that the alignment is not meant. */
static void correct_alignment(layout *l, const uint8_t *headers)
{
    for (uint32_t i = 0; l->file_alignment && i < l->section_count; i++) {
        uint32_t size = kav_le32(headers + i * SECTION + 16), raw = kav_le32(headers + i * SECTION + 20);
        if (size && raw % l->file_alignment && raw % SECTOR == 0) {
            l->file_alignment = SECTOR;
            return;
        }
    }
}

static void cut(uint64_t *size, uint64_t from, uint64_t end)
{
    if (*size > end - from) *size = end - from;
}

/* False: the file says something that makes all of it worthless. */
static bool read_section(kav_section *s, const uint8_t *h, const layout *l, uint64_t end)
{
    uint32_t virtual_size = kav_le32(h + 8), rva = kav_le32(h + 12), size = kav_le32(h + 16), raw = kav_le32(h + 20);
    memcpy(s->name, h, sizeof s->name);
    s->rva = align_down(rva, l->section_alignment);
    s->virtual_size = align_up(virtual_size, l->section_alignment);
    s->raw = align_down(raw, l->file_alignment);
    s->raw_size = align_up(size, l->file_alignment);
    s->given_raw = raw;
    s->given_size = size;
    s->flags = kav_le32(h + 36);
    if (s->raw_size && raw >= end) {
        s->raw_size = s->given_size = 0;
    } else if (s->raw_size) {
        cut(&s->raw_size, s->raw, end);
        cut(&s->given_size, raw, end);
    }
    if (!s->virtual_size && s->raw_size) s->virtual_size = align_up((uint32_t)s->given_size, l->section_alignment);
    return !(rva >> 31) && !(virtual_size >> 31) && !(s->raw_size && raw >> 31) && !(s->given_size >> 31);
}

/* What stands behind the section that reaches highest in memory is no part of the program. */
static void find_overlay(kav_exe *exe, uint64_t end)
{
    uint64_t highest = 0;
    exe->overlay = 0;
    for (uint32_t i = 0; i < exe->section_count; i++) {
        const kav_section *s = &exe->sections[i];
        if (s->rva + s->raw_size <= highest) continue;
        highest = s->rva + s->raw_size;
        exe->overlay = s->raw + s->raw_size;
    }
    if (exe->overlay > end) exe->overlay = end;
}

static int read_sections(kav_exe *exe, const kav_source *source, layout *l, bool *good)
{
    size_t length = (size_t)l->section_count * SECTION;
    uint8_t *headers = malloc(length);
    exe->sections = calloc(l->section_count, sizeof *exe->sections);
    *good = false;
    if (!headers || !exe->sections) {
        free(headers);
        return -ENOMEM;
    }
    if (kav_exe_bytes(source, l->sections, headers, length)) {
        *good = true;
        correct_alignment(l, headers);
        exe->section_count = l->section_count;
        for (uint32_t i = 0; *good && i < l->section_count; i++)
            *good = read_section(&exe->sections[i], headers + i * SECTION, l, source->size);
    }
    free(headers);
    return 0;
}

bool kav_exe_offset(const kav_exe *exe, const kav_source *source, uint32_t rva, uint64_t *offset)
{
    if (rva < exe->header_size) {
        *offset = rva;
        return rva < source->size;
    }
    for (uint32_t i = exe->section_count; i-- > 0;) {
        const kav_section *s = &exe->sections[i];
        if (!s->raw_size || s->rva > rva || rva - s->rva >= s->raw_size) continue;
        *offset = rva - s->rva + s->raw;
        return true;
    }
    return false;
}

int kav_exe_pe(kav_exe *exe, const kav_source *source)
{
    layout l = {0};
    bool good;
    if (!read_headers(exe, source, &l)) return 0;
    int rc = read_sections(exe, source, &l, &good);
    if (rc != 0 || !good) return rc;
    find_overlay(exe, source->size);
    exe->valid = kav_exe_offset(exe, source, exe->entry_rva, &exe->entry);
    return 0;
}
