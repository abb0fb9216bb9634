/* Names on a line (contract: aveclient.h; the same rules as kavfs/report/names.py). */
#include <string.h>

#include "aveclient.h"

/* Length of the UTF-8 sequence at `at`, its character in *code; 0: none. */
static size_t sequence(const unsigned char *at, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = at[0];
    size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (!len || len > left) return 0;
    uint32_t value = len == 1 ? c : c & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    if (value < least[len] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return 0;
    *code = value;
    return len;
}

/* Controls, separators of lines and paragraphs, marks that turn the direction of text around. */
static bool unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool space(uint32_t c)
{
    return c == ' ' || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* Whether a word that clients take for a verdict stands here. */
static bool verdict(const unsigned char *at, size_t left)
{
    static const char words[][11] = {"INFECTED", "SUSPICION", "SUSPICIOUS", "WARNING"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        uint32_t next;
        if (left < len || memcmp(at, words[i], len) != 0) continue;
        if (left == len || (sequence(at + len, left - len, &next) && space(next))) return true;
    }
    return false;
}

static void escape(FILE *out, uint32_t c)
{
    switch (c) {
    case '\n': fputs("\\n", out); return;
    case '\r': fputs("\\r", out); return;
    case '\t': fputs("\\t", out); return;
    case '\\': fputs("\\\\", out); return;
    }
    fprintf(out, c < 0x80 ? "\\x%02x" : "\\u%04x", c);
}

void ave_show(FILE *out, const char *text, size_t len, unsigned how)
{
    const unsigned char *at = (const unsigned char *)text;
    while (len) {
        uint32_t c;
        size_t n = sequence(at, len, &c);
        if (!n) {
            n = 1;
            if ((how & AVE_SHOWN_PIPE) && *at >= 0xa0) putc(*at, out);
            else fprintf(out, "\\x%02x", *at);
        } else if (c == '\\' ? !(how & AVE_SHOWN_BACKSLASH) : unsafe(c)) {
            escape(out, c);
        } else if (verdict(at, len)) {
            fprintf(out, "\\x%02x", *at);
        } else {
            fwrite(at, 1, n, out);
        }
        at += n;
        len -= n;
    }
}
