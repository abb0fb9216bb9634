/* Page steps: a page in pieces of at most 8,191 bytes without NULs, cut behind white space, as ClamAV reads pages. */
#ifndef KAV_PAGESTEPS_H
#define KAV_PAGESTEPS_H

#include "source.h"

#include <stdbool.h>

#define KAV_PAGE_STEP   8191
#define KAV_PAGE_WINDOW (64u << 10)

static inline bool kav_is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

typedef struct {
    const kav_source *source;
    uint64_t size, at; /* of the page, as it is read: half of the source's when that is UTF-16 */
    bool utf16;
    size_t len;
    uint8_t *window; /* KAV_PAGE_WINDOW bytes of the page from base on */
    uint64_t base;
    size_t held;
    uint8_t text[KAV_PAGE_STEP + 1]; /* the step, with a NUL behind it; may be written to */
} kav_page_steps;

int kav_page_steps_start(kav_page_steps *s, const kav_source *source, bool utf16); /* 0, -ENOMEM */
void kav_page_steps_free(kav_page_steps *s);

/* The next step; false: the page is over, or cannot be read. */
bool kav_page_steps_next(kav_page_steps *s);

#endif
