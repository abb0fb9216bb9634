#define _GNU_SOURCE
#include "zip.h"
#include "numbers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define END_REACH     (KAV_ZIP_END + 65535u) /* it lies within so many bytes of the end */
#define MARK_LEN      4                      /* of the end record */
#define END64_LEN     56
#define LOCATOR_LEN   20
#define CENTRAL_LEN   46
#define WINDOW        (256u << 10) /* holds the longest entry: 46 bytes and three fields of 64 KiB */
#define SEARCH_WINDOW (64u << 10)
#define EXTRA_MAX     (64u << 10)

static bool read_exactly(const kav_source *s, uint64_t at, void *out, size_t len)
{
    return kav_source_read(s, at, out, len) == (ssize_t)len;
}

/* The 64-bit end record that a locator before the end record points to. */
static bool read_end64(kav_zip_directory *d, uint64_t end_at, uint64_t *size, uint64_t *offset)
{
    uint8_t locator[LOCATOR_LEN], end64[END64_LEN];
    if (end_at < LOCATOR_LEN || !read_exactly(d->source, end_at - LOCATOR_LEN, locator, sizeof locator)) return false;
    if (memcmp(locator, "PK\006\007", 4) != 0) return false;
    uint64_t at = kav_le64(locator + 8);
    if (!read_exactly(d->source, at, end64, sizeof end64) || memcmp(end64, "PK\006\006", 4) != 0) {
        /* With a stub before the archive the pointer is too low; the record usually ends where its locator begins. */
        if (end_at < LOCATOR_LEN + END64_LEN) return false;
        at = end_at - LOCATOR_LEN - END64_LEN;
        if (!read_exactly(d->source, at, end64, sizeof end64) || memcmp(end64, "PK\006\006", 4) != 0) return false;
    }
    d->count = kav_le64(end64 + 32);
    *size = kav_le64(end64 + 40);
    *offset = kav_le64(end64 + 48);
    d->end = at;
    return true;
}

static bool is_central(const kav_source *s, uint64_t at)
{
    uint8_t signature[4];
    return read_exactly(s, at, signature, sizeof signature) && memcmp(signature, "PK\001\002", 4) == 0;
}

/* Take the end record at end_at when a directory really stands where it says. */
static bool take_end(kav_zip_directory *d, uint64_t end_at, const uint8_t *end)
{
    uint64_t size = kav_le32(end + 12), offset = kav_le32(end + 16);
    d->count = kav_le16(end + 10);
    d->end = end_at;
    if (size == UINT32_MAX || offset == UINT32_MAX || d->count == UINT16_MAX) read_end64(d, end_at, &size, &offset);
    if (size == 0 && d->count == 0) { /* an empty archive */
        d->start = d->at = d->end;
        return true;
    }
    /* Before the end record first: right for archives with a stub, whose offsets may or may not count it. */
    if (size <= d->end && is_central(d->source, d->end - size)) d->start = d->end - size;
    else if (offset < d->end && is_central(d->source, offset)) d->start = offset;
    else return false;
    d->shift = d->start > offset ? d->start - offset : 0;
    d->at = d->start;
    return true;
}

/* The last end record in the tail of the layer, which begins at from. Every layer that is no archive is looked through
 * for it: its fourth byte is the one that is rare in texts. */
static bool find_end(kav_zip_directory *d, uint64_t from, const uint8_t *tail, size_t length)
{
    const uint8_t *last = tail + (length - KAV_ZIP_END + MARK_LEN);
    while ((last = memrchr(tail, '\006', (size_t)(last - tail))) != NULL) {
        if (last - tail < MARK_LEN - 1) return false;
        const uint8_t *p = last - (MARK_LEN - 1);
        if (memcmp(p, "PK\005\006", MARK_LEN) == 0 && take_end(d, from + (uint64_t)(p - tail), p)) return true;
    }
    return false;
}

bool kav_zip_find(kav_zip_directory *d, const kav_source *source)
{
    memset(d, 0, sizeof *d);
    d->source = source;
    if (source->size < KAV_ZIP_END) return false;
    size_t reach = source->size < END_REACH ? (size_t)source->size : END_REACH;
    uint64_t from = source->size - reach;
    if (source->memory != NULL) return find_end(d, from, source->memory + from, reach);
    uint8_t *tail = malloc(reach);
    if (tail == NULL) return false;
    bool found = read_exactly(source, from, tail, reach) && find_end(d, from, tail, reach);
    free(tail);
    return found;
}

/* Have `len` bytes at d->at in the window. NULL: not there (or unreadable: *error). */
static const uint8_t *ahead(kav_zip_directory *d, size_t len, int *error)
{
    if (len > d->end - d->at) return NULL;
    if (d->window == NULL && (d->window = malloc(WINDOW)) == NULL) {
        *error = -ENOMEM;
        return NULL;
    }
    if (d->at < d->window_at || d->at + len > d->window_at + d->window_len) {
        ssize_t n = kav_source_read(d->source, d->at, d->window, WINDOW);
        if (n < 0) *error = (int)n;
        d->window_at = d->at;
        d->window_len = n < 0 ? 0 : (size_t)n;
        if (d->window_len < len) return NULL;
    }
    return d->window + (d->at - d->window_at);
}

