/* Find: a few bytes in many. The C library's memmem looks at one place after the other. */
#ifndef KAV_FIND_H
#define KAV_FIND_H

#include <stddef.h>
#include <stdint.h>

/* Where word, of at least one byte, is first found in bytes; NULL: nowhere. */
const uint8_t *kav_find(const uint8_t *bytes, size_t length, const void *word, size_t word_len);

#endif
