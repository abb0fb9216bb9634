/* Protect: whether a document asks for a password before it shows anything, as its own header says.
 *
 * A password that only guards against changes, or hides the source of macros, encrypts nothing and is not meant.
 */
#include "document.h"

#include <stdlib.h>

enum {
    WORD_NEW = 0xa5ec,
    WORD_OLD = 0xa5dc,
    WORD_ENCRYPTED = 0x0100,
    BIFF_BEGIN = 0x0809,
    BIFF_FILEPASS = 0x002f,
    BIFF_SHEET = 0x0085,
    BIFF_END = 0x000a
};

#define SLIDES_ENCRYPTED 0xf3d1c4dfu
#define REACH            8192u /* FILEPASS stands among the first records of a workbook */

static bool word_is(const uint8_t *p, size_t len)
{
    if (len < 12) return false;
    uint16_t kind = kav_le16(p);
    return (kind == WORD_NEW || kind == WORD_OLD) && kav_le16(p + 10) & WORD_ENCRYPTED;
}

static bool workbook_is(const uint8_t *p, size_t len)
{
    size_t at = 0;
    if (len < 4 || kav_le16(p) != BIFF_BEGIN) return false;
    while (len - at >= 4) {
        uint16_t kind = kav_le16(p + at), size = kav_le16(p + at + 2);
        if (kind == BIFF_FILEPASS) return true;
        if (kind == BIFF_SHEET || kind == BIFF_END || size > len - at - 4) return false;
        at += 4 + (size_t)size;
    }
    return false;
}

static bool slides_are(const uint8_t *p, size_t len)
{
    return len >= 16 && kav_le32(p + 12) == SLIDES_ENCRYPTED;
}

/* The stream that says it, and how. */
static const struct {
    const char *stream;
    bool (*is)(const uint8_t *bytes, size_t len);
} asked[] = {{"WordDocument", word_is}, {"Workbook", workbook_is}, {"Book", workbook_is}, {"Current User", slides_are}};

uint32_t kav_ole_protected(kav_cfb *c)
{
    uint32_t count, found = 0, read = 0;
    bool package = false, info = false;
    const kav_cfb_entry *entries = kav_cfb_entries(c, &count);
    for (uint32_t i = 0; i < count; i++) {
        const kav_cfb_entry *e = &entries[i];
        if (e->kind != KAV_CFB_STREAM || e->parent != 0) continue;
        package |= kav_cfb_named(e, "EncryptedPackage");
        info |= kav_cfb_named(e, "EncryptionInfo");
        for (size_t k = 0; k < sizeof asked / sizeof asked[0]; k++) {
            uint8_t *bytes;
            size_t len;
            if (read >> k & 1 || !kav_cfb_named(e, asked[k].stream)) continue;
            read |= 1u << k; /* there is one; a hostile file may have as many as it likes */
            kav_cfb_load(c, e, REACH, &bytes, &len);
            if (bytes != NULL && asked[k].is(bytes, len)) found = KAV_R_ENCRYPTED;
            free(bytes);
        }
    }
    return package && info ? KAV_R_ENCRYPTED : found;
}
