/* Mach-O of one architecture. */
#include "exe_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMMANDS_MAX = 1024,
    SECTIONS_MAX = 255, /* of one segment */
    SEGMENT = 1,
    SEGMENT_64 = 0x19,
    THREAD = 4,
    UNIX_THREAD = 5,
    X86 = 7,
    POWERPC = 18,
    POWERPC_64 = 18 | 0x1000000
};

typedef struct {
    const kav_source *source;
    bool wide, big;
    uint32_t cpu, commands;
    uint64_t at;    /* where the next command begins */
    uint64_t entry; /* an address; 0 = none given */
} macho;

static uint64_t word(const macho *m, const uint8_t *p)
{
    return m->wide ? kav_u64(p, m->big) : kav_u32(p, m->big);
}

static bool take(macho *m, uint8_t *out, size_t len)
{
    if (!kav_exe_bytes(m->source, m->at, out, len)) return false;
    m->at += len;
    return true;
}

static bool read_header(macho *m)
{
    uint8_t h[28];
    if (!take(m, h, sizeof h)) return false;
    m->big = h[0] == 0xfe;
    uint32_t magic = kav_u32(h, m->big);
    if (magic != 0xfeedface && magic != 0xfeedfacf) return false;
    m->wide = magic == 0xfeedfacf;
    if (m->wide) m->at += 4;
    m->cpu = kav_u32(h + 4, m->big);
    m->commands = kav_u32(h + 16, m->big);
    return m->commands > 0 && m->commands <= COMMANDS_MAX;
}

static bool read_section(macho *m, kav_section *s)
{
    uint8_t h[80];
    if (!take(m, h, m->wide ? 80 : 68)) return false;
    size_t width = m->wide ? 8 : 4;
    const uint8_t *rest = h + 32 + 2 * width; /* behind address and size */
    memcpy(s->name, h, sizeof s->name);
    s->rva = word(m, h + 32);
    s->virtual_size = word(m, h + 32 + width);
    s->raw = kav_u32(rest, m->big);
    uint32_t power = kav_u32(rest + 4, m->big);
    if (power >= 32) return false;
    uint64_t unit = (uint64_t)1 << power;
    s->raw_size = s->virtual_size + (unit - s->virtual_size % unit) % unit;
    return true;
}

/* A segment and its sections. 1 = done, 0 = broken, -ENOMEM. */
static int read_segment(macho *m, kav_exe *exe)
{
    uint8_t h[64];
    if (!take(m, h, m->wide ? 64 : 48)) return 0;
    uint32_t count = kav_u32(h + (m->wide ? 56 : 40), m->big);
    if (count > SECTIONS_MAX) return 0;
    if (count == 0) return 1;
    kav_section *more = realloc(exe->sections, (exe->section_count + count) * sizeof *more);
    if (!more) return -ENOMEM;
    exe->sections = more;
    memset(more + exe->section_count, 0, count * sizeof *more);
    for (uint32_t i = 0; i < count; i++)
        if (!read_section(m, &exe->sections[exe->section_count++])) return 0;
    return 1;
}

/* The registers of the first thread. Of those of x86 nothing is taken: signatures were written without. */
static bool read_thread(macho *m)
{
    uint8_t state[312];
    size_t length = m->cpu == X86 ? 64 : m->cpu == POWERPC ? 160 : sizeof state;
    m->at += 8;
    if (!take(m, state, length)) return false;
    if (m->cpu == POWERPC) m->entry = kav_u32(state, m->big);
    if (m->cpu == POWERPC_64) m->entry = kav_u64(state, m->big);
    return true;
}

/* 1 = done, 0 = broken, -ENOMEM. */
static int read_command(macho *m, kav_exe *exe)
{
    uint8_t h[8];
    if (!take(m, h, sizeof h)) return 0;
    uint32_t command = kav_u32(h, m->big), size = kav_u32(h + 4, m->big);
    if (command == (m->wide ? SEGMENT_64 : SEGMENT)) return read_segment(m, exe);
    bool registers = m->cpu == X86 || m->cpu == POWERPC || m->cpu == POWERPC_64;
    if (registers && (command == THREAD || command == UNIX_THREAD)) return read_thread(m);
    if (size > sizeof h) m->at += size - sizeof h;
    return 1;
}

static bool find_entry(kav_exe *exe, const macho *m)
{
    if (m->entry == 0) return true;
    for (uint32_t i = 0; i < exe->section_count; i++) {
        const kav_section *s = &exe->sections[i];
        if (s->rva > m->entry || m->entry - s->rva >= s->virtual_size) continue;
        exe->entry = m->entry - s->rva + s->raw;
        return true;
    }
    exe->entry = m->entry; /* a file without sections */
    return exe->section_count == 0;
}

int kav_exe_macho(kav_exe *exe, const kav_source *source)
{
    macho m = {.source = source};
    if (!read_header(&m)) return 0;
    exe->wide = m.wide;
    exe->machine = (uint16_t)m.cpu;
    for (uint32_t i = 0; i < m.commands; i++) {
        int rc = read_command(&m, exe);
        if (rc <= 0) return rc;
    }
    exe->valid = find_entry(exe, &m);
    return 0;
}
