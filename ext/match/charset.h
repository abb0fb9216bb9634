/* Charset: which bytes a stretch of a layer is made of. Most layers are texts, and most literals cannot occur in a
 * text: a database without them is small and fast.
 */
#ifndef KAV_CHARSET_H
#define KAV_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kav_charset {
    KAV_CS_ANY = 0,
    KAV_CS_ASCII = 1, /* what is printed, DEL, blanks, tabs and ends of lines */
    KAV_CS_PLAIN = 2  /* ASCII without capitals and with no blank but the space: what plain.h makes of a text */
};

/* The narrowest of them that holds these bytes. */
enum kav_charset kav_charset_of(const uint8_t *bytes, size_t length);

/* May this byte be in a stretch of that kind? */
static inline bool kav_charset_has(enum kav_charset set, uint8_t c)
{
    if (set == KAV_CS_ANY) return true;
    if (c >= 'A' && c <= 'Z') return set == KAV_CS_ASCII;
    if (c >= ' ' && c < 0x80) return true;
    return set == KAV_CS_ASCII && (c == '\t' || c == '\n' || c == '\r');
}

#endif
