#include "buffer.h"

#include <stdlib.h>
#include <string.h>

size_t kav_buffer_add(kav_buffer *b, const void *bytes, size_t n)
{
    if (b->failed) return SIZE_MAX;
    if (n > b->capacity - b->length) {
        size_t wanted = b->length + n;
        if (wanted < n || wanted > SIZE_MAX / 2) {
            b->failed = true;
            return SIZE_MAX;
        }
        size_t capacity = wanted + wanted / 2 + 64;
        uint8_t *grown = realloc(b->data, capacity);
        if (!grown) {
            b->failed = true;
            return SIZE_MAX;
        }
        b->data = grown;
        b->capacity = capacity;
    }
    size_t at = b->length;
    if (bytes && n) memcpy(b->data + at, bytes, n);
    else if (n) memset(b->data + at, 0, n);
    b->length += n;
    return at;
}

void kav_buffer_align(kav_buffer *b, size_t unit)
{
    size_t over = b->length & (unit - 1);
    if (over) kav_buffer_add(b, NULL, unit - over);
}

void kav_buffer_free(kav_buffer *b)
{
    free(b->data);
    *b = (kav_buffer){0};
}
