/* Seek: where in a layer something else seems to begin: an archive behind a program, a program inside a document.
 *
 * Looked for while the layer's window is in the cache. What is found here is only a few bytes that look like it;
 * whoever opens it checks more (ext/object/embedded.c).
 */
#ifndef KAV_SEEK_H
#define KAV_SEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kav_seek_kind {
    KAV_SEEK_RAR = 0,
    KAV_SEEK_7Z = 1,
    KAV_SEEK_CAB = 2,
    KAV_SEEK_ZIP = 3, /* only the first: an archive has many such places */
    KAV_SEEK_PE = 4,  /* the place of a "PE\0\0" that an "MZ" before it points to */
    KAV_SEEK_COUNT = 5
};

#define KAV_SEEK_MAX 16 /* places of one kind */

typedef struct {
    uint64_t offset[KAV_SEEK_COUNT][KAV_SEEK_MAX]; /* ascending */
    uint32_t count[KAV_SEEK_COUNT];
    bool more[KAV_SEEK_COUNT]; /* there were further places, which are not kept */
} kav_seek;

/* From "MZ" to the "PE" that belongs to it, where a program inside other data is looked for. The field that says so
 * ends at 64. */
enum { KAV_SEEK_NEAREST = 64, KAV_SEEK_FARTHEST = 302 };

/* How far before a "PE" at p[length] the "MZ" stands that points to it; 0: nowhere. length: bytes that are there. */
size_t kav_seek_program(const uint8_t *p, size_t length);

/* Look at the places from .. to of a layer, of which data holds what stands from base on, to `to` at least. Places that
 * begin a little before from are found too, when they could not be seen before. Offset 0 is no place. */
void kav_seek_window(kav_seek *seek, const uint8_t *data, uint64_t base, uint64_t from, uint64_t to);

#endif
