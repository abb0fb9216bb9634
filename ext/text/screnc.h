/* Microsoft's script encoding (JScript.Encode, VBScript.Encode): "#@~^", six characters that say how long, "==", the
 * text with each character put through one of three tables, six characters of checksum, "==^#~@".
 */
#ifndef KAV_SCRENC_H
#define KAV_SCRENC_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t left; /* characters that are still encoded */
    uint8_t turn;  /* which table comes next */
} kav_screnc;

/* Begin: number is the six characters and two more, as they stand after "#@~^". */
void kav_screnc_start(kav_screnc *s, const uint8_t number[8]);

/* Decode text (which ends with a NUL) in place; what follows the encoded part stays as it is, without checksum and end
 * mark when they stand in the same text. Returns the new length. s->left == 0: the end was reached. */
size_t kav_screnc_decode(kav_screnc *s, uint8_t *text);

#endif
