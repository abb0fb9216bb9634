/* LZW as PDF and TIFF have it: codes of 9 to 12 bits, highest bit first, 256 clears the table, 257 ends. */
#include "filter.h"

enum { CLEAR = 256, END = 257, FIRST = 258, CODES = 4096, HELD = 4096 };

typedef struct {
    uint16_t before[CODES]; /* all of its string but the last byte */
    uint16_t length[CODES];
    uint8_t last[CODES], first[CODES];
    uint32_t next;  /* code */
    uint32_t old;   /* the code before, CLEAR: none */
    uint32_t width; /* of codes */
    uint32_t bits, bit_count;
    bool early, started, skipped;
    size_t held_len; /* input before anything came out */
    uint8_t held[HELD];
} lzw_state;

static void clear(lzw_state *z)
{
    z->next = FIRST;
    z->old = CLEAR;
    z->width = 9;
}

static int lzw_begin(kav_pdf_stage *s, const void *argument)
{
    lzw_state *z = s->state;
    const bool *early = argument;
    for (int i = 0; i < 256; i++) {
        z->first[i] = z->last[i] = (uint8_t)i;
        z->length[i] = 1;
    }
    z->early = *early;
    clear(z);
    return 0;
}

/* A string, last byte first, into memory. */
static void write_string(kav_pdf_stage *s, const lzw_state *z, uint32_t code)
{
    uint8_t text[CODES];
    size_t len = z->length[code];
    for (size_t i = len; i > 0; i--) {
        text[i - 1] = z->last[code];
        code = z->before[code];
    }
    for (size_t i = 0; i < len; i++) kav_pdf_put(s, text[i]);
}

static void widen(lzw_state *z)
{
    if (z->next + z->early >= 1u << z->width && z->width < 12) z->width++;
}

/* One code; false: the stream is over, or broken. */
static bool take_code(kav_pdf_stage *s, lzw_state *z, uint32_t code)
{
    if (code == END) return false;
    if (code == CLEAR) {
        clear(z);
        return true;
    }
    if (z->old == CLEAR) {
        if (code >= CLEAR) return false;
    } else if (z->next < CODES) {
        if (code > z->next) return false;
        uint32_t old = z->old;
        z->before[z->next] = (uint16_t)old;
        z->length[z->next] = (uint16_t)(z->length[old] + 1);
        z->first[z->next] = z->first[old];
        z->last[z->next] = code == z->next ? z->first[old] : z->first[code];
        z->next++;
        widen(z);
    } else if (code >= z->next) {
        return false;
    }
    z->old = code;
    z->started = true;
    write_string(s, z, code);
    return true;
}

static void take_bytes(kav_pdf_stage *s, lzw_state *z, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && !s->ended && !s->chain->stopped; i++) {
        z->bits = z->bits << 8 | bytes[i];
        z->bit_count += 8;
        if (z->bit_count < z->width) continue;
        z->bit_count -= z->width;
        uint32_t code = z->bits >> z->bit_count & ((1u << z->width) - 1);
        if (!take_code(s, z, code)) s->ended = true;
    }
}

/* Nothing came out: some writers put blanks before the stream. Once more, from the next line on. */
static void try_next_line(kav_pdf_stage *s, lzw_state *z)
{
    size_t at = 0;
    while (at < z->held_len && z->held[at] != '\n' && z->held[at] != '\r') at++;
    while (at < z->held_len && (z->held[at] == '\n' || z->held[at] == '\r')) at++;
    z->skipped = true;
    z->bits = z->bit_count = 0;
    s->ended = false;
    clear(z);
    take_bytes(s, z, z->held + at, z->held_len - at);
}

static void lzw_take(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    lzw_state *z = s->state;
    if (!z->started && !z->skipped) {
        if (z->held_len == 0 && bytes[0] == '\r') bytes++, len--;
        size_t room = HELD - z->held_len, keep = len < room ? len : room;
        for (size_t i = 0; i < keep; i++) z->held[z->held_len + i] = bytes[i];
        z->held_len += keep;
    }
    take_bytes(s, z, bytes, len);
    if (s->ended && !z->started && !z->skipped) try_next_line(s, z);
}

const kav_pdf_filter kav_pdf_lzw = {sizeof(lzw_state), lzw_begin, lzw_take, NULL, NULL};
