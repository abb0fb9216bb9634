/* Ovba: how VBA packs its text (MS-OVBA 2.4.1): chunks that unpack to 4096 bytes each, every one for itself.
 *
 *     01 | chunk: length and kind (2 bytes), then groups of a byte of flags and eight letters or copies | chunk | ...
 */
#ifndef KAV_OVBA_H
#define KAV_OVBA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KAV_OVBA_CHUNK 4096

/* Takes what a chunk unpacks to; false: no more is wanted. */
typedef bool (*kav_ovba_taker)(void *context, const uint8_t *bytes, size_t len);

/* Unpack in[0 .. len). False where it is no such text, or breaks off; what came before that was handed on. What follows
 * the last chunk is left alone. */
bool kav_ovba_unpack(const uint8_t *in, size_t len, kav_ovba_taker take, void *context);

#endif
