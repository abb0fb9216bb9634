/* ELF: 32 and 64 bits, either byte order. */
#include "exe_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENTS_MAX = 128, SECTIONS_MAX = 256 };

/* Where the fields stand: the two forms differ in nothing else. */
typedef struct {
    uint8_t header, entry, segments, sections, counts; /* of the file's header; counts: segment size and what follows */
    uint8_t segment, offset, address, memory;          /* of a segment's */
    uint8_t section, s_address, s_offset, s_size;      /* of a section's */
} form;

static const form NARROW = {52, 24, 28, 32, 42, 32, 4, 8, 20, 40, 12, 16, 20};
static const form WIDE = {64, 24, 32, 40, 54, 56, 8, 16, 40, 64, 16, 24, 32};

typedef struct {
    const kav_source *source;
    const form *form;
    bool wide, big;
    uint64_t entry, segments, sections;
    uint16_t segment_size, segment_count, section_size, section_count;
} elf;

/* An address, as wide as the file's are. */
static uint64_t word(const elf *e, const uint8_t *p)
{
    return e->wide ? kav_u64(p, e->big) : kav_u32(p, e->big);
}

static uint64_t sum(const elf *e, uint64_t a, uint64_t b)
{
    return e->wide ? a + b : (uint32_t)(a + b);
}

static bool read_header(elf *e)
{
    uint8_t h[64];
    if (!kav_exe_bytes(e->source, 0, h, 52) || memcmp(h,
                                                      "\x7f"
                                                      "ELF",
                                                      4) != 0)
        return false;
    if (h[4] != 1 && h[4] != 2) return false;
    e->wide = h[4] == 2;
    e->big = h[5] != 1;
    e->form = e->wide ? &WIDE : &NARROW;
    if (e->wide && !kav_exe_bytes(e->source, 0, h, sizeof h)) return false;
    const uint8_t *counts = h + e->form->counts;
    e->entry = word(e, h + e->form->entry);
    e->segments = word(e, h + e->form->segments);
    e->sections = word(e, h + e->form->sections);
    e->segment_size = kav_u16(counts, e->big);
    e->segment_count = kav_u16(counts + 2, e->big);
    e->section_size = kav_u16(counts + 4, e->big);
    e->section_count = kav_u16(counts + 6, e->big);
    return true;
}

/* The place of the entry point: of the first segment that holds its address, all of them having been read. */
static bool find_entry(const elf *e, uint64_t *place)
{
    uint8_t h[64];
    bool found = false;
    *place = 0;
    if (e->segment_count > SEGMENTS_MAX) return false;
    if (e->segment_count == 0 || e->entry == 0) return true;
    if (e->segment_size != e->form->segment) return false;
    for (uint64_t i = 0, at = e->segments; i < e->segment_count; i++, at = sum(e, at, e->form->segment)) {
        if (!kav_exe_bytes(e->source, at, h, e->form->segment)) return false;
        uint64_t address = word(e, h + e->form->address), end = sum(e, address, word(e, h + e->form->memory));
        if (found || address > e->entry || end <= e->entry) continue;
        *place = sum(e, e->entry - address, word(e, h + e->form->offset));
        found = true;
    }
    return found;
}

static int read_sections(kav_exe *exe, const elf *e)
{
    uint8_t h[64];
    if (e->section_count > SECTIONS_MAX || e->section_size != e->form->section) return 0;
    if (e->section_count && !(exe->sections = calloc(e->section_count, sizeof *exe->sections))) return -ENOMEM;
    exe->section_count = e->section_count;
    for (uint64_t i = 0, at = e->sections; i < e->section_count; i++, at = sum(e, at, e->form->section)) {
        if (!kav_exe_bytes(e->source, at, h, e->form->section)) return 0;
        exe->sections[i].rva = word(e, h + e->form->s_address);
        exe->sections[i].raw = word(e, h + e->form->s_offset);
        exe->sections[i].raw_size = word(e, h + e->form->s_size);
    }
    exe->valid = true;
    return 0;
}

int kav_exe_elf(kav_exe *exe, const kav_source *source)
{
    elf e = {.source = source};
    if (!read_header(&e) || !find_entry(&e, &exe->entry)) return 0;
    exe->wide = e.wide;
    return read_sections(exe, &e);
}
