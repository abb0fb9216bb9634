/* Flate: zlib's streams. Whatever comes out before damage counts; only a stream of which nothing comes is none. */
#include "filter.h"

#include <errno.h>
#include <zlib.h>

enum { HELD = 4096 };

typedef struct {
    z_stream z;
    bool skipped;
    size_t held_len; /* input before anything came out */
    uint8_t held[HELD];
} flate_state;

static int flate_begin(kav_pdf_stage *s, const void *argument)
{
    (void)argument;
    return inflateInit(&((flate_state *)s->state)->z) == Z_OK ? 0 : -ENOMEM;
}

static void flate_free(kav_pdf_stage *s)
{
    inflateEnd(&((flate_state *)s->state)->z);
}

static bool is_silent(const kav_pdf_stage *s)
{
    return s->produced == 0 && s->waiting == 0;
}

static void inflate_bytes(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    z_stream *z = &((flate_state *)s->state)->z;
    z->next_in = (Bytef *)(uintptr_t)bytes;
    z->avail_in = (uInt)len;
    while (!s->ended && !s->chain->stopped) {
        z->next_out = s->out + s->waiting;
        z->avail_out = (uInt)(sizeof s->out - s->waiting);
        int status = inflate(z, Z_NO_FLUSH);
        s->waiting = sizeof s->out - z->avail_out;
        bool full = z->avail_out == 0;
        if (full) kav_pdf_flush(s);
        if (status == Z_BUF_ERROR || (status == Z_OK && !z->avail_in && !full)) return;
        if (status != Z_OK) s->ended = true;
    }
}

/* Some writers put blanks before the stream. Once more, from the next line on, of what is held. */
static void try_next_line(kav_pdf_stage *s, flate_state *f)
{
    size_t at = 0;
    while (at < f->held_len && f->held[at] != '\n' && f->held[at] != '\r') at++;
    while (at < f->held_len && (f->held[at] == '\n' || f->held[at] == '\r')) at++;
    f->skipped = true;
    if (inflateReset(&f->z) != Z_OK) return;
    s->ended = false;
    inflate_bytes(s, f->held + at, f->held_len - at);
}

static void flate_take(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    flate_state *f = s->state;
    size_t keep = 0;
    if (is_silent(s) && !f->skipped) {
        if (f->held_len == 0 && bytes[0] == '\r') bytes++, len--;
        size_t room = HELD - f->held_len;
        keep = len < room ? len : room;
        for (size_t i = 0; i < keep; i++) f->held[f->held_len + i] = bytes[i];
        f->held_len += keep;
    }
    if (len) inflate_bytes(s, bytes, len);
    if (s->ended && is_silent(s) && !f->skipped) {
        try_next_line(s, f);
        inflate_bytes(s, bytes + keep, len - keep);
    }
}

const kav_pdf_filter kav_pdf_flate = {sizeof(flate_state), flate_begin, flate_take, NULL, flate_free};
