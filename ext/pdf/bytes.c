#include "find.h"
#include "pdf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 128 << 10, BEHIND = 256, STRIDE = 1 << 20 };

int kav_pdf_bytes_open(kav_pdf_bytes *b, const kav_source *source, uint64_t base, kav_unpack *u)
{
    *b = (kav_pdf_bytes){.source = source, .unpack = u, .base = base, .size = source->size - base};
    if (source->memory) {
        b->window = source->memory + base;
        b->window_len = b->size;
        return 0;
    }
    b->buffer = malloc(WINDOW);
    b->window = b->buffer;
    return b->buffer ? 0 : -ENOMEM;
}

void kav_pdf_bytes_close(kav_pdf_bytes *b)
{
    free(b->buffer);
    b->buffer = NULL;
}

/* Bring [at, at + len) into the window, with a little of what is before it. False: it is not all there. */
static bool bring(kav_pdf_bytes *b, uint64_t at, size_t len)
{
    if (at >= b->window_at && at - b->window_at + len <= b->window_len) return true;
    if (!b->buffer || at + len > b->size) return false;
    if (kav_unpack_tick(b->unpack) != 0) b->late = true;
    if (b->late) return false;
    b->window_at = at > BEHIND ? at - BEHIND : 0;
    ssize_t n = kav_source_read(b->source, b->base + b->window_at, b->buffer, WINDOW);
    if (n < 0) kav_unpack_flag(b->unpack, KAV_R_UNREADABLE);
    b->window_len = n > 0 ? (size_t)n : 0;
    return at - b->window_at + len <= b->window_len;
}

uint64_t kav_pdf_find(kav_pdf_bytes *b, uint64_t from, uint64_t to, const char *word)
{
    size_t len = strlen(word);
    if (to > b->size) to = b->size;
    while (from < to && to - from >= len) {
        if (!bring(b, from, len)) return KAV_PDF_NONE;
        uint64_t end = b->window_at + b->window_len;
        if (end > to) end = to;
        if (end - from > STRIDE) end = from + STRIDE;
        const uint8_t *begin = b->window + (from - b->window_at);
        const uint8_t *hit = kav_find(begin, end - from, word, len);
        if (hit) return from + (uint64_t)(hit - begin);
        from = end - (len - 1);
        if (!b->buffer && kav_unpack_tick(b->unpack) != 0) b->late = true;
        if (b->late) return KAV_PDF_NONE;
    }
    return KAV_PDF_NONE;
}

int kav_pdf_byte(kav_pdf_bytes *b, uint64_t at)
{
    return bring(b, at, 1) ? b->window[at - b->window_at] : -1;
}

size_t kav_pdf_read(kav_pdf_bytes *b, uint64_t at, void *out, size_t len)
{
    if (at >= b->size) return 0;
    ssize_t n = kav_source_read(b->source, b->base + at, out, len);
    if (n < 0) kav_unpack_flag(b->unpack, KAV_R_UNREADABLE);
    return n > 0 ? (size_t)n : 0;
}
