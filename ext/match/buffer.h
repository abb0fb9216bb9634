/* Buffer: bytes that grow while a part is being built.
 *
 * After a failed allocation the buffer is "failed": appending does nothing and kav_buffer_ok says no, so that a builder
 * checks once at its end. The contents stay valid and are freed by kav_buffer_free.
 */
#ifndef KAV_BUFFER_H
#define KAV_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *data;
    size_t length, capacity;
    bool failed;
} kav_buffer;

/* Append n bytes (zeros when bytes is NULL); returns where they begin, or SIZE_MAX. */
size_t kav_buffer_add(kav_buffer *b, const void *bytes, size_t n);

/* Zero bytes until the length is a multiple of unit (a power of two). */
void kav_buffer_align(kav_buffer *b, size_t unit);

static inline bool kav_buffer_ok(const kav_buffer *b)
{
    return !b->failed;
}

void kav_buffer_free(kav_buffer *b);

/* A buffer as an array of one type. */
#define KAV_COUNT(buffer, type)   ((uint32_t)((buffer).length / sizeof(type)))
#define KAV_ITEM(buffer, type, i) ((type *)(void *)(buffer).data + (i))

#endif
