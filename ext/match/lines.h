/* Lines: the lines that a segment was made from, as digests, so that what is new in a database can be told.
 *
 *     +------------------+ 0
 *     | kav_lines_header |
 *     +------------------+ 64
 *     | kav_line[count]  | ascending, each digest once
 *     +------------------+
 *
 * A digest is SipHash of the line without its line end, 96 bits of 128, under the form as key ("body", "logical",
 * "hash": how the line is read): not of the file's name nor of the line's place in it. Two of 16 million lines have the
 * same one with a probability of 2^-49. Lines that were not taken have none. Host byte order; kept beside the segment,
 * never for another build.
 */
#ifndef KAV_LINES_H
#define KAV_LINES_H

#include "buffer.h"
#include "moved.h"

#define KAV_LINES_MAGIC "KAVLINE" /* with its NUL: 8 bytes */

typedef struct {
    uint8_t magic[8];
    uint64_t count;
    uint64_t checksum;  /* of everything, with this field taken as 0 */
    uint8_t source[32]; /* as in the segment's header: which segment these are the lines of */
    uint8_t reserved[8];
} kav_lines_header;

typedef struct {
    uint64_t high; /* the digest: sorted by high, then low */
    uint32_t low;
    uint32_t row; /* the line's number in its file, from 1 */
} kav_line;

_Static_assert(sizeof(kav_lines_header) == 64, "kav_lines_header is in a file");
_Static_assert(sizeof(kav_line) == 16, "kav_line is in a file");

#define KAV_LINES_FORM 16 /* most bytes of a form */

/* A checked set of lines, where it lies. */
typedef struct {
    const kav_lines_header *header;
    const kav_line *lines;
    uint64_t count;
} kav_lines;

/* A database file, and how its lines are read. */
typedef struct {
    const char *text;
    uint64_t length;
    uint8_t form[KAV_LINES_FORM]; /* filled up with NULs */
} kav_lines_text;

enum kav_lines_error {
    KAV_LINES_OK = 0,
    KAV_LINES_MEMORY = -1,
    KAV_LINES_DAMAGED = -2 /* the part, or the lines, were not made from this text */
};

/* The text's lines that were taken into part (BODY, HASH or EXCEPTION; checked), into out (empty). */
enum kav_lines_error kav_lines_build(const kav_lines_text *text, const uint8_t *part, kav_buffer *out);

/* Check and adopt; the bytes must outlive it and lie at a multiple of 8. False: damaged. */
bool kav_lines_open(kav_lines *lines, const uint8_t *bytes, uint64_t length);

/* What is in lines and not in older, into out (empty). False: out of memory. */
bool kav_lines_without(const kav_lines *lines, const kav_lines *older, kav_buffer *out);

/* The lines themselves, each with LF behind it, into out (empty), in the order of the text. wanted was built from this
 * text, or is what was left of that. */
enum kav_lines_error kav_lines_pick(const kav_lines_text *text, const kav_lines *wanted, kav_buffer *out);

/* ---- for patch.c ----------------------------------------------------------------------------------------------- */

static inline bool kav_line_less(const kav_line *a, const kav_line *b)
{
    return a->high != b->high ? a->high < b->high : a->low < b->low;
}

/* The digest of a line, which may still have its carriage return; not its row. */
void kav_line_digest(const kav_lines_text *text, const char *line, size_t length, kav_line *out);

/* The first line from `at` on that is not less than wanted; lines->count when there is none. */
uint64_t kav_lines_seek(const kav_lines *lines, uint64_t at, const kav_line *wanted);

/* Write a file of lines: the header, lines in order, the header's numbers. False: out of memory. */
bool kav_lines_begin(kav_buffer *out, const uint8_t source[32]);
void kav_lines_finish(kav_buffer *out);

#endif
