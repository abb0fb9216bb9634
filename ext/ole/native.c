/* Packages: a file with its name and two paths before it, or bare bytes behind their length. */
#include "document.h"

#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t len, at;
} cursor;

static bool skip(cursor *c, size_t count)
{
    if (c->len - c->at < count) return false;
    c->at += count;
    return true;
}

/* The text up to the next NUL, which is passed. */
static bool text(cursor *c, const char **from, size_t *len)
{
    const uint8_t *start = c->bytes + c->at, *end = memchr(start, 0, c->len - c->at);
    if (end == NULL) return false;
    *from = (const char *)start;
    *len = (size_t)(end - start);
    c->at += *len + 1;
    return true;
}

/* Pass what is written before the file. name: what it says the file is called. */
static bool pass_head(cursor *c, const char **name, size_t *name_len)
{
    const char *path;
    size_t path_len;
    return skip(c, 2) && text(c, name, name_len) && text(c, &path, &path_len) && skip(c, 8) &&
           text(c, &path, &path_len) && skip(c, 4);
}

bool kav_native_pass(const uint8_t *bytes, size_t len, const char *name, size_t name_len, kav_unpack *u)
{
    cursor c = {bytes, len, 4};
    if (len < 4) return true;
    uint64_t size = kav_le32(bytes);
    if (len >= size + 4) {
        const char *own = name;
        size_t own_len = name_len;
        if (!pass_head(&c, &own, &own_len)) return true;
        size = kav_le32(bytes + c.at - 4);
        if (own_len > 0) {
            name = own;
            name_len = own_len;
        }
    }
    size_t have = len - c.at;
    if (kav_unpack_begin(u, name, name_len, size, KAV_M_PART) != 0) return false;
    if (have > 0) kav_unpack_data(u, bytes + c.at, size < have ? (size_t)size : have);
    return kav_unpack_end(u, 0) == 0;
}
