/* The forms of pictures. Not for other folders: picture.h is the door. */
#ifndef KAV_PICTURE_PARTS_H
#define KAV_PICTURE_PARTS_H

#include "picture.h"

/* Room for the pixels: 1, -E2BIG, -ENOMEM; 0: no pixels at all. */
int kav_picture_begin(kav_picture *picture, uint32_t width, uint32_t height);

/* Each as kav_picture_read, for bytes that begin like one of theirs. */
int kav_picture_png(kav_picture *picture, const uint8_t *bytes, size_t length);
int kav_picture_jpeg(kav_picture *picture, const uint8_t *bytes, size_t length);
int kav_picture_gif(kav_picture *picture, const uint8_t *bytes, size_t length);
int kav_picture_bmp(kav_picture *picture, const uint8_t *bytes, size_t length);
int kav_picture_tiff(kav_picture *picture, const uint8_t *bytes, size_t length);

#endif
