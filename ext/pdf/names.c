/* What the names in a dictionary say of its object. Names are read one after the other, however deep they stand, by a
 * small machine: behind /Filter names are filters until /Length and some others, behind /JavaScript and others may
 * stand a reference. Rough as that is, it decides what ClamAV takes out of a document, and so what signatures see. */
#define _GNU_SOURCE /* memmem */

#include "pdf.h"

#include <errno.h>
#include <string.h>

enum state { NONE, S, FILTER, SCRIPT, ACTION, LINEARIZED, LAUNCH, CONTENTS, URI, ANY };

enum { NAME = 63 }; /* bytes of a name that are read */

static const struct word {
    char name[16];
    uint32_t flag;
    uint8_t from, to;
    bool telling; /* nobody writes it with #xx for a good reason */
} WORDS[] = {
    {"AA", KAV_PDF_DICT, NONE, NONE, false},
    {"ASCIIHexDecode", KAV_PDF_AHX, FILTER, FILTER, true},
    {"AHx", KAV_PDF_AHX, FILTER, FILTER, true},
    {"ASCII85Decode", KAV_PDF_A85, FILTER, FILTER, true},
    {"A85", KAV_PDF_A85, FILTER, FILTER, true},
    {"FlateDecode", KAV_PDF_FLATE, FILTER, FILTER, true},
    {"Fl", KAV_PDF_FLATE, FILTER, FILTER, true},
    {"LZWDecode", KAV_PDF_LZW, FILTER, FILTER, true},
    {"LZW", KAV_PDF_LZW, FILTER, FILTER, true},
    {"RunLengthDecode", KAV_PDF_RL, FILTER, FILTER, true},
    {"RL", KAV_PDF_RL, FILTER, FILTER, true},
    {"CCITTFaxDecode", KAV_PDF_FAX, FILTER, FILTER, true},
    {"CCF", KAV_PDF_FAX, FILTER, FILTER, true},
    {"JBIG2Decode", KAV_PDF_DCT, FILTER, FILTER, true},
    {"DCTDecode", KAV_PDF_DCT, FILTER, FILTER, true},
    {"DCT", KAV_PDF_DCT, FILTER, FILTER, true},
    {"JPXDecode", KAV_PDF_JPX, FILTER, FILTER, true},
    {"Crypt", KAV_PDF_CRYPT, FILTER, NONE, true},
    {"Standard", KAV_PDF_DICT, FILTER, FILTER, true},
    {"Filter", KAV_PDF_FILTERED, ANY, FILTER, true},
    {"Length", KAV_PDF_DICT, FILTER, NONE, true},
    {"Sig", KAV_PDF_SIGNED, ANY, NONE, true},
    {"V", KAV_PDF_SIGNED, ANY, NONE, true},
    {"R", KAV_PDF_SIGNED, ANY, NONE, true},
    {"S", KAV_PDF_DICT, NONE, S, true},
    {"Type", KAV_PDF_DICT, NONE, NONE, true},
    {"EmbeddedFile", KAV_PDF_EMBEDDED, NONE, NONE, true},
    {"Image", KAV_PDF_IMAGE, NONE, NONE, true},
    {"Page", KAV_PDF_PAGE, NONE, NONE, true},
    {"Linearized", KAV_PDF_DICT, NONE, NONE, true},
    {"JavaScript", KAV_PDF_SCRIPT, ANY, SCRIPT, true},
    {"OpenAction", KAV_PDF_ACTION, ANY, ACTION, true},
    {"Launch", KAV_PDF_LAUNCH, ANY, LAUNCH, true},
    {"Contents", KAV_PDF_CONTENTS, NONE, CONTENTS, true},
    {"URI", KAV_PDF_DICT, NONE, URI, false},
    {"Author", KAV_PDF_DICT, NONE, NONE, false},
    {"Producer", KAV_PDF_DICT, NONE, NONE, false},
    {"CreationDate", KAV_PDF_DICT, NONE, NONE, false},
    {"ModDate", KAV_PDF_DICT, NONE, NONE, false},
    {"Creator", KAV_PDF_DICT, NONE, NONE, false},
    {"Title", KAV_PDF_DICT, NONE, NONE, false},
    {"Keywords", KAV_PDF_DICT, NONE, NONE, false},
    {"Subject", KAV_PDF_DICT, NONE, NONE, false},
    {"Pages", KAV_PDF_DICT, NONE, NONE, false},
    {"Colors", KAV_PDF_DICT, NONE, NONE, false},
    {"RichMedia", KAV_PDF_DICT, NONE, NONE, false},
    {"AcroForm", KAV_PDF_DICT, NONE, NONE, false},
    {"XFA", KAV_PDF_DICT, NONE, NONE, false},
};

