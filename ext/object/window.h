/* Window: the few bytes of a source that are looked at in turn, read many at a time. */
#ifndef KAV_WINDOW_H
#define KAV_WINDOW_H

#include "source.h"

#include <stdbool.h>

typedef struct {
    const kav_source *source;
    uint64_t at;
    size_t len;
    bool unreadable;
    uint8_t bytes[4096];
} kav_window;

/* The len bytes at an offset (at most the window's); NULL: they are not there. Until the next call. */
static inline const uint8_t *kav_window_look(kav_window *w, uint64_t at, size_t len)
{
    if (at < w->at || at - w->at > w->len || len > w->len - (at - w->at)) {
        ssize_t n = kav_source_read(w->source, at, w->bytes, sizeof w->bytes);
        if (n < 0) w->unreadable = true;
        w->at = at;
        w->len = n < 0 ? 0 : (size_t)n;
        if (len > w->len) return NULL;
    }
    return w->bytes + (at - w->at);
}

#endif
