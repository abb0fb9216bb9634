/* Lzfu: rich text as letters of Outlook pack it ([MS-OXRTFCP]).
 *
 *     length from here on (4) | length of the text (4) | "LZFu" or "MELA" (4) | CRC (4) | contents
 *
 * Contents of MELA are the text itself. Those of LZFu are groups: a byte of eight flags, the lowest first, and for each
 * a byte of the text (0), or two bytes (1): 12 bits of a place in a ring of the last 4096 bytes, 4 bits of a length
 * less two. A place that is the one where the next byte goes is the end. The ring begins with words that are usual in
 * RTF.
 */
#ifndef KAV_LZFU_H
#define KAV_LZFU_H

#include "opener.h"
#include "window.h"

/* The text of what lies at..at+size is the bytes of the member in hand. Returns the member's reasons. What no program
 * would unpack is given as it is. */
uint32_t kav_lzfu_pass(kav_window *w, uint64_t at, uint64_t size, kav_unpack *u);

#endif
