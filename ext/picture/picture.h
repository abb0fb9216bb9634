/* Picture: an image file as gray pixels, and the hash of what it looks like (ClamAV's fuzzy_img).
 *
 *     kav_picture p;
 *     if (kav_picture_read(&p, bytes, length) == 1) kav_picture_hash(&p, &hash);
 *     kav_picture_free(&p);
 */
#ifndef KAV_PICTURE_H
#define KAV_PICTURE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t width, height;
    uint8_t *gray; /* width * height */
} kav_picture;

enum { KAV_PICTURE_SIDE_MAX = 1 << 14, KAV_PICTURE_AREA_MAX = 1 << 25, KAV_PICTURE_BYTES_MAX = 100 << 20 };

/* 1; 0: no picture, or damaged; -ENOTSUP: in a form that is not read here; -E2BIG: too large; -ENOMEM. */
int kav_picture_read(kav_picture *picture, const uint8_t *bytes, size_t length);
void kav_picture_free(kav_picture *picture);

/* The first bit is the lowest frequency's. 0, or -ENOMEM. */
int kav_picture_hash(const kav_picture *picture, uint64_t *hash);

/* What a colour weighs; alpha is not looked at. */
static inline uint8_t kav_picture_gray(uint8_t red, uint8_t green, uint8_t blue)
{
    return (uint8_t)roundf((float)red * 0.299F + (float)green * 0.587F + (float)blue * 0.114F);
}

#endif
