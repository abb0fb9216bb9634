#include "vbatext.h"

#include <stdbool.h>

/* Where in a line the text is. The marks of a line that goes on, " _" and " _\r", are told from others. */
enum { CODE = 0, QUOTE, BLANK, MARK, MARK_CR };

/* 80 to 9f in code page 1252; the rest of it is Latin-1. */
static const uint16_t western[32] = {0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021,
                                     0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,   0x17d,  0x8f,
                                     0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                     0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

size_t kav_vbatext_utf8(uint16_t codepage, const uint8_t *in, size_t len, uint8_t *out)
{
    bool latin = codepage == KAV_CODEPAGE_WESTERN || codepage == 28591;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t point = in[i];
        if (point < 0x80 || !latin) {
            out[n++] = in[i];
            continue;
        }
        if (point < 0xa0 && codepage == KAV_CODEPAGE_WESTERN) point = western[point - 0x80];
        if (point >= 0x800) {
            out[n++] = (uint8_t)(0xe0 | point >> 12);
            out[n++] = (uint8_t)(0x80 | (point >> 6 & 63));
        } else {
            out[n++] = (uint8_t)(0xc0 | point >> 6);
        }
        out[n++] = (uint8_t)(0x80 | (point & 63));
    }
    return n;
}

/* Append a letter, holding the last two back. */
static size_t put(kav_vbatext *t, uint8_t letter, uint8_t *out)
{
    size_t n = 0;
    if (t->held == 2) {
        out[n++] = t->last[0];
        t->last[0] = t->last[1];
        t->held = 1;
    }
    t->last[t->held++] = letter;
    return n;
}

static void take_back(kav_vbatext *t, uint8_t count)
{
    t->held = t->held > count ? (uint8_t)(t->held - count) : 0;
}

/* Lines that end in a mark lose it and go on, as if there were a blank. */
static size_t pass_newline(kav_vbatext *t, uint8_t *out)
{
    if (t->state != MARK && t->state != MARK_CR) return put(t, '\n', out);
    take_back(t, t->state == MARK ? 1 : 2);
    t->state = BLANK;
    return 0;
}

static size_t pass_blank(kav_vbatext *t, uint8_t *out)
{
    size_t n = t->state == BLANK ? 0 : put(t, ' ', out);
    if (t->state == CODE || t->state == MARK) t->state = BLANK;
    return n;
}

static size_t pass_letter(kav_vbatext *t, uint8_t letter, uint8_t *out)
{
    switch (letter) {
    case '\n': return pass_newline(t, out);
    case '\t':
    case ' ': return pass_blank(t, out);
    case '"':
        if (t->state == QUOTE) t->state = CODE;
        else if (t->state != MARK_CR) t->state = QUOTE;
        break;
    case '_':
        if (t->state == BLANK) t->state = MARK;
        break;
    case '\r':
        if (t->state == MARK) t->state = MARK_CR;
        break;
    default:
        if (t->state == QUOTE || t->state == MARK_CR) break;
        if (letter >= 'A' && letter <= 'Z') letter = (uint8_t)(letter + ('a' - 'A'));
        t->state = CODE;
        break;
    }
    return put(t, letter, out);
}

size_t kav_vbatext_pass(kav_vbatext *t, const uint8_t *in, size_t len, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) n += pass_letter(t, in[i], out + n);
    return n;
}

size_t kav_vbatext_end(kav_vbatext *t, uint8_t *out)
{
    size_t n = t->held;
    for (size_t i = 0; i < n; i++) out[i] = t->last[i];
    t->held = 0;
    return n;
}
