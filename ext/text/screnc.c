#include "screnc.h"

#include <stdbool.h>
#include <string.h>

/* Which table decodes the n-th character, modulo 64. */
static const char TURNS[] = "0210212112120121012100211201211200121210100210120121002110021012";

/* What a tab, and the characters from blank to 0x7f, stand for. '@' itself is never written so: it announces one of
 * five characters that would disturb a page. No octal escape is followed by a digit. */
static const char PLAIN[3][98] = {
    "W.GzVBj/&IA42[vrC89pEhqO\tbD#u<~>^@wJa]\"KoN;LPg*}tT+-,0nkf5%!dMRc?{x)(sY3\177mUS|:_eFX1ilZH'\\=$y7`Q 6",
    "{20!)[83=X:5e9\\VsfNEkbYx^}Jmq<`>S@B'Hru17MR\"TjGd- \177.L]~loytC&v%$+(#A4\t*D?w;UiacPgQIOFh|6pnz/_KZ,W",
    "n-uR`q^I\\b})6 |z\177kc3+hQfv1dTC<:>~@E,*t'7DyY/o&rj9{?8wgSG4x]0#Z[lHUpi.L!$NP\tVs5aKX;W\"mM%(FJ2A=_OBe",
};

static int64_t digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 of a little-endian number of four bytes. Where a character is no digit ClamAV's arithmetic goes on with -1 or
 * 0, and so do we: what is found in such a text must be the same. */
void kav_screnc_start(kav_screnc *s, const uint8_t number[8])
{
    int64_t d[6];
    for (int i = 0; i < 6; i++) d[i] = digit(number[i]);
    int64_t sum = d[0] < 0 ? 0 : d[0] * 4;
    sum += d[1] < 0 ? -1 : d[1] / 16;
    sum += (int64_t)(d[1] & 15) << 12;
    sum += d[2] < 0 ? 0 : (d[2] / 4) << 8;
    sum += (int64_t)(d[2] & 3) << 22;
    sum += d[3] < 0 ? 0 : d[3] << 16;
    sum += d[4] < 0 ? 0 : d[4] << 26;
    sum += d[5] < 0 ? 0 : (d[5] / 16) << 24;
    s->left = (uint32_t)sum;
    s->turn = 0;
}

static uint8_t escaped(uint8_t c, uint8_t otherwise)
{
    switch (c) {
    case '!': return '<';
    case '#': return '\r';
    case '$': return '@';
    case '&': return '\n';
    case '*': return '>';
    default: return otherwise;
    }
}

/* One encoded character at *in. Returns how many bytes of the text it takes. */
static size_t decode_one(kav_screnc *s, const uint8_t *in, uint8_t *out)
{
    size_t taken = 1;
    uint8_t c = *in, value = c;
    if (c == '\t') value = (uint8_t)PLAIN[TURNS[s->turn] - '0'][0];
    else if (c >= ' ') value = (uint8_t)PLAIN[TURNS[s->turn] - '0'][c - ' ' + 1];
    if (c == '@') {
        s->left--;
        value = escaped(in[1], 0xff);
        taken = in[1] ? 2 : 1;
    }
    *out = value;
    s->left--;
    s->turn = (uint8_t)((s->turn + 1) % 64);
    return taken;
}

size_t kav_screnc_decode(kav_screnc *s, uint8_t *text)
{
    uint8_t *in = text, *out = text;
    while (s->left > 0 && *in) {
        if (*in == '\n' || *in == '\r') {
            in++;
        } else if (*in < 0x80) {
            in += decode_one(s, in, out++);
        } else { /* two bytes of another encoding, which count as one character */
            *out++ = *in++;
            if (!*in) break;
            *out++ = *in++;
            s->left--;
        }
    }
    size_t rest = s->left == 0 ? strlen((const char *)in) : 0;
    if (rest >= 12) { /* checksum and end mark */
        in += 12;
        rest -= 12;
    }
    memmove(out, in, rest);
    out[rest] = 0;
    return (size_t)(out - text) + rest;
}
