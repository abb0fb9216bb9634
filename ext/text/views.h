/* Views: a text or a page in the forms that signatures for texts and pages are matched against, one after the other.
 *
 * Texts are seen as plain.h makes them. Pages are seen as markup.h makes them: first the page, then its words, then its
 * scripts, these once as a page and once as a text. Memory is bounded: a text of more than 20 MB, or a page of more
 * than 40 MB - where ClamAV looks at no such form at all - is seen in pieces that overlap. Of a large text only a part
 * is in memory at a time.
 */
#ifndef KAV_VIEWS_H
#define KAV_VIEWS_H

#include "source.h"
#include "type.h"

#include <stdbool.h>

typedef struct {
    /* One view, and the type as which it is to be matched. Non-zero: no more of them. */
    int (*view)(void *context, kav_type type, const uint8_t *bytes, size_t len);
    int (*tick)(void *context); /* non-zero: stop */
    /* For texts of which the form is large: its bytes, piece by piece, to be kept elsewhere than in memory of ours;
     * then all of it is viewed at once, and given up. keep: non-zero: there is no room; before the first byte of a form
     * that is no harm. NULL: there is no such place. */
    int (*keep)(void *context, const uint8_t *bytes, size_t len);
    int (*view_kept)(void *context, kav_type type);
    void *context;
} kav_views;

/* 0, or -ENOMEM: something was not seen. */
int kav_views_text(const kav_source *source, const kav_views *views);

/* inline_data: there are "data:" URIs in it. */
int kav_views_page(const kav_source *source, const kav_views *views, bool *inline_data);

/* A text that turns out to be a page behind what type detection reads. Then it is a page for ClamAV, and no text. */
bool kav_views_late_page(const kav_source *source, const kav_views *views);

#endif
