#include "reader.h"

#include <string.h>

void kav_reader_start(kav_reader *r, const kav_source *source, uint64_t size)
{
    r->source = source;
    r->size = size;
    r->data = source->memory ? source->memory : r->buffer;
    r->base = 0;
    r->end = source->memory ? size : 0;
    r->data_end = 0;
    r->shrunk = false;
    r->error = 0;
}

void kav_reader_rewind(kav_reader *r)
{
    if (r->base > 0) r->base = r->end = 0;
    r->data_end = 0;
}

void kav_reader_need(kav_reader *r, uint64_t from, uint64_t to)
{
    if (to > r->size) to = r->size;
    if (r->source->memory || to <= r->end) return;
    if (from >= r->end || from < r->base) {
        r->base = r->end = from;
    } else if (from > r->base) {
        memmove(r->buffer, r->buffer + (from - r->base), (size_t)(r->end - from));
        r->base = from;
    }
    if (to - r->base > r->capacity) to = r->base + r->capacity;
    size_t wanted = (size_t)(to - r->end);
    ssize_t got = kav_source_read(r->source, r->end, r->buffer + (r->end - r->base), wanted);
    if (got < 0) r->error = (int)-got;
    else r->end += (uint64_t)got;
    if (got < 0 || (size_t)got < wanted) {
        r->shrunk = got >= 0;
        r->size = r->end; /* what was there; the rest of the layer is gone */
    }
}

uint64_t kav_reader_hole(kav_reader *r, uint64_t offset)
{
    if (r->source->memory || offset < r->data_end) return offset;
    uint64_t data = kav_source_next_data(r->source, offset);
    if (data > r->size) data = r->size;
    if (data <= offset) {
        uint64_t hole = kav_source_next_hole(r->source, offset);
        r->data_end = hole > offset ? hole : offset + 1;
        return offset;
    }
    return data;
}
