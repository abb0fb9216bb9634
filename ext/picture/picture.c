#include "picture_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kav_picture_begin(kav_picture *picture, uint32_t width, uint32_t height)
{
    if (!width || !height) return 0;
    if (width > KAV_PICTURE_SIDE_MAX || height > KAV_PICTURE_SIDE_MAX ||
        (uint64_t)width * height > KAV_PICTURE_AREA_MAX)
        return -E2BIG;
    *picture = (kav_picture){width, height, malloc((size_t)width * height)};
    return picture->gray ? 1 : -ENOMEM;
}

int kav_picture_read(kav_picture *picture, const uint8_t *bytes, size_t length)
{
    *picture = (kav_picture){0};
    if (length > 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) return kav_picture_png(picture, bytes, length);
    if (length > 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) return kav_picture_jpeg(picture, bytes, length);
    if (length > 6 && memcmp(bytes, "GIF8", 4) == 0) return kav_picture_gif(picture, bytes, length);
    if (length > 2 && memcmp(bytes, "BM", 2) == 0) return kav_picture_bmp(picture, bytes, length);
    if (length > 4 && (memcmp(bytes, "II*", 4) == 0 || memcmp(bytes, "MM\0*", 4) == 0))
        return kav_picture_tiff(picture, bytes, length);
    return -ENOTSUP;
}

void kav_picture_free(kav_picture *picture)
{
    free(picture->gray);
    *picture = (kav_picture){0};
}
