/* Tnef: the letter and the attachments in a winmail.dat, which Outlook sends to others of its kind ([MS-OXTNEF]).
 *
 *     signature (4) | key (2) | attributes:  level (1) | id (4) | length (4) | bytes | sum (2)
 *
 * An attribute tells of the letter or of the attachment that the last "rendering data" began: its name, its bytes, or a
 * list of properties (mapi.h) with a better name, or another letter. The name may stand behind the bytes, so what an
 * attachment consists of is gone through twice: for the name, then for the bytes.
 *
 * Sums and levels are not looked at: readers differ in what they forgive. Nor is the upper half of an id, which says of
 * what type the bytes are.
 */
#include "cfb.h"
#include "lzfu.h"
#include "mapi.h"
#include "numbers.h"
#include "opener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIGNATURE = 0x223e9f78,
    FIRST = 6, /* attribute */
    HEAD = 9,
    SUM = 2,
    LETTER = 1, /* levels */
    OF_ATTACHMENT = 2,
    PIECE = 32 << 10,
    NAME_UNITS = 260, /* of a name that are read */
    NAME_ROOM = 3 * NAME_UNITS,
    INTERFACE = 16 /* bytes before an object: what it is */
};

/* Ids of attributes, lower half. */
enum { BODY = 0x800c, RENDERING = 0x9002, PROPERTIES = 0x9003, ATTACHMENT = 0x9005, DATA = 0x800f, TITLE = 0x8010 };

/* Ids of properties. */
enum {
    P_BODY = 0x1000,
    P_RTF = 0x1009,
    P_HTML = 0x1013,
    P_DISPLAY_NAME = 0x3001,
    P_DATA = 0x3701,
    P_FILENAME = 0x3704,
    P_LONG_FILENAME = 0x3707
};

typedef struct {
    uint16_t id;
    uint64_t at, size;
    bool cut; /* it is longer than the file */
} attribute;

typedef struct {
    kav_window window;
    kav_unpack *unpack;
    bool stop;
    int rank; /* of the name in hand: a better one has a higher rank */
    size_t name_len;
    char name[NAME_ROOM];
    uint8_t piece[PIECE];
    uint16_t units[PIECE / 2];
    char text[3 * (PIECE / 2)];
} tnef;

/* The attribute at *at, which goes on to the next. False: there is none. */
static bool next_attribute(tnef *t, uint64_t *at, attribute *a)
{
    uint64_t size = t->window.source->size;
    const uint8_t *p = kav_window_look(&t->window, *at, HEAD);
    if (p == NULL || (p[0] != LETTER && p[0] != OF_ATTACHMENT)) return false;
    a->id = kav_le16(p + 1);
    a->size = kav_le32(p + 5);
    a->at = *at + HEAD;
    a->cut = a->size > size - a->at;
    if (a->cut) a->size = size - a->at;
    *at = a->at + a->size;
    *at = size - *at < SUM ? size : *at + SUM;
    return kav_unpack_tick(t->unpack) == 0;
}

static size_t without_zeros(const tnef *t, size_t len, size_t unit)
{
    static const uint8_t zeros[2];
    while (len >= unit && memcmp(t->piece + len - unit, zeros, unit) == 0) len -= unit;
    return len;
}

/* Little-endian units, as they lie in piece, to UTF-8 in text. */
static size_t to_text(tnef *t, size_t len)
{
    for (size_t i = 0; i < len / 2; i++) t->units[i] = kav_le16(t->piece + 2 * i);
    return kav_utf8_from_utf16(t->units, len / 2, t->text, sizeof t->text);
}

