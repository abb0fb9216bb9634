/* Source: the bytes of one layer (a file, a member in memory, a member in the spill file), read at any offset.
 *
 * A source never owns its descriptor or memory. Reading past the end gives fewer bytes, down to 0; a file that grows or
 * shrinks meanwhile is the caller's to notice (kav_source_read only reports what it got).
 */
#ifndef KAV_SOURCE_H
#define KAV_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct {
    const uint8_t *memory; /* set: the bytes; else fd is read */
    int fd;
    uint64_t base; /* where the layer begins in fd (spill file); 0 for files */
    uint64_t size; /* bytes in the layer when it was opened */
} kav_source;

/* Read up to len bytes at offset into out. Returns the count (short only at the end), or -errno. Restarts on EINTR. */
ssize_t kav_source_read(const kav_source *s, uint64_t offset, void *out, size_t len);

/* The next offset >= offset that may hold data (SEEK_DATA); s->size when only a hole follows; offset itself where the
 * file system cannot tell. */
uint64_t kav_source_next_data(const kav_source *s, uint64_t offset);

/* The end of the data that begins at offset (SEEK_HOLE); s->size where the file system cannot tell. */
uint64_t kav_source_next_hole(const kav_source *s, uint64_t offset);

#endif