/* The dictionary of an object: behind its first "<<", before the ">>" that closes it. False: there is none whole. */
static bool dictionary(const uint8_t *p, size_t len, size_t *from, size_t *to)
{
    const uint8_t *open = memmem(p, len, "<<", 2);
    if (!open) return false;
    size_t at = (size_t)(open - p) + 2;
    *from = at;
    for (uint32_t depth = 1; at + 1 < len;) {
        bool pair = p[at] == p[at + 1];
        if (p[at] == '>') {
            *to = at;
            if (pair && --depth == 0) return true;
            at += 2;
        } else if (p[at] == '<') {
            depth += pair;
            at += 2;
        } else {
            at++;
        }
    }
    return false;
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The name behind the slash at `at`; returns the place behind it. */
static size_t read_name(const uint8_t *p, size_t at, size_t len, char name[NAME + 1], bool *escaped)
{
    size_t n = 0;
    *escaped = false;
    for (at++; at < len && n < NAME; at++) {
        uint8_t c = p[at];
        if (c == '#') {
            int high = len - at > 2 ? hex(p[at + 1]) : -1, low = high >= 0 ? hex(p[at + 2]) : -1;
            if (low < 0) break;
            c = (uint8_t)(high << 4 | low);
            at += 2;
            *escaped = true;
        } else if (c && strchr(" \t\r\n/>[]<(", c)) {
            break;
        }
        name[n++] = (char)c;
    }
    name[n] = 0;
    return at;
}

static int remember_filter(kav_pdf *p, uint32_t object, uint32_t flag)
{
    kav_pdf_object *o = &p->objects[object];
    if (o->filter_count >= KAV_PDF_CHAIN) { /* what they hide is seen no further */
        kav_unpack_flag(p->unpack, KAV_R_DEPTH);
        return 0;
    }
    if (kav_pdf_grow((void **)&p->filters, p->filters_len, &p->filters_room, 1) != 0) return -ENOMEM;
    if (o->filter_count == 0) o->filters_at = p->filters_len;
    p->filters[p->filters_len++] = (uint8_t)__builtin_ctz(flag);
    o->filter_count++;
    return 0;
}

static const struct word *word_of(const char *name)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (strcmp(name, WORDS[i].name) == 0) return &WORDS[i];
    return NULL;
}

/* One name. 0, or -ENOMEM. */
static int take_name(kav_pdf *p, uint32_t object, const char *name, bool escaped, enum state *state)
{
    kav_pdf_object *o = &p->objects[object];
    if (strcmp(name, "URI") == 0 && *state == S) {
        *state = NONE;
        return 0;
    }
    const struct word *word = word_of(o->flags & KAV_PDF_URI ? "URI" : name);
    if (!word) return 0;
    if (*state == FILTER && word->flag & KAV_PDF_FILTERS && remember_filter(p, object, word->flag) != 0) return -ENOMEM;
    if (escaped && word->telling) p->escaped = true;
    if (word->from == *state || word->from == ANY) {
        *state = word->to;
        o->flags |= word->flag;
    } else if (*state == S) {
        *state = NONE;
    }
    return 0;
}

/* What a reference behind /JavaScript and others says, it says of the object that it leads to. */
static void take_reference(kav_pdf *p, uint32_t object, const uint8_t *bytes, size_t at, size_t len, enum state state)
{
    static const uint32_t flags[ANY] = {
        [SCRIPT] = KAV_PDF_SCRIPT, [ACTION] = KAV_PDF_ACTION, [CONTENTS] = KAV_PDF_CONTENTS, [URI] = KAV_PDF_URI};
    uint32_t id;
    if (!kav_pdf_reference(bytes, kav_pdf_next(bytes, at, len), len, &id)) return;
    uint32_t other = kav_pdf_object_of(p, object, id);
    if (!other) return;
    p->objects[object].flags &= ~flags[state];
    p->objects[other - 1].flags |= flags[state];
}

int kav_pdf_names_read(kav_pdf *p, uint32_t object)
{
    size_t len, at, end;
    const uint8_t *bytes = kav_pdf_load(p, &p->objects[object], &len);
    enum state state = NONE;
    if (!bytes) return -ENOMEM;
    if (!dictionary(bytes, len, &at, &end)) return 0;
    p->objects[object].flags |= KAV_PDF_DICT;
    while (at < end) {
        char name[NAME + 1];
        bool escaped;
        const uint8_t *slash = memchr(bytes + at, '/', end - at);
        if (!slash) break;
        at = read_name(bytes, (size_t)(slash - bytes), end, name, &escaped);
        if (take_name(p, object, name, escaped, &state) != 0) return -ENOMEM;
        if (at < end && (state == SCRIPT || state == ACTION || state == CONTENTS || state == URI)) {
            take_reference(p, object, bytes, at, end, state);
            state = NONE;
        }
    }
    return 0;
}
