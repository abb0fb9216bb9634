/* The parts of type detection. Not for other folders: type.h is the door. */
#ifndef KAV_TYPE_PARTS_H
#define KAV_TYPE_PARTS_H

#include "type.h"

#include <stdbool.h>
#include <string.h>

/* The bytes at hand; every question asks for room first. */
typedef struct {
    const uint8_t *head;
    size_t len;
    uint64_t size; /* of the layer */
} kav_head;

/* How far into a layer ClamAV looks when it decides what the layer is. */
#define KAV_TYPE_NEAR 1024

static inline bool kav_head_has(const kav_head *h, size_t at, const void *bytes, size_t len)
{
    return at <= h->len && len <= h->len - at && memcmp(h->head + at, bytes, len) == 0;
}

/* A string literal at an offset; its final NUL is not compared. */
#define KAV_HEAD_AT(h, at, literal) kav_head_has((h), (at), (literal), sizeof(literal) - 1)

/* binary.c: formats with a signature of their own bytes. KAV_FMT_UNKNOWN = none of them. */
kav_type kav_type_binary(const kav_head *h);

/* ooxml.c: a document of Office, or KAV_FMT_ZIP. */
enum kav_format kav_type_zip(const kav_head *h);

/* text.c */
enum kav_text_kind { KAV_TEXT_NONE = 0, KAV_TEXT_BYTES = 1, KAV_TEXT_UTF16LE = 2, KAV_TEXT_UTF16BE = 3 };

/* Whether the nearest bytes look like text in any 8-bit encoding, or UTF-16 with its mark. */
enum kav_text_kind kav_text_kind_of(const kav_head *h);
kav_type kav_type_text(const kav_head *h, enum kav_text_kind kind);
kav_type kav_type_data(const kav_head *h); /* neither binary format nor text */

/* message.c: KAV_FMT_MAIL, KAV_FMT_MBOX or KAV_FMT_UNKNOWN. */
enum kav_format kav_type_message(const kav_head *h);

/* The length of the line that begins at from, without its line end; *next is where the following one begins. */
static inline size_t kav_head_line(const kav_head *h, size_t from, size_t *next)
{
    const uint8_t *stop = from < h->len ? memchr(h->head + from, '\n', h->len - from) : NULL;
    size_t end = stop ? (size_t)(stop - h->head) : h->len;
    *next = stop ? end + 1 : h->len;
    if (end > from && h->head[end - 1] == '\r') end--;
    return end > from ? end - from : 0;
}

#endif
