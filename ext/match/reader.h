/* Reader: the window through which a layer is looked at. Bytes in memory are looked at where they lie. */
#ifndef KAV_READER_H
#define KAV_READER_H

#include "source.h"

#include <stdbool.h>

typedef struct {
    uint8_t *buffer; /* the session's */
    size_t capacity;
    const kav_source *source;
    uint64_t size;       /* bytes to be read: the source's size or the limit; less when the file has shrunk */
    const uint8_t *data; /* bytes at base .. end of the layer */
    uint64_t base, end;
    uint64_t data_end; /* up to here SEEK_HOLE has promised data */
    bool shrunk;
    int error; /* errno of a read that failed; size is then what came before */
} kav_reader;

void kav_reader_start(kav_reader *r, const kav_source *source, uint64_t size);

/* Begin at offset 0 again; what is still there is not read twice. */
void kav_reader_rewind(kav_reader *r);

/* Have from .. to (cut at size) in data. What lies before from may be given up. to - from fits the buffer. */
void kav_reader_need(kav_reader *r, uint64_t from, uint64_t to);

/* Where the hole that begins at offset ends; offset itself where there is data. */
uint64_t kav_reader_hole(kav_reader *r, uint64_t offset);

#endif
