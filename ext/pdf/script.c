/* JavaScript that stands in a string behind /JavaScript ... /JS. What follows the string up to the next value goes with
 * it: there are writers that do not escape brackets. */
#define _GNU_SOURCE /* memmem */

#include "pdf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    kav_pdf *pdf;
    kav_pdf_object object;
    const uint8_t *bytes;
    size_t len;
    bool begun;
} passing;

/* Non-zero: stop. */
static int put(passing *w, const uint8_t *bytes, size_t len)
{
    if (len == 0) return 0;
    if (!w->begun && kav_pdf_part_begin(w->pdf, &w->object, "") != 0) return 1;
    w->begun = true;
    return kav_unpack_data(w->pdf->unpack, bytes, len);
}

static int put_rest(passing *w, size_t at)
{
    size_t to = kav_pdf_next(w->bytes, at, w->len);
    if (at >= w->len) return 0;
    if (to == w->len) to--;
    const uint8_t *close = memchr(w->bytes + at, ')', w->len - at);
    if (close && (size_t)(close - w->bytes) < to) to = (size_t)(close - w->bytes);
    while (to > at && w->bytes[to - 1] == ' ') to--;
    return to > at ? put(w, w->bytes + at - 1, to - at + 1) : 0;
}

/* The script behind a /JavaScript that ends at *at, which moves behind it. Non-zero: stop. */
static int take_script(passing *w, size_t *at)
{
    size_t len, end = *at;
    bool open = w->pdf->lock.open && !w->object.packed;
    size_t value = kav_pdf_value(w->bytes, *at, w->len, "/JS");
    uint8_t *script = kav_pdf_string(w->bytes, value, w->len, !open, &len, &end);
    if (!script) return 0;
    *at = end;
    if (open) len = kav_pdf_lock_string(w->pdf, &w->object, script, len);
    int rc = put(w, script, len);
    free(script);
    return rc ? rc : put_rest(w, end);
}

int kav_pdf_script_pass(kav_pdf *p, uint32_t object)
{
    passing w = {.pdf = p, .object = p->objects[object]};
    w.bytes = kav_pdf_load(p, &w.object, &w.len);
    if (!w.bytes) return -ENOMEM;
    size_t at = 0;
    int stop = 0;
    while (at < w.len && !stop) {
        const uint8_t *hit = memmem(w.bytes + at, w.len - at, "/JavaScript", 11);
        if (!hit) break;
        at = (size_t)(hit - w.bytes) + 11;
        stop = take_script(&w, &at);
    }
    if (w.begun) return kav_unpack_end(p->unpack, 0);
    return stop;
}
