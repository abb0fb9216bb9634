/* Entities: "&name;" in pages. */
#ifndef KAV_ENTITY_H
#define KAV_ENTITY_H

#include <stddef.h>
#include <stdint.h>

/* The code point that a name stands for, without & and ;. 0: nobody knows that name. Names are case-sensitive. */
uint16_t kav_entity_code(const uint8_t *name, size_t len);

/* How a character that was written as a reference stands in a normalised page: a byte up to 0xfe, else "&#x20ac;".
 * Returns the length; 0 for code 0. */
size_t kav_code_form(uint16_t code, uint8_t form[8]);

#endif