/* Replace the numbers that only the zip64 extra field has room for. */
static void read_extra64(kav_zip_entry *e, const uint8_t *extra, size_t len)
{
    while (len >= 4) {
        uint16_t id = kav_le16(extra), size = kav_le16(extra + 2);
        if (size > len - 4) return;
        if (id == 0x0001) {
            const uint8_t *p = extra + 4;
            size_t left = size;
            uint64_t *const wide[] = {&e->unpacked, &e->packed, &e->header};
            for (size_t i = 0; i < 3; i++) {
                if (*wide[i] != UINT32_MAX || left < 8) continue;
                *wide[i] = kav_le64(p);
                p += 8;
                left -= 8;
            }
            return;
        }
        extra += 4 + size;
        len -= 4 + (size_t)size;
    }
}

/* What may stand between the last entry and the end record: a signature, the 64-bit end record, its locator. */
static bool is_closing(const uint8_t *p)
{
    return memcmp(p, "PK\005\005", 4) == 0 || memcmp(p, "PK\006\006", 4) == 0 || memcmp(p, "PK\006\007", 4) == 0;
}

int kav_zip_next(kav_zip_directory *d, kav_zip_entry *e)
{
    int error = -EBADMSG;
    if (d->at >= d->end) return 0;
    const uint8_t *p = ahead(d, CENTRAL_LEN, &error);
    if (p == NULL) return error;
    if (memcmp(p, "PK\001\002", 4) != 0) return is_closing(p) ? 0 : -EBADMSG;
    size_t name_len = kav_le16(p + 28), extra_len = kav_le16(p + 30), comment_len = kav_le16(p + 32);
    if ((p = ahead(d, CENTRAL_LEN + name_len + extra_len, &error)) == NULL) return error;
    *e = (kav_zip_entry){.header = kav_le32(p + 42),
                         .packed = kav_le32(p + 20),
                         .unpacked = kav_le32(p + 24),
                         .crc = kav_le32(p + 16),
                         .method = kav_le16(p + 10),
                         .flags = kav_le16(p + 8),
                         .name = (const char *)p + CENTRAL_LEN,
                         .name_len = name_len};
    read_extra64(e, p + CENTRAL_LEN + name_len, extra_len);
    if (__builtin_add_overflow(e->header, d->shift, &e->header)) e->header = UINT64_MAX;
    d->at += CENTRAL_LEN + name_len + extra_len;
    d->at += comment_len < d->end - d->at ? comment_len : d->end - d->at;
    return 1;
}

void kav_zip_close(kav_zip_directory *d)
{
    free(d->window);
    d->window = NULL;
}

bool kav_zip_local(const kav_source *source, uint64_t header, kav_zip_entry *local, uint64_t *data, char *name)
{
    uint8_t p[KAV_ZIP_LOCAL], extra[512];
    if (header >= source->size || !read_exactly(source, header, p, sizeof p)) return false;
    if (memcmp(p, "PK\003\004", 4) != 0) return false;
    size_t name_len = kav_le16(p + 26), extra_len = kav_le16(p + 28);
    *local = (kav_zip_entry){.header = header,
                             .packed = kav_le32(p + 18),
                             .unpacked = kav_le32(p + 22),
                             .crc = kav_le32(p + 14),
                             .method = kav_le16(p + 8),
                             .flags = kav_le16(p + 6),
                             .name = name};
    size_t kept = name_len < KAV_ZIP_NAME_MAX ? name_len : KAV_ZIP_NAME_MAX;
    ssize_t n = kav_source_read(source, header + KAV_ZIP_LOCAL, name, kept);
    local->name_len = n < 0 ? 0 : (size_t)n;
    if (local->packed == UINT32_MAX || local->unpacked == UINT32_MAX) {
        uint64_t ignored = local->header;
        n = kav_source_read(source, header + KAV_ZIP_LOCAL + name_len, extra,
                            extra_len < sizeof extra ? extra_len : sizeof extra);
        if (n > 0) read_extra64(local, extra, (size_t)n);
        local->header = ignored;
    }
    *data = header + KAV_ZIP_LOCAL + name_len + extra_len;
    return true;
}

uint64_t kav_zip_search(const kav_source *source, uint64_t from, uint64_t to)
{
    static const uint8_t SIGNATURE[4] = {'P', 'K', 3, 4};
    uint8_t *window = malloc(SEARCH_WINDOW);
    uint64_t at = from, found = to;
    while (window != NULL && at < to && to - at >= sizeof SIGNATURE && found == to) {
        size_t want = to - at < SEARCH_WINDOW ? (size_t)(to - at) : SEARCH_WINDOW;
        ssize_t n = kav_source_read(source, at, window, want);
        if (n < (ssize_t)sizeof SIGNATURE) break;
        const uint8_t *hit = memmem(window, (size_t)n, SIGNATURE, sizeof SIGNATURE);
        if (hit != NULL) found = at + (uint64_t)(hit - window);
        at += (uint64_t)n - (sizeof SIGNATURE - 1);
    }
    free(window);
    return found;
}
