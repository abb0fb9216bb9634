/* Required: a run of plain bytes that every match of a regular expression holds, told from the expression's text. Where
 * it is not to be found in a subject, nothing matches, and that is known much faster than by trying.
 */
#ifndef KAV_REQUIRED_H
#define KAV_REQUIRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KAV_REQUIRED_MIN 3 /* shorter ones are everywhere */
#define KAV_REQUIRED_MAX 16

typedef struct {
    uint8_t bytes[KAV_REQUIRED_MAX];
    size_t length; /* 0: none is known */
} kav_required;

/* The longest run; of an expression that is matched as it is written (no option that ignores case or blanks). Anything
 * out of the ordinary gives none. */
void kav_required_find(const char *text, size_t length, kav_required *out);

/* May the subject hold a match? */
bool kav_required_is_in(const kav_required *required, const uint8_t *subject, size_t length);

#endif
