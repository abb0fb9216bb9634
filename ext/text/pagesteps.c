#include "pagesteps.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int kav_page_steps_start(kav_page_steps *s, const kav_source *source, bool utf16)
{
    memset(s, 0, offsetof(kav_page_steps, text));
    s->text[0] = 0;
    s->source = source;
    s->utf16 = utf16;
    s->size = utf16 ? source->size / 2 : source->size;
    s->window = malloc(utf16 ? 3 * KAV_PAGE_WINDOW : KAV_PAGE_WINDOW);
    return s->window ? 0 : -ENOMEM;
}

void kav_page_steps_free(kav_page_steps *s)
{
    free(s->window);
}

/* The bytes of the page from at on, at least one. 0: none. */
static size_t look(kav_page_steps *s, uint64_t at, const uint8_t **bytes)
{
    if (at >= s->size) return 0;
    if (at < s->base || at >= s->base + s->held) {
        uint8_t *into = s->utf16 ? s->window + KAV_PAGE_WINDOW : s->window;
        unsigned width = s->utf16 ? 2 : 1;
        ssize_t n = kav_source_read(s->source, at * width, into, (size_t)KAV_PAGE_WINDOW * width);
        s->base = at;
        s->held = n < 0 ? 0 : (size_t)n / width;
        /* ClamAV's way to make one byte of two: ASCII stays what it is, of others something is left. */
        for (size_t i = 0; s->utf16 && i < s->held; i++) s->window[i] = (uint8_t)((into[2 * i + 1] << 4) + into[2 * i]);
    }
    if (at >= s->base + s->held) return 0;
    *bytes = s->window + (at - s->base);
    return (size_t)(s->base + s->held - at);
}

/* Fill the step with what stands from at on, NULs left out. Returns how many bytes of the page that took. */
static uint64_t fill(kav_page_steps *s)
{
    uint64_t taken = 0;
    const uint8_t *bytes;
    s->len = 0;
    while (s->len < KAV_PAGE_STEP) {
        size_t n = look(s, s->at + taken, &bytes), room = KAV_PAGE_STEP - s->len;
        if (n == 0) break;
        if (n > room) n = room;
        const uint8_t *nul = memchr(bytes, 0, n);
        size_t plain = nul ? (size_t)(nul - bytes) : n;
        memcpy(s->text + s->len, bytes, plain);
        s->len += plain;
        taken += plain;
        if (nul) taken++;
    }
    return taken;
}

/* A step that the page goes on behind ends with white space, where it has any after its first byte. What is cut off is
 * read again, so many bytes of the page as were cut: with NULs among them, not all that they were. */
static void cut(kav_page_steps *s)
{
    const uint8_t *next;
    if (s->len == 0 || look(s, s->at, &next) == 0 || kav_is_space(*next)) return;
    size_t len = s->len;
    while (len > 1 && !kav_is_space(s->text[len - 1])) len--;
    if (len == 1) return;
    s->at -= s->len - len;
    s->len = len;
}

bool kav_page_steps_next(kav_page_steps *s)
{
    if (s->at >= s->size) return false;
    uint64_t taken = fill(s);
    if (taken == 0) return false;
    s->at += taken;
    cut(s);
    s->text[s->len] = 0;
    return true;
}
