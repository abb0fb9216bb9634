/* Lines: the lines that a segment was made from, as digests, so that what is new in a database can be told.
 *
 *     +------------------+ 0
 *     | kav_lines_header |
 *     +------------------+ 64
 *     | digests          | count times 16 bytes, as two numbers, ascending, each once
 *     +------------------+
 *
 * A digest is the beginning of the SHA-256 of the form ("body", "logical", "hash": how the line is read) and the line
 * without its line end: not of the file's name or the line's number. Lines that were not taken have none. Host byte
 * order; kept beside the segment, never for another build.
 */
#ifndef KAV_LINES_H
#define KAV_LINES_H

#include "buffer.h"

#define KAV_LINES_MAGIC "KAVLINE" /* with its NUL: 8 bytes */

typedef struct {
    uint8_t magic[8];
    uint64_t count;
    uint64_t checksum;  /* of everything, with this field taken as 0 */
    uint8_t source[32]; /* as in the segment's header: which segment these are the lines of */
    uint8_t reserved[8];
} kav_lines_header;

typedef struct {
    uint64_t high, low; /* sorted by high, then low */
} kav_line_digest;

_Static_assert(sizeof(kav_lines_header) == 64, "kav_lines_header is in a file");
_Static_assert(sizeof(kav_line_digest) == 16, "kav_line_digest is in a file");

/* A checked set of lines, where it lies. */
typedef struct {
    const kav_lines_header *header;
    const kav_line_digest *digests;
    uint64_t count;
} kav_lines;

/* A text whose lines are looked at: a database file, the checked part that was made from it, and its form. */
typedef struct {
    const uint8_t *part; /* BODY, HASH or EXCEPTION */
    const char *text;
    uint64_t length;
    const char *form; /* its NUL is read too */
    size_t form_length;
} kav_lines_text;

enum kav_lines_error {
    KAV_LINES_OK = 0,
    KAV_LINES_MEMORY = -1,
    KAV_LINES_DAMAGED = -2 /* the part is damaged, or was not made from this text */
};

/* The digests of the text's lines that were taken, into out (empty). */
enum kav_lines_error kav_lines_build(const kav_lines_text *text, kav_buffer *out);

/* Check and adopt; the bytes must outlive it and lie at a multiple of 8. False: damaged. */
bool kav_lines_open(kav_lines *lines, const uint8_t *bytes, uint64_t length);

/* What is in lines and not in older, into out (empty). False: out of memory. */
bool kav_lines_without(const kav_lines *lines, const kav_lines *older, kav_buffer *out);

/* The taken lines of the text that are in wanted[i], each with LF behind it, into out[i] (empty), in their order; one
 * pass over the text for all count of them. */
enum kav_lines_error kav_lines_pick(const kav_lines_text *text, const kav_lines *wanted, kav_buffer *out, size_t count);

#endif
