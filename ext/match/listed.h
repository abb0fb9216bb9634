/* Listed: the small kinds of rules, which are gone through one by one: signatures of what containers say of their
 * members, passwords, formats by their first bytes, icons (icons.h), rules for certificates (trust.h). */
#ifndef KAV_LISTED_H
#define KAV_LISTED_H

#include "image.h"

/* Open a part of one of these kinds, checked as kav_part_check does, for kav_image_listed. False: an index points
 * outside, or a pattern is none. *memory: it is because there is none left. */
bool kav_listed_open(kav_image_listed *listed, const uint8_t *part, bool *memory);
void kav_listed_close(kav_image_listed *listed);

/* What the bytes say by the lists, where own does not say the same already. */
kav_type kav_listed_type(const kav_image *image, const uint8_t *head, size_t length, kav_type own);

#endif
