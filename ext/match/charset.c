#include "charset.h"

enum { BLOCK = 64 };

/* Bytes of a block that are outside of each charset. Compilers make vector code of it. */
static void look(const uint8_t *p, size_t length, uint8_t *beyond_ascii, uint8_t *beyond_plain)
{
    uint8_t ascii = 0, plain = 0;
    for (size_t i = 0; i < length; i++) {
        uint8_t c = p[i];
        uint8_t odd = (uint8_t)((uint8_t)(c - ' ') >= 0x80 - ' ');
        uint8_t blank = (uint8_t)(c == '\t') | (uint8_t)(c == '\n') | (uint8_t)(c == '\r');
        ascii |= (uint8_t)(odd & !blank);
        plain |= odd | (uint8_t)((uint8_t)(c - 'A') < 26);
    }
    *beyond_ascii |= ascii;
    *beyond_plain |= plain;
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default"), optimize("O3")))
#endif
enum kav_charset
kav_charset_of(const uint8_t *bytes, size_t length)
{
    uint8_t beyond_ascii = 0, beyond_plain = 0;
    size_t at = 0;
    for (; length - at >= BLOCK && !beyond_ascii; at += BLOCK) look(bytes + at, BLOCK, &beyond_ascii, &beyond_plain);
    if (at < length && length >= BLOCK) at = length - BLOCK; /* some bytes twice: still cheaper than one by one */
    if (!beyond_ascii && at < length) look(bytes + at, length - at, &beyond_ascii, &beyond_plain);
    if (beyond_ascii) return KAV_CS_ANY;
    return beyond_plain ? KAV_CS_ASCII : KAV_CS_PLAIN;
}
