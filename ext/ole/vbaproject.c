/* The directory of a VBA project: records of number, length and bytes, those of each module in a row (MS-OVBA 2.3.4.2).
 */
#include "vbaproject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form { PLATFORM, TEXT, WIDE, HEX4, HEX8, COUNT, VERSION, WORD };

enum {
    CODEPAGE = 0x0003,
    END = 0x0010,
    HELPFILE_AGAIN = 0x003d,
    MODULE_NAME = 0x0019,
    STREAM_NAME = 0x0032,
    MODULE_OFFSET = 0x0031,
    MODULE_END = 0x002b
};

/* Records that are written out. Those of modules begin a line, the others end it. */
static const struct known {
    uint16_t number;
    uint8_t form; /* enum form */
    bool module;
    const char *label;
    const char *twin; /* the same again in UTF-16; what it says should be the same */
} KNOWN[] = {
    {0x0001, PLATFORM, false, "PROJECTSYSKIND: ", NULL},
    {0x0002, HEX8, false, "PROJECTLCID: ", NULL},
    {0x0014, HEX8, false, "PROJECTLCIDINVOKE: ", NULL},
    {CODEPAGE, HEX4, false, "PROJECTCODEPAGE: ", NULL},
    {0x0004, TEXT, false, "PROJECTNAME: ", NULL},
    {0x0005, TEXT, false, "PROJECTDOCSTRING: ", NULL},
    {0x0040, WIDE, false, "PROJECTDOCSTRINGUNICODE: ", NULL},
    {0x0006, TEXT, false, "PROJECTHELPFILEPATH: ", NULL},
    {HELPFILE_AGAIN, WIDE, false, "PROJECTHELPFILEPATH2: ", NULL},
    {0x0007, HEX4, false, "PROJECTHELPCONTEXT: ", NULL},
    {0x0008, HEX4, false, "PROJECTLIBFLAGS: ", NULL},
    {0x0009, VERSION, false, "PROJECTVERSION: ", NULL},
    {0x000f, COUNT, false, "PROJECTMODULES: ", NULL},
    {0x0013, HEX4, false, "PROJECTCOOKIE: ", NULL},
    {MODULE_NAME, TEXT, true, "MODULENAME: ", NULL},
    {0x0047, WIDE, true, "MODULENAMEUNICODE: ", "MODULENAME and MODULENAMEUNICODE"},
    {0x001a, TEXT, true, "MODULESTREAMNAME: ", NULL},
    {STREAM_NAME, WIDE, true, "MODULESTREAMNAMEUNICODE: ", "MODULESTREAMNAME and MODULESTREAMNAMEUNICODE"},
    {0x001c, TEXT, true, "MODULEDOCSTRING: ", NULL},
    {0x0048, WIDE, true, "MODULEDOCSTRINGUNICODE: ", "MODULEDOCSTRING and MODULEDOCSTRINGUNICODE"},
    {MODULE_OFFSET, HEX8, true, "MODULEOFFSET: ", NULL},
    {0x001e, HEX8, true, "MODULEHELPCONTEXT: ", NULL},
    {0x002c, HEX4, true, "MODULECOOKIE: ", NULL},
    {0x0021, WORD, true, "MODULETYPE: Procedural", NULL},
    {0x0022, WORD, true, "MODULETYPE: Class", NULL},
    {0x0025, WORD, true, "MODULEREADONLY", NULL},
    {0x0028, WORD, true, "MODULEPRIVATE", NULL},
};

#define TEXT_MAX 2048 /* bytes of a name or a description that are written */

/* What the records of the module in hand have said. */
typedef struct {
    uint16_t name[KAV_CFB_NAME];
    size_t name_len;
    uint32_t offset;
    bool named, placed;
    uint8_t text[TEXT_MAX * KAV_VBATEXT_GROWTH]; /* of the last record of letters */
    size_t text_len;
} reading;

static void put(kav_vba *v, const char *text)
{
    kav_unpack_data(v->unpack, text, strlen(text));
}

static void put_platform(kav_vba *v, uint32_t value)
{
    static const char *const names[] = {"Windows 16 bit", "Windows 32 bit", "Macintosh", "Windows 64 bit"};
    char other[32];
    snprintf(other, sizeof other, "Unknown (0x%x)", (unsigned)value);
    put(v, value < 4 ? names[value] : other);
}

static void put_number(kav_vba *v, const uint8_t *bytes, size_t len, enum form form)
{
    char out[32] = "";
    uint32_t value = len >= 4 ? kav_le32(bytes) : len >= 2 ? kav_le16(bytes) : 0;
    if (form == HEX4) snprintf(out, sizeof out, "0x%04x", (unsigned)value);
    else if (form == HEX8) snprintf(out, sizeof out, "0x%08x", (unsigned)value);
    else if (form == COUNT) snprintf(out, sizeof out, "%u", (unsigned)value);
    else if (len >= 6) snprintf(out, sizeof out, "%u.%u", (unsigned)value, (unsigned)kav_le16(bytes + 4));
    put(v, out);
}

