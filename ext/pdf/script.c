/* JavaScript that stands in a string behind /JavaScript ... /JS. What follows the string up to the next value goes with
 * it: there are writers that do not escape brackets. ClamAV leaves escapes as they are unless the document is
 * encrypted, and signatures are made for that; where there are any, a second part has the script as it runs. */
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
    const char *what; /* of its part's name */
    bool plain;       /* escapes stay */
    bool begun, escaped;
} passing;

/* Non-zero: stop. */
static int put(passing *w, const uint8_t *bytes, size_t len)
{
    if (len == 0) return 0;
    if (!w->begun && kav_pdf_part_begin(w->pdf, &w->object, w->what) != 0) return 1;
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
    uint8_t *script = kav_pdf_string(w->bytes, value, w->len, w->plain && !open, &len, &end);
    if (!script) return 0;
    if (w->plain && !open && w->bytes[value] == '(' && memchr(script, '\\', len)) w->escaped = true;
    *at = end;
    if (open) len = kav_pdf_lock_string(w->pdf, &w->object, script, len);
    int rc = put(w, script, len);
    free(script);
    return rc ? rc : put_rest(w, end);
}

/* All scripts of the object, as one part. Non-zero: stop. */
static int pass_scripts(passing *w)
{
    size_t at = 0;
    int stop = 0;
    while (at < w->len && !stop) {
        const uint8_t *hit = memmem(w->bytes + at, w->len - at, "/JavaScript", 11);
        if (!hit) break;
        at = (size_t)(hit - w->bytes) + 11;
        stop = take_script(w, &at);
    }
    return w->begun ? kav_unpack_end(w->pdf->unpack, 0) : stop;
}

int kav_pdf_script_pass(kav_pdf *p, uint32_t object)
{
    passing w = {.pdf = p, .object = p->objects[object], .what = "", .plain = true};
    w.bytes = kav_pdf_load(p, &w.object, &w.len);
    if (!w.bytes) return -ENOMEM;
    int rc = pass_scripts(&w);
    if (rc != 0 || !w.escaped) return rc;
    w.what = " script";
    w.plain = w.begun = false;
    return pass_scripts(&w);
}
