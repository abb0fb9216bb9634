/* Imports: the digest over an import table, as signatures have it. Its rules are odd in places; they are those that the
 * digests in the databases were made by. */
#include "exe_parts.h"

#include <string.h>

enum {
    IMPORTS = 1,     /* which directory of the PE */
    DESCRIPTOR = 20, /* bytes */
    LIBRARIES_MAX = 1024,
    FUNCTIONS_MAX = 65536, /* of all libraries */
    VISITS_MAX = 1 << 26,  /* of sections, all of which may be gone through for each function */
    NAME_MAX_LEN = 256
};

#define BY_ORDINAL 0x80000000u

typedef struct {
    const kav_exe *exe;
    const kav_source *source;
    kav_digest *digest;
    uint32_t fed, functions, seen;
    char library[NAME_MAX_LEN + 1];
    size_t library_len; /* without an ending that programs' libraries have */
} table;

/* The text at offset, at most NAME_MAX_LEN bytes, shortened by skip at its beginning as it is read. All the bytes that
 * could be of it must be there. */
static bool read_name(const table *t, uint64_t offset, uint32_t skip, char out[NAME_MAX_LEN + 1])
{
    uint64_t left = t->source->size > offset ? t->source->size - offset : 0;
    size_t len = left < NAME_MAX_LEN ? (size_t)left : NAME_MAX_LEN;
    if (len == 0 || !kav_exe_bytes(t->source, offset + skip, out, len)) return false;
    out[len] = 0;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_name(const char *text)
{
    for (; *text; text++) {
        char c = lower(*text);
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && c != '_' && c != '.') return false;
    }
    return true;
}

static bool read_library(table *t, uint32_t rva)
{
    uint64_t at;
    if (!kav_exe_offset(t->exe, t->source, rva, &at) || !read_name(t, at, 0, t->library)) return false;
    for (char *p = t->library; *p; p++) *p = lower(*p);
    const char *dot = strchr(t->library, '.');
    bool known = dot && (!strncmp(dot, ".ocx", 4) || !strncmp(dot, ".sys", 4) || !strncmp(dot, ".dll", 4));
    t->library_len = known ? (size_t)(dot - t->library) : strlen(t->library);
    return true;
}

static bool feed(table *t, const char *name)
{
    char text[2 * NAME_MAX_LEN + 4];
    size_t len = 0;
    if (t->functions) text[len++] = ',';
    memcpy(text + len, t->library, t->library_len);
    len += t->library_len;
    text[len++] = '.';
    for (; *name; name++) text[len++] = lower(*name);
    t->functions++;
    t->fed += (uint32_t)len;
    return kav_digest_feed(t->digest, text, len) == 0;
}

/* One entry of a library's list. False: this table is not hashed. */
static bool add_function(table *t, uint32_t entry)
{
    char text[NAME_MAX_LEN + 1];
    uint64_t at;
    if (entry & BY_ORDINAL) {
        uint16_t ordinal = (uint16_t)entry;
        const char *known = kav_exe_ordinal(t->library, ordinal);
        if (known) return feed(t, known);
        char *p = text + sizeof text;
        for (*--p = 0; ordinal || !*p; ordinal /= 10) *--p = (char)('0' + ordinal % 10);
        return feed(t, memcpy(p - 3, "ord", 3));
    }
    if (!kav_exe_offset(t->exe, t->source, entry, &at)) at = 0;
    if (!read_name(t, at, 2, text)) return true; /* too near to the end of the file: left out */
    return is_name(text) && feed(t, text);
}

/* All functions of a library. */
static enum kav_imports add_functions(table *t, uint32_t names, uint32_t addresses)
{
    uint64_t at = 0;
    uint8_t entry[4];
    bool there = names && kav_exe_offset(t->exe, t->source, names, &at);
    if ((!there || at == 0) && !kav_exe_offset(t->exe, t->source, addresses, &at)) return KAV_IMPORTS_NONE;
    for (; kav_exe_bytes(t->source, at, entry, sizeof entry) && kav_le32(entry); at += 4) {
        if (t->seen++ == FUNCTIONS_MAX || (uint64_t)t->seen * t->exe->section_count > VISITS_MAX)
            return KAV_IMPORTS_MANY;
        if (!add_function(t, kav_le32(entry))) return KAV_IMPORTS_NONE;
    }
    return KAV_IMPORTS_FED;
}

enum kav_imports kav_exe_imports(const kav_exe *exe, const kav_source *source, kav_digest *digest, uint32_t *size)
{
    table t = {.exe = exe, .source = source, .digest = digest};
    uint8_t d[DESCRIPTOR];
    uint64_t at;
    kav_exe_directory place = exe->directories[IMPORTS];
    if (!exe->valid || exe->kind != KAV_EXE_PE || exe->wide || !place.rva || !place.size) return KAV_IMPORTS_NONE;
    if (!kav_exe_offset(exe, source, place.rva, &at)) return KAV_IMPORTS_NONE;
    if (at > source->size || place.size > source->size - at) return KAV_IMPORTS_NONE;
    uint32_t left = place.size;
    for (uint32_t i = 0; left > DESCRIPTOR && i < LIBRARIES_MAX; i++, at += DESCRIPTOR, left -= DESCRIPTOR) {
        if (!kav_exe_bytes(source, at, d, sizeof d)) return KAV_IMPORTS_NONE;
        if (kav_le32(d + 12) == 0) break;
        if (!read_library(&t, kav_le32(d + 12))) return KAV_IMPORTS_NONE;
        enum kav_imports done = add_functions(&t, kav_le32(d), kav_le32(d + 16));
        if (done != KAV_IMPORTS_FED) return done;
    }
    *size = t.fed;
    return KAV_IMPORTS_FED;
}
