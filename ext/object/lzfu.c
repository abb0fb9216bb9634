#include "lzfu.h"
#include "numbers.h"

#include <string.h>

enum { HEADER = 16, RING = 4096, PACKED = 0x75465a4c, PLAIN = 0x414c454d };

static const char WORDS[] = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern "
                            "\\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0"
                            "\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

_Static_assert(sizeof WORDS - 1 == 207, "the ring begins with 207 bytes");

/* The ring is the output as well: it is given on each time it is full. */
typedef struct {
    kav_unpack *unpack;
    uint64_t put; /* bytes of the text */
    uint32_t next, given;
    bool full; /* no more bytes are wanted */
    uint8_t ring[RING];
} text;

static void flush(text *t, uint32_t to)
{
    if (!t->full && to > t->given) t->full = kav_unpack_data(t->unpack, t->ring + t->given, to - t->given) != 0;
    t->given = to % RING;
}

static void put(text *t, uint8_t byte)
{
    t->ring[t->next++] = byte;
    t->put++;
    if (t->next == RING) {
        flush(t, RING);
        t->next = 0;
    }
}

/* True: that was the end. */
static bool put_copy(text *t, const uint8_t *p)
{
    uint32_t from = (uint32_t)p[0] << 4 | p[1] >> 4, count = (p[1] & 15u) + 2;
    if (from == t->next) return true;
    while (count-- > 0) put(t, t->ring[from++ % RING]);
    return false;
}

/* True: the text came to its end. */
static bool unpack(text *t, kav_window *w, uint64_t at, uint64_t end)
{
    while (at < end && !t->full) {
        const uint8_t *p = kav_window_look(w, at, 1);
        if (p == NULL) return false;
        uint8_t flags = *p;
        at++;
        for (int bit = 0; bit < 8; bit++) {
            size_t need = flags >> bit & 1 ? 2 : 1;
            if (need > end - at || (p = kav_window_look(w, at, need)) == NULL) return false;
            at += need;
            if (need == 1) put(t, *p);
            else if (put_copy(t, p)) return true;
        }
    }
    return false;
}

static bool pass_plain(kav_window *w, uint64_t at, uint64_t end, kav_unpack *u)
{
    while (at < end) {
        size_t n = end - at < sizeof w->bytes ? (size_t)(end - at) : sizeof w->bytes;
        const uint8_t *p = kav_window_look(w, at, n);
        if (p == NULL) return false;
        if (kav_unpack_data(u, p, n) != 0) return true;
        at += n;
    }
    return true;
}

uint32_t kav_lzfu_pass(kav_window *w, uint64_t at, uint64_t size, kav_unpack *u)
{
    text t = {.unpack = u, .next = sizeof WORDS - 1, .given = sizeof WORDS - 1};
    const uint8_t *h = size < HEADER ? NULL : kav_window_look(w, at, HEADER);
    uint32_t kind = h ? kav_le32(h + 8) : 0, whole = h ? kav_le32(h + 4) : 0;
    if (kind != PACKED) {
        uint64_t skip = kind == PLAIN ? HEADER : 0;
        return pass_plain(w, at + skip, at + size, u) && skip ? 0 : KAV_R_DAMAGED;
    }
    memcpy(t.ring, WORDS, sizeof WORDS - 1);
    bool ended = unpack(&t, w, at + HEADER, at + size);
    flush(&t, t.next);
    return ended || t.full || t.put >= whole ? 0 : KAV_R_DAMAGED;
}
