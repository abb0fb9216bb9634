#include "plain.h"

#include <string.h>

enum { BLOCK = 32 };

/* What becomes of a byte: itself, another, a blank, or 0: nothing. */
static inline uint8_t form_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return (uint8_t)(c | 0x20);
    if (c > ' ' && c < 0x80) return c;
    return c == ' ' || (c >= '\t' && c <= '\r') ? ' ' : 0;
}

/* A block that keeps its length: no byte is left out, no blank follows another. Compilers make vector code of it. */
static bool block_keeps(const uint8_t *in, uint8_t *form, bool space)
{
    uint8_t bad = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint8_t c = in[i];
        uint8_t upper = (uint8_t)((uint8_t)(c - 'A') < 26);
        uint8_t white = (uint8_t)((uint8_t)(c - '\t') < 5);
        bad |= (uint8_t)((c < ' ') & !white) | (uint8_t)(c >> 7);
        form[i] = white ? ' ' : (uint8_t)(c | (uint8_t)(upper << 5));
    }
    bad |= (uint8_t)(space & (form[0] == ' '));
    for (int i = 1; i < BLOCK; i++) bad |= (uint8_t)((form[i] == ' ') & (form[i - 1] == ' '));
    return !bad;
}

size_t kav_plain(const uint8_t *in, size_t len, uint8_t *out, bool *space)
{
    uint8_t *o = out;
    const uint8_t *end = in + len;
    bool blank = *space;
    uint8_t form[BLOCK];
    while (in < end) {
        if (end - in >= BLOCK && block_keeps(in, form, blank)) {
            memcpy(o, form, BLOCK);
            blank = form[BLOCK - 1] == ' ';
            o += BLOCK;
            in += BLOCK;
            continue;
        }
        const uint8_t *stop = end - in >= BLOCK ? in + BLOCK : end;
        for (; in < stop; in++) {
            uint8_t c = form_of(*in);
            *o = c;
            o += c != 0 && !(c == ' ' && blank);
            if (c) blank = c == ' ';
        }
    }
    *space = blank;
    return (size_t)(o - out);
}
