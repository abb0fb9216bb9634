#include "listed.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX       ".UNOFFICIAL"
#define NAME_MAX_LEN 1023
#define GENERAL_HEAD 1024 /* bytes in which patterns that tell a type are looked for, as in ClamAV */

static bool lies_in(const kav_image_listed *l, uint32_t at, uint32_t length)
{
    return at <= l->text_len && length <= l->text_len - at;
}

static bool open_metadata(kav_image_listed *l, bool *memory)
{
    const kav_metadata *rows = l->rows;
    if (!(l->patterns = calloc(l->count + 1u, sizeof *l->patterns))) {
        *memory = true;
        return false;
    }
    for (; l->opened < l->count; l->opened++) {
        const kav_metadata *row = &rows[l->opened];
        if (!lies_in(l, row->name, row->name_len) || !lies_in(l, row->pattern, row->pattern_len)) return false;
        if (row->name_len == 0 || row->name_len > NAME_MAX_LEN) return false;
        if (row->pattern_len == 0) continue;
        char *pattern = strndup((const char *)l->text + row->pattern, row->pattern_len);
        int code =
            pattern ? regcomp(&l->patterns[l->opened], pattern, REG_EXTENDED | REG_NOSUB | (row->blind ? REG_ICASE : 0))
                    : REG_ESPACE;
        free(pattern);
        if (code == 0) continue;
        *memory = code == REG_ESPACE;
        return false;
    }
    return true;
}

static bool open_passwords(const kav_image_listed *l)
{
    const kav_password *rows = l->rows;
    for (uint32_t i = 0; i < l->count; i++) {
        if (!lies_in(l, rows[i].name, rows[i].name_len) || !lies_in(l, rows[i].text, rows[i].text_len)) return false;
    }
    return true;
}

static bool open_types(const kav_image_listed *l)
{
    const kav_magic *rows = l->rows;
    for (uint32_t i = 0; i < l->count; i++) {
        if (!lies_in(l, rows[i].magic, rows[i].magic_len)) return false;
        if (rows[i].general && !lies_in(l, rows[i].magic + rows[i].magic_len, rows[i].magic_len)) return false;
        if (rows[i].format >= KAV_FMT_COUNT || rows[i].target >= KAV_TARGET_COUNT) return false;
    }
    return true;
}

static bool open_icons(const kav_image_listed *l)
{
    const kav_icon_signature *rows = l->rows;
    for (uint32_t i = 0; i < l->count; i++) {
        if (!lies_in(l, rows[i].name, rows[i].name_len) || !lies_in(l, rows[i].group[0], rows[i].group_len[0]) ||
            !lies_in(l, rows[i].group[1], rows[i].group_len[1]))
            return false;
    }
    return true;
}

static bool open_trust(const kav_image_listed *l)
{
    const kav_trust_row *rows = l->rows;
    for (uint32_t i = 0; i < l->count; i++) {
        if (!lies_in(l, rows[i].name, rows[i].name_len) || !lies_in(l, rows[i].key, rows[i].key_len)) return false;
        if (rows[i].name_len == 0 || rows[i].name_len > NAME_MAX_LEN) return false;
    }
    return true;
}

static size_t size_of_row(uint32_t kind)
{
    switch (kind) {
    case KAV_P_METADATA: return sizeof(kav_metadata);
    case KAV_P_PASSWORDS: return sizeof(kav_password);
    case KAV_P_ICONS: return sizeof(kav_icon_signature);
    case KAV_P_TRUST: return sizeof(kav_trust_row);
    default: return sizeof(kav_magic);
    }
}

bool kav_listed_open(kav_image_listed *l, const uint8_t *part, bool *memory)
{
    const kav_part_header *h = kav_part_of(part);
    *memory = false;
    *l = (kav_image_listed){.rows = kav_part_data(part, KAV_TAB_LISTED),
                            .text = kav_part_data(part, KAV_TAB_LISTED_TEXT),
                            .text_len = (uint32_t)h->tables[KAV_TAB_LISTED_TEXT].length,
                            .count = kav_part_count(part, KAV_TAB_LISTED, size_of_row(h->kind)),
                            .kind = h->kind,
                            .official = h->flags & KAV_PF_OFFICIAL};
    switch (h->kind) {
    case KAV_P_METADATA: return open_metadata(l, memory);
    case KAV_P_PASSWORDS: return open_passwords(l);
    case KAV_P_ICONS: return open_icons(l);
    case KAV_P_TRUST: return open_trust(l);
    default: return open_types(l);
    }
}

void kav_listed_close(kav_image_listed *l)
{
    const kav_metadata *rows = l->rows;
    for (uint32_t i = 0; l->patterns && i < l->opened; i++)
        if (rows[i].pattern_len) regfree(&l->patterns[i]);
    free(l->patterns);
}

/* ---- metadata -------------------------------------------------------------------------------------------------- */

static bool is_among(const uint64_t formats[KAV_FORMAT_WORDS], uint16_t format)
{
    return format < 64 * KAV_FORMAT_WORDS && formats[format / 64] >> (format % 64) & 1;
}

