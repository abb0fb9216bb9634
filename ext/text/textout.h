/* Text out: bytes that a normaliser makes, one after the other, into memory that grows up to a limit. When that many
 * wait, whoever owns the place takes them and leaves room. What no memory could be had for is dropped, and failed says
 * so.
 */
#ifndef KAV_TEXTOUT_H
#define KAV_TEXTOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct kav_text_out kav_text_out;

struct kav_text_out {
    uint8_t *data;
    size_t len, room, limit;
    void (*full)(kav_text_out *out, void *context); /* makes len smaller; NULL: what is beyond the limit is dropped */
    void *context;
    bool failed, cut; /* no memory; something was dropped */
};

/* Room for at least one byte more; false: there is none. */
bool kav_text_out_grow(kav_text_out *out);

/* At least so many bytes that fit behind len without asking again; false: not here, not now. */
bool kav_text_out_reserve(kav_text_out *out, size_t bytes);

static inline void kav_text_put(kav_text_out *out, uint8_t c)
{
    if (out->len < out->room || kav_text_out_grow(out)) out->data[out->len++] = c;
}

void kav_text_write(kav_text_out *out, const void *bytes, size_t len);
void kav_text_out_free(kav_text_out *out);

#endif
