/* A line of a hash database: digest:size:name[:least level[:greatest level]]; size is a number or '*'. Those of
 * sections have the size first. */
#include "hashset_table.h"

#include <string.h>

enum {
    LINE_MAX_LEN = 8191, /* longer lines are no signatures for ClamAV either */
    NAME_MAX_LEN = 1023,
    FIELDS_MAX = 5,
    LEVEL_OF_ANY_SIZE = 73 /* '*' is only taken with a least level from here on: older engines misread it */
};

typedef struct {
    const char *at;
    size_t len;
} field;

/* Cut at ':'. The count, FIELDS_MAX + 1 when there are more. */
static int split(const char *text, size_t len, field *out)
{
    const char *end = text + len;
    for (int n = 0;; n++) {
        if (n == FIELDS_MAX) return FIELDS_MAX + 1;
        const char *colon = memchr(text, ':', (size_t)(end - text));
        out[n].at = text;
        out[n].len = (size_t)((colon ? colon : end) - text);
        if (!colon) return n + 1;
        text = colon + 1;
    }
}

/* The value of a hexadecimal digit plus 1; 0 = none. A table, because millions of lines go through here. */
static const uint8_t nibble[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16};

static int read_digest(field f, kav_hash_line *out)
{
    unsigned kind = 0;
    while (kind < KAV_HASH_KINDS && f.len != 2u * kav_hash_length[kind]) kind++;
    if (kind == KAV_HASH_KINDS) return 0;
    out->kind = kind;
    bool good = true;
    for (size_t i = 0; i < kav_hash_length[kind]; i++) {
        uint8_t high = nibble[(uint8_t)f.at[2 * i]], low = nibble[(uint8_t)f.at[2 * i + 1]];
        good &= high && low;
        out->digest[i] = (uint8_t)((high - 1u) << 4 | ((low - 1u) & 15u));
    }
    return good;
}

/* A decimal number up to max. */
static int read_number(field f, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (f.len == 0 || f.len > 20) return 0;
    for (size_t i = 0; i < f.len; i++) {
        unsigned digit = (unsigned)(unsigned char)f.at[i] - '0';
        if (digit > 9 || value > (max - digit) / 10) return 0;
        value = value * 10 + digit;
    }
    *out = value;
    return 1;
}

static int read_size(field f, kav_hash_line *out)
{
    if (f.len == 1 && *f.at == '*') {
        out->size = KAV_HASHSET_SIZE_ANY;
        return 1;
    }
    return read_number(f, KAV_HASHSET_SIZE_MAX, &out->size) && out->size > 0;
}

int kav_hash_line_read(const char *text, size_t len, enum kav_hash_form form, uint32_t level, kav_hash_line *out)
{
    field f[FIELDS_MAX], digest, size;
    uint64_t least = 0, greatest = UINT32_MAX;
    if (len && text[len - 1] == '\r') len--;
    if (len == 0 || *text == '#') return KAV_HL_COMMENT;
    if (len > LINE_MAX_LEN) return KAV_HW_FIELDS;
    int n = split(text, len, f);
    if (n < 3 || n > FIELDS_MAX) return KAV_HW_FIELDS;
    digest = f[form == KAV_HASH_SECTION];
    size = f[form != KAV_HASH_SECTION];
    if (!read_digest(digest, out)) return KAV_HW_DIGEST;
    if (!read_size(size, out)) return KAV_HW_SIZE;
    if (f[2].len == 0 || f[2].len > NAME_MAX_LEN || memchr(f[2].at, 0, f[2].len)) return KAV_HW_NAME;
    if (n > 3 && !read_number(f[3], UINT32_MAX, &least)) return KAV_HW_LEVEL;
    if (n > 4 && !read_number(f[4], UINT32_MAX, &greatest)) return KAV_HW_LEVEL;
    if (out->size == KAV_HASHSET_SIZE_ANY && form != KAV_HASH_IMPORTS && least < LEVEL_OF_ANY_SIZE) return KAV_HW_SIZE;
    if (level < least || level > greatest) return KAV_HW_LEVEL;
    out->name = f[2].at;
    out->name_len = (uint32_t)f[2].len;
    return KAV_HL_SIGNATURE;
}