static bool holds(const kav_image_listed *l, uint32_t i, const kav_member_said *m)
{
    const kav_metadata *row = (const kav_metadata *)l->rows + i;
    const uint64_t numbers[KAV_MD_COUNT] = {m->container_size, m->packed, m->unpacked, m->position};
    if (!is_among(row->formats, m->container)) return false;
    if (row->encrypted != 2 && row->encrypted != m->encrypted) return false;
    if (row->crc != 0 && row->crc != m->crc) return false;
    for (int k = 0; k < KAV_MD_COUNT; k++) {
        bool any = row->least[k] == 0 && row->most[k] == UINT64_MAX;
        if (!any && (numbers[k] == UINT64_MAX || numbers[k] < row->least[k] || numbers[k] > row->most[k])) return false;
    }
    return row->pattern_len == 0 || regexec(&l->patterns[i], m->name, 0, NULL, 0) == 0;
}

static bool tell(const kav_image_listed *l, const kav_metadata *row, kav_said_sink sink, void *context)
{
    char name[NAME_MAX_LEN + sizeof SUFFIX];
    memcpy(name, l->text + row->name, row->name_len);
    memcpy(name + row->name_len, SUFFIX, sizeof SUFFIX);
    return sink(context, name, row->name_len + (l->official ? 0 : (uint32_t)sizeof SUFFIX - 1));
}

bool kav_image_asks_members(const kav_image *image)
{
    for (uint32_t i = 0; i < image->listed_count; i++)
        if (image->listed[i].kind == KAV_P_METADATA) return true;
    return false;
}

bool kav_image_member(const kav_image *image, const kav_member_said *member, kav_said_sink sink, void *context)
{
    bool lifted = false;
    for (uint32_t i = 0; i < image->listed_count; i++) {
        const kav_image_listed *l = &image->listed[i];
        for (uint32_t k = 0; l->kind == KAV_P_METADATA && k < l->count; k++) {
            const kav_metadata *row = (const kav_metadata *)l->rows + k;
            if (!holds(l, k, member)) continue;
            if (kav_image_ignores(image, (const char *)l->text + row->name, row->name_len)) lifted = true;
            else if (!tell(l, row, sink, context)) return lifted;
        }
    }
    return lifted;
}

/* ---- passwords ------------------------------------------------------------------------------------------------- */

bool kav_image_password(const kav_image *image, uint32_t *at, uint32_t container, const char **text, uint32_t *length)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < image->listed_count; i++) {
        const kav_image_listed *l = &image->listed[i];
        for (uint32_t k = 0; l->kind == KAV_P_PASSWORDS && k < l->count; k++) {
            const kav_password *row = (const kav_password *)l->rows + k;
            if (n++ < *at || (row->container != KAV_PW_ANY && row->container != container)) continue;
            if (kav_image_ignores(image, (const char *)l->text + row->name, row->name_len)) continue;
            *text = (const char *)l->text + row->text;
            *length = row->text_len;
            *at = n;
            return true;
        }
    }
    return false;
}

/* ---- types ----------------------------------------------------------------------------------------------------- */

static bool equals(const uint8_t *bytes, const uint8_t *magic, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++)
        if ((bytes[i] ^ magic[i]) & magic[length + i]) return false;
    return true;
}

static bool has_magic(const kav_image_listed *l, const kav_magic *row, const uint8_t *head, size_t length)
{
    const uint8_t *magic = l->text + row->magic;
    if (row->offset > length || row->magic_len > length - row->offset) return false;
    if (!row->general) return memcmp(head + row->offset, magic, row->magic_len) == 0;
    size_t last = length - row->magic_len;
    if (row->reach < last - row->offset) last = row->offset + row->reach;
    for (size_t at = row->offset; at <= last; at++)
        if (equals(head + at, magic, row->magic_len)) return true;
    return false;
}

/* What stands at its place comes first; ClamAV asks first what it has read last. */
static const kav_magic *find_magic(const kav_image *image, bool general, const uint8_t *head, size_t length)
{
    for (uint32_t i = image->listed_count; i-- > 0;) {
        const kav_image_listed *l = &image->listed[i];
        for (uint32_t k = l->kind == KAV_P_TYPES ? l->count : 0; k-- > 0;) {
            const kav_magic *row = (const kav_magic *)l->rows + k;
            if (row->general == general && has_magic(l, row, head, length)) return row;
        }
    }
    return NULL;
}

static bool is_general(kav_type type)
{
    return type.format == KAV_FMT_UNKNOWN || type.format == KAV_FMT_TEXT || type.format == KAV_FMT_SCRIPT;
}

kav_type kav_listed_type(const kav_image *image, const uint8_t *head, size_t length, kav_type own)
{
    const kav_magic *row = find_magic(image, false, head, length);
    if (!row && is_general(own)) row = find_magic(image, true, head, length < GENERAL_HEAD ? length : GENERAL_HEAD);
    return !row || is_among(row->formats, own.format) ? own : (kav_type){row->format, row->target};
}
