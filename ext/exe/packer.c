/* Packer: does a PE unpack itself when it runs, so that what it does stands nowhere in the file as signatures know it?
 *
 * Told by the names of sections, by the code at the entry point, and by a look at the section that it stands in: what
 * is executed, writable and as random as packed data was not written by a compiler.
 */
#include "exe_parts.h"

#include <string.h>

enum { CODE = 32, SAMPLE = 16384, WRITABLE = 0x80000000u, UPACK_OPTIONAL = 0x148 };

static const char NAMES[][9] = {
    "UPX0",    "UPX1",     "UPX!",     ".aspack",  ".adata",   "ASPack", ".ASPack",  "MEW",      ".MEW",
    ".petite", "petite",   "nsp0",     "nsp1",     ".nsp0",    ".nsp1",  ".WWPACK",  ".WWP32",   "WWP32",
    ".Upack",  ".ByDwing", "FSG!",     ".yC",      ".yP",      "yC",     ".MPRESS1", ".MPRESS2", "PEC2",
    "pec1",    "pec2",     "PECompac", ".themida", "Themida",  ".vmp0",  ".vmp1",    "PELOCKnt", ".enigma1",
    ".spack",  "PEPACK!!", ".packed",  "pebundle", "_winzip_", ".ccg",   "kkrunchy", ".neolit",  ".neolite",
};

/* Code at the entry point: pairs of digits, "??" for any byte. */
static const char *const CODES[] = {
    "60be????????8dbe",         /* UPX */
    "8725",                     /* FSG 2 */
    "bea40140008bde",           /* FSG 1 */
    "60e803000000e9eb",         /* ASPack */
    "b8????????68????????64ff", /* Petite */
    "9c60e8000000005d",         /* NsPack */
    "53558be833dbeb",           /* WWPack */
    "558bec53565760e800000000", /* yC */
    "eb016860e8",               /* PESpin */
    "beb0114000ad",             /* Upack */
    "60e809000000",             /* Upack */
};

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c - 'a' + 10;
}

static bool code_is(const uint8_t *code, size_t length, const char *pattern)
{
    for (size_t i = 0; pattern[2 * i]; i++) {
        const char *p = pattern + 2 * i;
        if (i >= length) return false;
        if (*p != '?' && code[i] != digit(p[0]) * 16 + digit(p[1])) return false;
    }
    return true;
}

static bool has_known_name(const kav_section *s)
{
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t length = strlen(NAMES[i]);
        if (memcmp(s->name, NAMES[i], length) == 0 && (length == 8 || s->name[length] == 0)) return true;
    }
    return false;
}

/* About 7 bits in each byte or more: in SAMPLE bytes few values are much more frequent than others. The sum of squares
 * of their counts says so without a logarithm: at 128 equally frequent values it is SAMPLE^2 / 128. */
static bool looks_random(const kav_source *source, const kav_section *s)
{
    uint8_t bytes[1024];
    uint32_t counts[256] = {0};
    uint64_t total = 0, squares = 0;
    while (total < SAMPLE && total < s->raw_size) {
        uint64_t left = s->raw_size - total;
        ssize_t n = kav_source_read(source, s->raw + total, bytes, left < sizeof bytes ? (size_t)left : sizeof bytes);
        if (n <= 0) break;
        for (ssize_t i = 0; i < n; i++) counts[bytes[i]]++;
        total += (uint64_t)n;
    }
    for (int i = 0; i < 256; i++) squares += (uint64_t)counts[i] * counts[i];
    return total >= 512 && squares * 128 <= total * total;
}

static const kav_section *section_of_entry(const kav_exe *exe)
{
    for (uint32_t i = exe->section_count; i-- > 0;) {
        const kav_section *s = &exe->sections[i];
        if (s->raw_size && exe->entry >= s->raw && exe->entry - s->raw < s->raw_size) return s;
    }
    return NULL;
}

bool kav_exe_is_packed(const kav_exe *exe, const kav_source *source)
{
    uint8_t code[CODE];
    if (!exe->valid || exe->kind != KAV_EXE_PE) return false;
    for (uint32_t i = 0; i < exe->section_count; i++)
        if (has_known_name(&exe->sections[i])) return true;
    ssize_t n = kav_source_read(source, exe->entry, code, sizeof code);
    for (size_t i = 0; n > 0 && i < sizeof CODES / sizeof *CODES; i++)
        if (code_is(code, (size_t)n, CODES[i])) return true;
    const kav_section *s = section_of_entry(exe);
    if (!s) return exe->entry_rva != 0; /* in the headers */
    if (!(s->flags & WRITABLE)) return false;
    return exe->sections[0].raw_size == 0 || looks_random(source, s);
}
