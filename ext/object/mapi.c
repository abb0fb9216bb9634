#include "mapi.h"
#include "numbers.h"

enum { MULTIPLE = 0x1000, NAMED = 0x8000, GUID = 16, BY_NUMBER = 0 };

/* Bytes of a value of this type; 0: it says so itself; -1: nobody knows. */
static int size_of(uint16_t type)
{
    switch (type) {
    case 0x02: /* two bytes, and two that fill up */
    case 0x03:
    case 0x04:
    case 0x0a:
    case 0x0b: return 4;
    case 0x05:
    case 0x06:
    case 0x07:
    case 0x14:
    case 0x40: return 8;
    case 0x48: return GUID;
    case KAV_MAPI_OBJECT:
    case KAV_MAPI_TEXT:
    case KAV_MAPI_UNICODE:
    case KAV_MAPI_BINARY: return 0;
    default: return -1;
    }
}

static bool take(kav_mapi *m, kav_window *w, size_t len, const uint8_t **bytes)
{
    if (len > m->end - m->at) return false;
    *bytes = kav_window_look(w, m->at, len);
    m->at += len;
    return *bytes != NULL;
}

static bool pass(kav_mapi *m, uint64_t len)
{
    uint64_t padded = (len + 3) & ~(uint64_t)3;
    if (padded > m->end - m->at) return false;
    m->at += padded;
    return true;
}

bool kav_mapi_begin(kav_mapi *m, kav_window *w, uint64_t at, uint64_t end)
{
    const uint8_t *p;
    *m = (kav_mapi){.at = at, .end = end};
    if (!take(m, w, 4, &p)) return false;
    m->left = kav_le32(p);
    return true;
}

/* The name of a property that has one: a number, or a text behind its length. */
static bool pass_name(kav_mapi *m, kav_window *w)
{
    const uint8_t *p;
    if (!take(m, w, GUID + 8, &p)) return false;
    return kav_le32(p + GUID) == BY_NUMBER || pass(m, kav_le32(p + GUID + 4));
}

static bool next_property(kav_mapi *m, kav_window *w)
{
    const uint8_t *p;
    if (!take(m, w, 4, &p)) return false;
    bool many = kav_le16(p) & MULTIPLE;
    m->type = (uint16_t)(kav_le16(p) & ~MULTIPLE);
    m->id = kav_le16(p + 2);
    m->left--;
    if (m->id >= NAMED && !pass_name(m, w)) return false;
    if (m->type <= 1) return true; /* nothing */
    int size = size_of(m->type);
    if (size < 0) return false;
    m->values = 1;
    if (size > 0 && !many) return true;
    if (!take(m, w, 4, &p)) return false;
    m->values = kav_le32(p);
    return true;
}

static bool next_value(kav_mapi *m, kav_window *w)
{
    const uint8_t *p;
    int fixed = size_of(m->type);
    uint64_t size = (uint64_t)fixed;
    m->values--;
    if (fixed == 0) {
        if (!take(m, w, 4, &p)) return false;
        size = kav_le32(p);
    }
    uint64_t left = m->end - m->at;
    m->value = m->at;
    m->size = size < left ? size : left;
    m->cut = size > left;
    if (!pass(m, size)) m->at = m->end; /* at the very end nothing need fill it up */
    return true;
}

int kav_mapi_next(kav_mapi *m, kav_window *w)
{
    m->size = 0;
    if (m->cut) return -1;
    if (m->values == 0) {
        if (m->left == 0 || m->at == m->end) return 0;
        if (!next_property(m, w)) return -1;
    }
    if (m->values > 0 && !next_value(m, w)) return -1;
    return 1;
}
