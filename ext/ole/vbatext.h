/* Vbatext: source text of VBA as signatures are written for it: UTF-8, lower case outside of quotes, blanks run
 * together, lines that go on behind " _" made one. Runs on from piece to piece.
 */
#ifndef KAV_VBATEXT_H
#define KAV_VBATEXT_H

#include <stddef.h>
#include <stdint.h>

#define KAV_VBATEXT_GROWTH 3 /* bytes of UTF-8 that one byte of a code page can become */

typedef struct {
    uint8_t state;
    uint8_t held; /* letters that the next ones can still take back */
    uint8_t last[2];
} kav_vbatext;

/* The last code page that Windows uses where nothing is said. */
#define KAV_CODEPAGE_WESTERN 1252

/* UTF-8 of bytes in a code page; of those without a table here, letters beyond ASCII stay as they are. out has room for
 * KAV_VBATEXT_GROWTH * len. Returns the length. */
size_t kav_vbatext_utf8(uint16_t codepage, const uint8_t *in, size_t len, uint8_t *out);

/* Normalise: out has room for len + 2. Returns the length. */
size_t kav_vbatext_pass(kav_vbatext *t, const uint8_t *in, size_t len, uint8_t *out);

/* What is still held; out has room for 2. */
size_t kav_vbatext_end(kav_vbatext *t, uint8_t *out);

#endif
