/* How "fuzzy_img#HASH" is written. Apart from what it means: who only reads lines needs no libraries of pictures. */
#include "pictureprobe.h"

enum { DIGITS = 16 };

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

const char *kav_pictureprobe_parse(kav_text text, uint64_t *hash)
{
    const size_t word = sizeof KAV_PICTURE_WORD - 1;
    *hash = 0;
    if (text.length < word + DIGITS) return "malformed fuzzy image hash";
    for (size_t i = word; i < word + DIGITS; i++) {
        int digit = digit_of(text.text[i]);
        if (digit < 0) return "malformed fuzzy image hash";
        *hash = *hash << 4 | (uint64_t)digit;
    }
    if (text.length > word + DIGITS && text.text[word + DIGITS] != '#') return "malformed fuzzy image hash";
    for (size_t i = word + DIGITS + 1; i < text.length; i++) {
        if (text.text[i] != '0') return "malformed fuzzy image hash";
    }
    return NULL;
}
