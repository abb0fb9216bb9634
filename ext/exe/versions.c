/* Version information of a PE: resource of type 16 -> VS_VERSION_INFO -> StringFileInfo -> string tables -> strings.
 *
 * What counts is where each string's record begins, behind its three numbers. Every level must fit into the one around
 * it. Only the first 16 resources are looked at, and a file says no more strings than MOST.
 */
#include "exe_parts.h"
#include "resources.h"

#include <stdlib.h>
#include <string.h>

enum {
    STEPS = 65536,    /* entries of resource directories, all together */
    FOUND = 16,       /* version resources */
    LENGTH = 0x10000, /* what a 16-bit length can say */
    FIXED = 0x34,     /* bytes of the fixed part of the information */
    MOST = 4096       /* strings; all that fit into 64 KiB, once over */
};

static const uint8_t VERSION_KEY[] = "V\0S\0_\0V\0E\0R\0S\0I\0O\0N\0_\0I\0N\0F\0O\0\0";
static const uint8_t STRING_KEY[] = "S\0t\0r\0i\0n\0g\0F\0i\0l\0e\0I\0n\0f\0o\0\0";
static const uint8_t VAR_KEY[] = "V\0a\0r\0F\0i\0l\0e\0I\0n\0f\0o\0\0";

enum { HEAD = 6, VALUE = HEAD + sizeof VERSION_KEY + 2, BODY = VALUE + FIXED };

typedef struct {
    kav_exe *exe;
    const kav_source *source;
    kav_resources resources;
    uint32_t found[FOUND];
    uint32_t found_count;
    bool memory; /* out of it */
} search;

static bool on_resource(void *context, uint32_t id, uint32_t rva)
{
    search *s = context;
    (void)id;
    s->found[s->found_count++] = rva;
    return s->found_count < FOUND;
}

static void keep(search *s, uint64_t offset)
{
    kav_exe *exe = s->exe;
    if (offset > UINT32_MAX || exe->version_count == MOST) return;
    if (!exe->versions && !(exe->versions = malloc(MOST * sizeof *exe->versions))) {
        s->memory = true;
        return;
    }
    exe->versions[exe->version_count++] = (uint32_t)offset;
}

/* Where a string's value begins: behind its key, which ends with a zero, at a multiple of 4. */
static uint32_t value_of(const uint8_t *p, uint32_t size)
{
    uint32_t at = HEAD;
    for (; at + 1 < size; at += 2) {
        if (p[at] || p[at + 1]) continue;
        at += 2;
        break;
    }
    return (at + 3) & ~3u;
}

/* False: a string does not fit, and what follows is not looked at. */
static bool read_strings(search *s, const uint8_t *p, uint32_t left, uint64_t offset)
{
    while (left > HEAD) {
        uint32_t size = (kav_le16(p) + 3u) & ~3u;
        if (size > left || size <= HEAD + 2 + 8) return false;
        uint32_t value = value_of(p, size);
        if (value < size && size - value > 2) keep(s, offset + HEAD);
        p += size;
        offset += size;
        left -= size;
    }
    return true;
}

static void read_tables(search *s, const uint8_t *p, uint32_t left, uint64_t offset)
{
    enum { TABLE = 24 }; /* head, key of eight digits, padding */
    while (left > HEAD) {
        uint32_t size = kav_le16(p);
        if (size > left || size <= TABLE || !read_strings(s, p + TABLE, size - TABLE, offset + TABLE)) return;
        p += size;
        offset += size;
        left -= size;
    }
}

static bool has_key(const uint8_t *p, uint32_t size, const uint8_t *key, uint32_t length)
{
    return size > HEAD + length && memcmp(p + HEAD, key, length) == 0;
}

/* p holds length bytes from offset on. */
static void read_information(search *s, const uint8_t *p, uint32_t length, uint64_t offset)
{
    bool var = false;
    if (length <= 4) return;
    uint32_t left = kav_le16(p);
    if (left > length || left <= BODY || kav_le16(p + 2) != FIXED) return;
    if (memcmp(p + HEAD, VERSION_KEY, sizeof VERSION_KEY) != 0 || kav_le32(p + VALUE) != 0xfeef04bd) return;
    for (p += BODY, offset += BODY, left -= BODY; left > HEAD;) {
        uint32_t size = kav_le16(p);
        if (size > left) return;
        if (has_key(p, size, STRING_KEY, sizeof STRING_KEY)) {
            uint32_t head = HEAD + (uint32_t)sizeof STRING_KEY;
            read_tables(s, p + head, size - head, offset + head);
            return;
        }
        if (var || !has_key(p, size, VAR_KEY, sizeof VAR_KEY)) return;
        var = true;
        p += size;
        offset += size;
        left -= size;
    }
}

static void read_resource(search *s, uint32_t rva, uint8_t *buffer)
{
    uint64_t at;
    uint32_t length;
    if (!kav_resource_data(&s->resources, rva, &at, &length)) return;
    if (at > s->source->size || length > s->source->size - at) return;
    if (length > LENGTH) length = LENGTH; /* of which only what its own 16-bit length says is looked at */
    if (kav_exe_bytes(s->source, at, buffer, length)) read_information(s, buffer, length, at);
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void sort(kav_exe *exe)
{
    uint32_t kept = 0;
    if (exe->version_count) qsort(exe->versions, exe->version_count, sizeof *exe->versions, compare);
    for (uint32_t i = 0; i < exe->version_count; i++)
        if (!kept || exe->versions[kept - 1] != exe->versions[i]) exe->versions[kept++] = exe->versions[i];
    exe->version_count = kept;
}

bool kav_exe_versions(kav_exe *exe, const kav_source *source)
{
    search s = {.exe = exe, .source = source, .resources = {exe, source, STEPS}};
    if (exe->versions_read || !exe->valid || exe->kind != KAV_EXE_PE) return true;
    uint8_t *buffer = malloc(LENGTH);
    if (!buffer) return false;
    kav_resources_each(&s.resources, KAV_RESOURCE_VERSION, KAV_RESOURCE_ANY, on_resource, &s);
    for (uint32_t i = 0; i < s.found_count; i++) read_resource(&s, s.found[i], buffer);
    free(buffer);
    sort(exe);
    exe->versions_read = true;
    return !s.memory && s.resources.steps > 0;
}

bool kav_exe_is_version(const kav_exe *exe, uint64_t offset)
{
    uint32_t low = 0, high = exe->version_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (exe->versions[middle] == offset) return true;
        if (exe->versions[middle] < offset) low = middle + 1;
        else high = middle;
    }
    return false;
}