static void take_name(tnef *t, uint64_t at, uint64_t size, bool wide, int rank)
{
    size_t most = wide ? 2 * NAME_UNITS : NAME_UNITS, want = size < most ? (size_t)size : most;
    ssize_t n = rank > t->rank ? kav_source_read(t->window.source, at, t->piece, want) : 0;
    if (n <= 0) return;
    size_t len = wide ? to_text(t, (size_t)n) : (size_t)n;
    const char *bytes = wide ? t->text : (const char *)t->piece;
    len = strnlen(bytes, len);
    if (len == 0) return;
    t->name_len = len < NAME_ROOM ? len : NAME_ROOM;
    memcpy(t->name, bytes, t->name_len);
    t->rank = rank;
}

static void name_by_property(tnef *t, const kav_mapi *m)
{
    bool wide = m->type == KAV_MAPI_UNICODE;
    if (m->size == 0 || (!wide && m->type != KAV_MAPI_TEXT)) return;
    if (m->id == P_LONG_FILENAME) take_name(t, m->value, m->size, wide, 4);
    else if (m->id == P_FILENAME) take_name(t, m->value, m->size, wide, 2);
    else if (m->id == P_DISPLAY_NAME) take_name(t, m->value, m->size, wide, 1);
}

/* The best name that an attribute has for its attachment. */
static void find_name(tnef *t, const attribute *a)
{
    kav_mapi m;
    int more = 0;
    if (a->id == TITLE) take_name(t, a->at, a->size, false, 3);
    if (a->id != ATTACHMENT || !kav_mapi_begin(&m, &t->window, a->at, a->at + a->size)) return;
    while ((more = kav_mapi_next(&m, &t->window)) == 1 && kav_unpack_tick(t->unpack) == 0) name_by_property(t, &m);
}

static void begin(tnef *t, const char *name, size_t len, uint64_t size, uint32_t flags)
{
    t->stop = t->stop || kav_unpack_begin(t->unpack, name, len, size, flags) != 0;
}

static void end(tnef *t, uint32_t reasons)
{
    t->stop = t->stop || kav_unpack_end(t->unpack, reasons) != 0;
}

static void pass_file(tnef *t, uint64_t at, uint64_t size, bool cut)
{
    uint32_t reasons = cut ? KAV_R_DAMAGED : 0;
    begin(t, t->name, t->name_len, size, 0);
    while (!t->stop && size > 0) {
        ssize_t n = kav_source_read(t->window.source, at, t->piece, size < PIECE ? (size_t)size : PIECE);
        if (n <= 0) reasons |= n < 0 ? KAV_R_UNREADABLE : KAV_R_CHANGED;
        if (n <= 0 || kav_unpack_data(t->unpack, t->piece, (size_t)n) != 0) break;
        at += (uint64_t)n;
        size -= (uint64_t)n;
    }
    end(t, reasons);
}

/* A body, without the zeros that end it. wide: UTF-16, given as UTF-8. */
static void pass_text(tnef *t, const char *name, uint64_t at, uint64_t size, bool wide)
{
    uint32_t reasons = 0;
    begin(t, name, strlen(name), size, KAV_M_PART);
    while (!t->stop && size > 0) {
        size_t want = size < PIECE ? (size_t)size : PIECE;
        ssize_t n = kav_source_read(t->window.source, at, t->piece, want);
        if (n <= 0) reasons |= n < 0 ? KAV_R_UNREADABLE : KAV_R_CHANGED;
        if (n <= 0) break;
        at += (uint64_t)n;
        size -= (uint64_t)n;
        size_t len = size == 0 ? without_zeros(t, (size_t)n, wide ? 2 : 1) : (size_t)n;
        if (kav_unpack_data(t->unpack, wide ? t->text : (const char *)t->piece, wide ? to_text(t, len) : len) != 0)
            break;
    }
    end(t, reasons);
}

static void pass_rich_text(tnef *t, uint64_t at, uint64_t size)
{
    begin(t, "body.rtf", 8, UINT64_MAX, KAV_M_PART);
    if (!t->stop) end(t, kav_lzfu_pass(&t->window, at, size, t->unpack));
}

