/* Plain text as ClamAV's signatures for texts (target 7) expect it: ASCII letters small, every run of white space one
 * blank, all other control characters and all bytes from 0x80 on left out. UTF-16 loses its NULs this way and becomes
 * ASCII; no encoding is looked at.
 */
#ifndef KAV_PLAIN_H
#define KAV_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Normalise len bytes into out, which has room for len. space: whether the last byte written before was a blank; false
 * at the beginning of a text. Returns how many bytes were written. */
size_t kav_plain(const uint8_t *in, size_t len, uint8_t *out, bool *space);

/* The same on any processor. */
size_t kav_plain_narrow(const uint8_t *in, size_t len, uint8_t *out, bool *space);

#endif