static void put_text(kav_vba *v, reading *r, const uint8_t *bytes, size_t len)
{
    r->text_len = kav_vbatext_utf8(v->codepage, bytes, len < TEXT_MAX ? len : TEXT_MAX, r->text);
    kav_unpack_data(v->unpack, r->text, r->text_len);
}

static void put_wide(kav_vba *v, reading *r, const uint8_t *bytes, size_t len, const char *twin)
{
    uint16_t units[TEXT_MAX];
    char out[TEXT_MAX * KAV_VBATEXT_GROWTH];
    size_t count = len / 2 < TEXT_MAX ? len / 2 : TEXT_MAX;
    for (size_t i = 0; i < count; i++) units[i] = kav_le16(bytes + 2 * i);
    size_t n = kav_utf8_from_utf16(units, count, out, sizeof out);
    kav_unpack_data(v->unpack, out, n);
    bool differ = twin != NULL && n > 0 && r->text_len > 0 && (n != r->text_len || memcmp(out, r->text, n) != 0);
    if (!differ) return;
    put(v, "\nREM WARNING: ");
    put(v, twin);
    put(v, " differ");
}

static void put_record(kav_vba *v, reading *r, const struct known *k, const uint8_t *bytes, size_t len)
{
    if (k->module) put(v, k->number == MODULE_NAME ? "\n\n" : "\n");
    put(v, "REM ");
    put(v, k->label);
    if (k->form == PLATFORM) put_platform(v, len >= 4 ? kav_le32(bytes) : 0);
    else if (k->form == TEXT) put_text(v, r, bytes, len);
    else if (k->form == WIDE) put_wide(v, r, bytes, len, k->twin);
    else if (k->form != WORD) put_number(v, bytes, len, (enum form)k->form);
    if (!k->module) put(v, "\n");
}

/* Keep what the source of the module is found by. */
static void note(kav_vba *v, reading *r, uint16_t number, const uint8_t *bytes, size_t len)
{
    if (number == CODEPAGE && len >= 2) v->codepage = kav_le16(bytes);
    if (number == MODULE_NAME) r->named = r->placed = false;
    if (number == MODULE_OFFSET && len >= 4) {
        r->offset = kav_le32(bytes);
        r->placed = true;
    }
    if (number == STREAM_NAME && len / 2 <= KAV_CFB_NAME) {
        r->name_len = len / 2;
        for (size_t i = 0; i < r->name_len; i++) r->name[i] = kav_le16(bytes + 2 * i);
        r->named = true;
    }
}

static uint32_t add_module(kav_vba *v, const kav_vba_module *m)
{
    if (v->module_count == v->module_room) {
        uint32_t room = v->module_room == 0 ? 16 : v->module_room * 2;
        kav_vba_module *larger = realloc(v->modules, room * sizeof *larger);
        if (larger == NULL) return KAV_R_MEMORY;
        v->modules = larger;
        v->module_room = room;
    }
    v->modules[v->module_count++] = *m;
    return 0;
}

/* The records of a module are over: its source. */
static uint32_t end_module(kav_vba *v, reading *r)
{
    put(v, "\nREM ##################################################\n");
    const kav_cfb_entry *stream = r->named ? kav_cfb_find(v->cfb, v->storage, r->name, r->name_len) : NULL;
    kav_vba_module m = {stream, r->offset};
    if (stream == NULL || !r->placed) return 0;
    return kav_vba_source(v, &m, true) | add_module(v, &m);
}

/* How long a record is: that of the version says 4 and has 6. Other lengths are as they say. */
static size_t length_of(uint16_t number, const uint8_t *head)
{
    size_t len = kav_le32(head + 2);
    return number == 0x0009 && len == 4 ? 6 : len;
}

uint32_t kav_vba_records(kav_vba *v)
{
    uint32_t reasons = 0;
    reading *r = calloc(1, sizeof *r);
    if (r == NULL) return KAV_R_MEMORY;
    for (size_t at = 0; !(reasons & ~(uint32_t)KAV_R_DAMAGED) && v->directory_len - at >= 6;) {
        const uint8_t *head = v->directory + at;
        uint16_t number = kav_le16(head);
        size_t len = length_of(number, head), left = v->directory_len - at - 6;
        if (number == END || len > left || kav_unpack_tick(v->unpack) != 0) break;
        note(v, r, number, head + 6, len);
        for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
            if (KNOWN[i].number == number) put_record(v, r, &KNOWN[i], head + 6, len);
        if (number == MODULE_END) reasons |= end_module(v, r);
        at += 6 + len;
    }
    free(r);
    return reasons;
}
