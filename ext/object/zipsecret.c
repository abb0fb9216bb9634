/* Encrypted members of zip archives, opened with the passwords of databases: a local header is made anew for
 * libarchive, as in zip.c, one reading to see whether the password is right (the cipher's own check lets one in 256
 * wrong ones pass), another into the sink. */
#include "decode.h"
#include "format.h"
#include "numbers.h"
#include "zip.h"

#include <string.h>
#include <zlib.h>

#define METHOD_AES   99
#define AES_FIELD    0x9901
#define AES_LENGTH   7
#define PASSWORD_MAX 255 /* bytes; longer ones are none for zip tools either */
#define TRIES_MAX    1000
#define HEAD_MAX     (KAV_ZIP_LOCAL + 1 + 4 + AES_LENGTH)
#define EXTRA_MAX    4096

typedef struct {
    uint8_t bytes[HEAD_MAX];
    size_t length;
    bool checked; /* libarchive compares the CRC */
    uint32_t crc; /* else compared here; 0: nobody says what it is */
} head;

static void put32(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (8 * i));
}

/* The field of AES among the extra fields of the local header. */
static bool read_aes(const kav_source *source, uint64_t header, uint8_t out[AES_LENGTH])
{
    uint8_t local[KAV_ZIP_LOCAL], extra[EXTRA_MAX];
    if (kav_source_read(source, header, local, sizeof local) != sizeof local) return false;
    size_t length = kav_le16(local + 28);
    if (length > sizeof extra) length = sizeof extra;
    ssize_t n = kav_source_read(source, header + sizeof local + kav_le16(local + 26), extra, length);
    for (size_t at = 0; n > 0 && at + 4 <= (size_t)n;) {
        size_t size = kav_le16(extra + at + 2);
        if (size > (size_t)n - at - 4) return false;
        if (kav_le16(extra + at) == AES_FIELD && size >= AES_LENGTH) {
            memcpy(out, extra + at + 4, AES_LENGTH);
            return true;
        }
        at += 4 + size;
    }
    return false;
}

/* False: this cannot be tried. The old cipher's check byte is the highest of the CRC or, where the CRC came too late
 * for it, of the time; libarchive takes it from where the CRC stands. */
static bool make_head(const kav_source *source, const kav_zip_entry *e, head *out)
{
    uint8_t time[2];
    memset(out, 0, sizeof *out);
    if (e->packed >= UINT32_MAX || e->unpacked >= UINT32_MAX) return false;
    memcpy(out->bytes, "PK\003\004\024", 5);
    out->bytes[6] = KAV_ZIP_ENCRYPTED;
    out->bytes[8] = (uint8_t)e->method;
    put32(out->bytes + 14, e->crc);
    put32(out->bytes + 18, e->packed);
    put32(out->bytes + 22, e->unpacked);
    out->bytes[26] = 1;
    out->bytes[KAV_ZIP_LOCAL] = 'm';
    out->length = KAV_ZIP_LOCAL + 1;
    out->checked = true;
    if (e->method == METHOD_AES) {
        uint8_t *extra = out->bytes + out->length;
        extra[0] = AES_FIELD & 0xff;
        extra[1] = AES_FIELD >> 8;
        extra[2] = AES_LENGTH;
        out->bytes[28] = 4 + AES_LENGTH;
        out->length += 4 + AES_LENGTH;
        return read_aes(source, e->header, extra + 4);
    }
    if (e->flags & KAV_ZIP_SIZES_LATER) {
        if (kav_source_read(source, e->header + 10, time, sizeof time) != sizeof time) return false;
        out->bytes[17] = time[1];
        out->checked = false;
        out->crc = e->crc;
    }
    return true;
}

/* Read the entry in hand to its end, only to see whether the password is right. Returns KAV_R_* bits. */
static uint32_t try_entry(struct archive *a, const head *h, const kav_feed *feed)
{
    const void *bytes;
    size_t len;
    la_int64_t offset;
    uint32_t crc = 0;
    int code;
    while ((code = archive_read_data_block(a, &bytes, &len, &offset)) == ARCHIVE_OK) {
        if (len > 0) crc = (uint32_t)crc32_z(crc, bytes, len); /* zlib takes no bytes for a beginning */
        if (kav_unpack_tick(feed->unpack) != 0) return KAV_R_TIME;
    }
    if (code != ARCHIVE_EOF) return kav_decode_reasons(a, feed);
    return !h->checked && h->crc != 0 && h->crc != crc ? KAV_R_DAMAGED : 0;
}

/* One reading with one password: into the sink, or only to see whether it is right. Returns KAV_R_* bits. */
static uint32_t read_with(const head *h, const char *password, kav_feed feed, bool into)
{
    struct archive_entry *entry;
    uint32_t reasons = KAV_R_MEMORY;
    bool ended;
    struct archive *a = archive_read_new();
    if (a == NULL) return KAV_R_MEMORY;
    feed.head = h->bytes;
    feed.head_len = h->length;
    if (archive_read_support_format_zip_streamable(a) == ARCHIVE_OK && archive_read_add_passphrase(a, password) == 0 &&
        (h->checked || archive_read_set_options(a, "zip:ignorecrc32") == ARCHIVE_OK)) {
        if (kav_decode_open(a, &feed, false) != ARCHIVE_OK || archive_read_next_header(a, &entry) != ARCHIVE_OK) {
            reasons = kav_decode_reasons(a, &feed);
        } else if (into) {
            reasons = kav_decode_entry(a, entry, &feed, &ended);
        } else {
            reasons = try_entry(a, h, &feed);
        }
    }
    archive_read_free(a);
    return reasons;
}

uint32_t kav_zip_decrypt(const kav_source *source, kav_unpack *u, const kav_zip_entry *e, uint64_t data,
                         uint8_t *buffer)
{
    const char *text;
    char password[PASSWORD_MAX + 1];
    uint32_t at = 0, length, tries = 0;
    bool made = false;
    head h;
    kav_feed feed = {.source = source, .offset = data, .length = e->packed, .unpack = u, .buffer = buffer};
    while (kav_unpack_password(u, &at, KAV_PW_ZIP, &text, &length) && tries++ < TRIES_MAX) {
        if (length == 0 || length > PASSWORD_MAX || memchr(text, 0, length) != NULL) continue;
        if (!made && !(made = make_head(source, e, &h))) break;
        memcpy(password, text, length);
        password[length] = '\0';
        uint32_t reasons = read_with(&h, password, feed, false);
        if (reasons & (KAV_R_TIME | KAV_R_MEMORY | KAV_R_UNREADABLE)) return reasons | KAV_R_ENCRYPTED;
        if (reasons == 0) return read_with(&h, password, feed, true);
    }
    return KAV_R_ENCRYPTED;
}
