/* Data in a page's own text: "data:image/png;base64,..." in attributes (RFC 2397), each a part. */
#define _GNU_SOURCE
#include "mail.h"
#include "markup.h"
#include "opener.h"

#include <string.h>

enum { ROOM = 4096 };

typedef struct {
    kav_unpack *unpack;
    bool base64, open, stop;
    kav_base64 state;
    size_t len;
    uint8_t bytes[ROOM];
} inline_data;

static bool says_base64(const uint8_t *type, size_t len)
{
    static const char word[] = ";base64";
    return memmem(type, len, word, sizeof word - 1) != NULL;
}

static void on_begin(void *context, const uint8_t *type, size_t len)
{
    inline_data *d = context;
    if (d->stop) return;
    d->stop = kav_unpack_begin(d->unpack, "", 0, UINT64_MAX, KAV_M_PART) != 0;
    d->open = !d->stop;
    d->base64 = says_base64(type, len);
    d->state = (kav_base64){0};
    d->len = 0;
}

static void flush(inline_data *d)
{
    uint8_t plain[ROOM];
    size_t n = d->len;
    d->len = 0;
    if (!d->base64) {
        kav_unpack_data(d->unpack, d->bytes, n); /* what is too much is refused there, and said */
    } else {
        n = kav_base64_decode(&d->state, d->bytes, n, plain);
        kav_unpack_data(d->unpack, plain, n);
    }
}

static void on_data(void *context, const uint8_t *bytes, size_t len)
{
    inline_data *d = context;
    for (size_t i = 0; d->open && i < len; i++) {
        if (d->len == ROOM) flush(d);
        d->bytes[d->len++] = bytes[i];
    }
}

static void on_end(void *context)
{
    inline_data *d = context;
    if (!d->open) return;
    flush(d);
    d->open = false;
    d->stop = kav_unpack_end(d->unpack, 0) != 0;
}

static int on_tick(void *context)
{
    inline_data *d = context;
    return d->stop || kav_unpack_tick(d->unpack) != 0;
}

int kav_open_inline_data(const kav_source *source, kav_type type, kav_unpack *u)
{
    inline_data d = {.unpack = u};
    kav_markup_job job = {.data_begin = on_begin, .data = on_data, .data_end = on_end, .tick = on_tick, .context = &d};
    uint8_t head[KAV_TYPE_TAGS];
    ssize_t n = kav_source_read(source, 0, head, sizeof head);
    (void)type;
    job.utf16 = n > 0 && kav_type_page(head, (size_t)n) == KAV_PAGE_UTF16;
    return kav_markup_run(source, &job);
}
