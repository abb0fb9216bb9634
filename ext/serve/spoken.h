/* Spoken: the commands of both protocols, cut from bytes. Pure functions: no sockets, no memory of their own.
 *
 * Each returns how many bytes of the buffer the command took, its end included; 0 says that it is not whole yet. Where
 * a command ends and what it means does not depend on how its bytes were cut on their way. *seen is the caller's and
 * starts with 0 for each command: how far the end has been looked for, so that a byte is looked at once however slowly
 * they come. A command of more than `most` bytes is KAV_VERB_TOO_LONG and takes all that is there.
 */
#ifndef KAV_SERVE_SPOKEN_H
#define KAV_SERVE_SPOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "verbs.h"

typedef struct {
    uint32_t verb;
    uint8_t end;             /* CLAMD: the byte behind each reply, '\n' or 0 */
    uint8_t prefix;          /* CLAMD: 'n', 'z', or 0 */
    const uint8_t *option;   /* AVE: the letters */
    const uint8_t *argument; /* both point into the buffer */
    size_t option_len, argument_len;
} kav_line;

/* NULs anywhere are to be skipped: takes them out and returns what is left. */
size_t kav_ave_strip(uint8_t *bytes, size_t len);

/* Lines end with LF or CRLF; verbs in any case. `SCAN letters path`: letters are the first word if it has nothing but
 * letters, else all is the path. */
size_t kav_ave_line(const uint8_t *bytes, size_t len, size_t most, size_t *seen, kav_line *line);

enum kav_clamd_how {
    KAV_CLAMD_SESSION = 1, /* between IDSESSION and END: other verbs, and none without prefix */
    KAV_CLAMD_WHOLE = 2,   /* nothing more will come: what has no prefix needs no end */
};

/* `nVERB ...\n`, `zVERB ...\0`, or the old form without prefix, which ends with LF or NUL; a bare PING, VERSION, RELOAD
 * or SHUTDOWN is whole without. Verbs as they stand here, none in lower case. */
size_t kav_clamd_line(const uint8_t *bytes, size_t len, size_t most, unsigned how, size_t *seen, kav_line *line);

/* INSTREAM: chunks, each 4 bytes of its length (big endian) and so many bytes; length 0 is the end. */
typedef struct {
    uint64_t room;   /* bytes that may still be announced */
    uint32_t left;   /* of the chunk in hand */
    uint32_t length; /* as far as its bytes have come */
    uint8_t have;    /* of the four bytes of a length */
} kav_chunks;

enum kav_chunks_end { KAV_CHUNKS_MORE, KAV_CHUNKS_END, KAV_CHUNKS_TOO_LARGE };

/* Takes the lengths out: what is left of the first *used bytes is the content, which then lies at *content (inside
 * bytes, which are overwritten), *content_len bytes. All bytes are used unless the stream ends among them. */
enum kav_chunks_end kav_chunks_take(kav_chunks *chunks, uint8_t *bytes, size_t len, size_t *used, uint8_t **content,
                                    size_t *content_len);

#endif