static void pass_value(tnef *t, const kav_mapi *m)
{
    bool wide = m->type == KAV_MAPI_UNICODE, object = m->type == KAV_MAPI_OBJECT;
    bool bytes = wide || object || m->type == KAV_MAPI_TEXT || m->type == KAV_MAPI_BINARY;
    uint64_t skip = object && m->size >= INTERFACE ? INTERFACE : 0;
    if (m->size == 0 || !bytes) return;
    switch (m->id) {
    case P_BODY: pass_text(t, "body.txt", m->value, m->size, wide); break;
    case P_HTML: pass_text(t, "body.html", m->value, m->size, wide); break;
    case P_RTF: pass_rich_text(t, m->value, m->size); break;
    case P_DATA: pass_file(t, m->value + skip, m->size - skip, m->cut); break;
    default: break;
    }
}

static void pass_properties(tnef *t, const attribute *a)
{
    kav_mapi m;
    int more = kav_mapi_begin(&m, &t->window, a->at, a->at + a->size) ? 1 : -1;
    while (more == 1 && !t->stop && kav_unpack_tick(t->unpack) == 0)
        if ((more = kav_mapi_next(&m, &t->window)) == 1) pass_value(t, &m);
    if (more < 0) {
        kav_unpack_flag(t->unpack, KAV_R_DAMAGED);
        if (m.at < m.end) pass_file(t, m.at, m.end - m.at, false); /* as it is */
    }
}

/* What the attributes from..to hold, under the name in hand. */
static void pass_group(tnef *t, uint64_t from, uint64_t to)
{
    attribute a;
    while (!t->stop && from < to && next_attribute(t, &from, &a)) {
        if (a.id == DATA) pass_file(t, a.at, a.size, a.cut);
        else if (a.id == BODY && a.size > 0) pass_text(t, "body.txt", a.at, a.size, false);
        else if (a.id == PROPERTIES || a.id == ATTACHMENT) pass_properties(t, &a);
        else if (a.cut) kav_rest_pass(t->window.source, a.at - HEAD, t->unpack);
    }
    t->name_len = 0;
    t->rank = 0;
}

/* What stands where no attribute begins: at the end a few bytes, or zeros, are nothing. */
static void pass_rest(tnef *t, uint64_t at)
{
    uint64_t left = t->window.source->size - at;
    const uint8_t *p = left ? kav_window_look(&t->window, at, 1) : NULL;
    if (p == NULL) return;
    bool begun = *p == LETTER || *p == OF_ATTACHMENT;
    if (begun || (*p != 0 && left >= HEAD)) kav_unpack_flag(t->unpack, KAV_R_DAMAGED);
    kav_rest_pass(t->window.source, at, t->unpack);
}

static void pass_all(tnef *t)
{
    uint64_t at = FIRST, before = FIRST, from = FIRST;
    attribute a;
    while (!t->stop && next_attribute(t, &at, &a)) {
        if (a.cut) kav_unpack_flag(t->unpack, KAV_R_DAMAGED);
        if (a.id == RENDERING) {
            pass_group(t, from, before);
            from = before;
        }
        find_name(t, &a);
        before = at;
    }
    if (!t->stop) pass_group(t, from, at);
    if (!t->stop && kav_unpack_tick(t->unpack) == 0) pass_rest(t, at);
}

int kav_open_tnef(const kav_source *source, kav_type type, kav_unpack *u)
{
    uint8_t h[FIRST];
    (void)type;
    if (kav_source_read(source, 0, h, sizeof h) != sizeof h || kav_le32(h) != SIGNATURE) return KAV_OPEN_NOT_MINE;
    tnef *t = calloc(1, sizeof *t);
    if (t == NULL) return -ENOMEM;
    t->window.source = source;
    t->unpack = u;
    pass_all(t);
    if (t->window.unreadable) kav_unpack_flag(u, KAV_R_UNREADABLE);
    free(t);
    return 0;
}
