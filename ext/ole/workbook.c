/* Workbook: records of kind, length and bytes ([MS-XLS] 2.1.4). A sheet of macros (Excel 4.0) is told by its line in
 * the list of sheets, and by what it begins with, which is never encrypted. Its formulas are not taken apart here. */
#include "document.h"

#include <string.h>

enum { HEAD = 4, BEGIN = 0x0809, SHEET = 0x0085, MACROS = 0x40, MACRO_SHEET = 1, LOOKED_AT = 6 };

typedef struct {
    uint8_t record[HEAD + LOOKED_AT]; /* how the one in hand begins */
    size_t have, left;                /* bytes of that; of all of it, to come */
    bool macros;
} reading;

static bool tells_macros(const uint8_t *record, size_t have)
{
    unsigned kind = kav_le16(record);
    const uint8_t *body = record + HEAD;
    if (kind == BEGIN) return have >= HEAD + 4 && kav_le16(body + 2) == MACROS;
    return kind == SHEET && have >= HEAD + 6 && body[5] == MACRO_SHEET;
}

static bool take(void *context, const uint8_t *bytes, size_t len)
{
    reading *r = context;
    while (len > 0 && !r->macros) {
        size_t n = 1;
        if (r->have < HEAD) {
            r->record[r->have++] = *bytes;
            if (r->have == HEAD) r->left = kav_le16(r->record + 2);
        } else {
            n = r->left < len ? r->left : len;
            size_t room = sizeof r->record - r->have, kept = n < room ? n : room;
            memcpy(r->record + r->have, bytes, kept);
            r->have += kept;
            r->left -= n;
        }
        bytes += n;
        len -= n;
        if (r->have < HEAD || r->left > 0) continue;
        r->macros = tells_macros(r->record, r->have);
        r->have = 0;
    }
    return !r->macros;
}

bool kav_workbook_has_macro_sheet(kav_cfb *c, const kav_cfb_entry *e)
{
    reading r = {.have = 0};
    kav_cfb_read(c, e, take, &r); /* what is wrong with the stream was said when it was passed */
    return r.macros;
}
