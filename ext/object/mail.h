/* Mail: what the files of the mail openers share (mail.c mbox.c inline.c loose.c transfer.c linefind.c). */
#ifndef KAV_MAIL_H
#define KAV_MAIL_H

#include "opener.h"

#include <stdbool.h>

/* linefind.c: the first line that begins after from (from 0 on: at 0 too) with these bytes. 1 and *at, 0 = none;
 * -1 = stop (time is up, or unreadable, which is flagged). */
int kav_line_find(const kav_source *source, uint64_t from, const char *prefix, size_t len, kav_unpack *u, uint64_t *at);

/* linefind.c: hand over a range of the source as data of the open member. Non-zero: no more is wanted. */
int kav_range_copy(const kav_source *source, uint64_t from, uint64_t to, kav_unpack *u);

/* inline.c: finds uuencoded and yEnc blocks in the text that is fed and makes members of them. */
typedef struct kav_inline kav_inline;
kav_inline *kav_inline_new(kav_unpack *u);                             /* NULL: out of memory */
int kav_inline_feed(kav_inline *in, const uint8_t *bytes, size_t len); /* non-zero: stop */
int kav_inline_end(kav_inline *in);                                    /* the text is over; frees. Non-zero: stop */

/* A file of its own: a block without its end is damage. As an opener returns. */
int kav_inline_file(const kav_source *source, kav_unpack *u);

/* Whether fed text may hold such a block: ask with each piece in turn, *state begins as 0. */
bool kav_inline_hint(uint32_t *state, const uint8_t *bytes, size_t len);

/* base64.c: zero it at the start. Characters that are not of the alphabet are passed over, so are equals signs where no
 * padding can be, and after padding it goes on with the next group: some mail readers do, and what they show must not
 * escape. */
typedef struct {
    uint32_t bits, count; /* left over from the last characters */
    uint32_t pads;        /* equals signs since then */
} kav_base64;

/* Decode into out, which has room for len bytes. How many bytes there are. in and out may be the same. */
size_t kav_base64_decode(kav_base64 *state, const uint8_t *in, size_t len, uint8_t *out);

/* transfer.c: tells every content that may be encoded, and every block of inline.c, from its first line to its last or
 * the next block. found: non-zero stops. Non-zero: it stopped, or -ENOMEM. */
enum kav_transfer { KAV_TRANSFER_BASE64, KAV_TRANSFER_QUOTED, KAV_TRANSFER_INLINE };
typedef int (*kav_transfer_found)(void *context, uint64_t body, uint64_t end, enum kav_transfer how);
int kav_transfer_find(const kav_source *source, kav_unpack *u, kav_transfer_found found, void *context);

/* loose.c: for messages whose structure is in doubt, every range that could be a MIME part. Non-zero: stop. */
int kav_loose_parts(const kav_source *source, kav_unpack *u);

#endif
