/* Names in compound files: found whatever their capitals, and made readable. */
#include "cfb_parts.h"

#include <string.h>

#define PATH_DEPTH 16 /* storages shown before a name */

const kav_cfb_entry *kav_cfb_entries(const kav_cfb *c, uint32_t *count)
{
    *count = c->entry_count;
    return c->entries;
}

static uint16_t small(uint16_t unit)
{
    return unit >= 'A' && unit <= 'Z' ? (uint16_t)(unit + ('a' - 'A')) : unit;
}

bool kav_cfb_named(const kav_cfb_entry *e, const char *name)
{
    size_t len = strlen(name);
    if (len != e->name_len) return false;
    for (size_t i = 0; i < len; i++)
        if (small(e->name[i]) != small((uint8_t)name[i])) return false;
    return true;
}

const kav_cfb_entry *kav_cfb_find(const kav_cfb *c, uint32_t parent, const uint16_t *name, size_t name_len)
{
    for (uint32_t i = 0; i < c->entry_count; i++) {
        const kav_cfb_entry *e = &c->entries[i];
        size_t same = 0;
        if (e->kind != KAV_CFB_STREAM || e->parent != parent || e->name_len != name_len) continue;
        while (same < name_len && small(e->name[same]) == small(name[same])) same++;
        if (same == name_len) return e;
    }
    return NULL;
}

static size_t put(char *out, size_t room, uint32_t point)
{
    if (room < 4) return 0;
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 63));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 63));
        out[2] = (char)(0x80 | (point & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 63));
    out[2] = (char)(0x80 | (point >> 6 & 63));
    out[3] = (char)(0x80 | (point & 63));
    return 4;
}

/* MSI packs two of 64 letters into one unit between 3800 and 4800, and marks tables with 4840. */
static size_t put_packed(char *out, size_t room, uint16_t unit)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._";
    size_t n = put(out, room, (uint8_t)letters[(unit - 0x3800) & 63]);
    if (unit < 0x4800) n += put(out + n, room - n, (uint8_t)letters[(unit - 0x3800) >> 6]);
    return n;
}

size_t kav_utf8_from_utf16(const uint16_t *units, size_t count, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t point = units[i];
        if (point >= 0xd800 && point < 0xdc00 && i + 1 < count && (units[i + 1] & 0xfc00) == 0xdc00)
            point = 0x10000 + ((point & 0x3ff) << 10) + (units[++i] & 0x3ff);
        else if (point >= 0xd800 && point < 0xe000) point = 0xfffd;
        n += put(out + n, room - n, point);
    }
    return n;
}

static size_t put_name(const kav_cfb_entry *e, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < e->name_len; i++) {
        uint16_t unit = e->name[i];
        if (unit >= 0x3800 && unit < 0x4840) n += put_packed(out + n, room - n, unit);
        else if (unit == 0x4840) n += put(out + n, room - n, '!');
        else if (unit >= 0xd800 && unit < 0xe000) {
            n += kav_utf8_from_utf16(e->name + i, e->name_len - i, out + n, room - n);
            break;
        } else n += put(out + n, room - n, unit);
    }
    return n;
}

size_t kav_cfb_path(const kav_cfb *c, const kav_cfb_entry *e, char path[KAV_CFB_PATH])
{
    const kav_cfb_entry *above[PATH_DEPTH];
    size_t depth = 0, n = 0;
    for (uint32_t i = e->parent; i != 0 && depth < PATH_DEPTH; i = c->entries[i].parent)
        above[depth++] = &c->entries[i];
    while (depth > 0) {
        n += put_name(above[--depth], path + n, KAV_CFB_PATH - n);
        n += put(path + n, KAV_CFB_PATH - n, '/');
    }
    return n + put_name(e, path + n, KAV_CFB_PATH - n);
}
