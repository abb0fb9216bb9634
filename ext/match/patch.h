/* Patch: a large database file that has changed a little is not compiled again. What was compiled from its older text,
 * the base, stays as it is, the lines that are new are compiled into a small segment beside it, and a table says where
 * the base's lines stand now.
 *
 *     older text           text of now          moved    fresh text
 *       1  A  ------------>  1  A               1 -> 1     1
 *       2  B  (gone)         2  D  (fresh)      2 -> 0     2  D
 *       3  C  ------------>  3  C               3 -> 3     3
 *
 * In the fresh text the kept lines are empty, so that its readers number the others as they stand in the file. Lines
 * are compared by the digests of lines.h: what was not taken into the base is fresh, and of equal lines one is kept.
 */
#ifndef KAV_PATCH_H
#define KAV_PATCH_H

#include "lines.h"

typedef struct {
    kav_buffer fresh; /* the fresh text */
    kav_buffer moved; /* uint32_t by line of the base: see moved.h */
    uint32_t kept;
} kav_patch;

/* Compare a text with the lines of the base, into out (empty; kav_patch_free frees it, whatever is returned). */
enum kav_lines_error kav_patch_split(const kav_lines_text *text, const kav_lines *base, kav_patch *out);
void kav_patch_free(kav_patch *patch);

/* The lines that were taken from the text of now, as kav_lines_build gives them for a segment made from all of it: the
 * base's that are kept and the fresh ones. source: the digest of that segment. */
enum kav_lines_error kav_patch_lines(const kav_lines *base, const kav_moved *moved, const kav_lines *fresh,
                                     const uint8_t source[32], kav_buffer *out);

/* A PATCH part in out (empty): parts are the base, then the segment of the fresh lines where there are any. False: out
 * of memory. */
bool kav_patch_write(const uint8_t *const *parts, uint32_t count, const kav_moved *moved, const uint8_t source[32],
                     kav_buffer *out);

#endif
