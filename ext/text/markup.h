/* Markup: a page (HTML) in the forms that ClamAV's signatures for HTML (target 3) expect, made in one pass and in
 * bounded memory.
 *
 *     page    small letters, no comments, white space trimmed, quotes and references made alike; scripts stay in it
 *     words   what a reader sees: no tags, no scripts; the places of links and images
 *     script  the text of each <script> in turn, decoded where it was encoded, as it stands in the page
 *     data    what "data:" URIs in attributes hold (RFC 2397), percent signs undone, base64 left as it is
 *
 * The bytes are what ClamAV makes of the same page, by the same steps of at most 8,191 bytes: where one step ends is to
 * be seen in the result (white space that begins a step is lost), and signatures were made from such results.
 */
#ifndef KAV_MARKUP_H
#define KAV_MARKUP_H

#include "source.h"
#include "textout.h"

typedef struct {
    kav_text_out *page, *words;                                     /* NULL: not wanted */
    void (*script)(void *context, const uint8_t *text, size_t len); /* some of a script; NULL: not wanted */
    void (*script_end)(void *context);
    /* A data URI: its type as it stands there, then bytes, then its end. NULL: not wanted. */
    void (*data_begin)(void *context, const uint8_t *type, size_t len);
    void (*data)(void *context, const uint8_t *bytes, size_t len);
    void (*data_end)(void *context);
    int (*tick)(void *context); /* non-zero: stop */
    void *context;
    bool utf16;       /* the page is UTF-16, little-endian */
    bool inline_data; /* out: it has data URIs */
} kav_markup_job;

/* 0, or -ENOMEM. What cannot be read ends the page. */
int kav_markup_run(const kav_source *source, kav_markup_job *job);

#endif
