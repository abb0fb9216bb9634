/* PNG, through libpng: its errors come back by a jump, so nothing here holds anything but the picture and the reader.
 */
#include "picture_parts.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t left;
} input;

static void on_read(png_structp png, png_bytep out, size_t length)
{
    input *in = png_get_io_ptr(png);
    if (length > in->left) png_error(png, "cut short");
    memcpy(out, in->bytes, length);
    in->bytes += length;
    in->left -= length;
}

static void on_error(png_structp png, png_const_charp text)
{
    (void)text;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text;
}

/* Three bytes for each pixel, whatever is in the file. */
static int begin(png_structp png, png_infop info, kav_picture *out)
{
    png_set_user_limits(png, KAV_PICTURE_SIDE_MAX, KAV_PICTURE_SIDE_MAX);
    png_read_info(png, info);
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_channels(png, info) != 3 || png_get_bit_depth(png, info) != 8) return 0;
    return kav_picture_begin(out, png_get_image_width(png, info), png_get_image_height(png, info));
}

static int decode(png_structp png, png_infop info, input *in, kav_picture *out, uint8_t **rgb)
{
    if (setjmp(png_jmpbuf(png))) return 0;
    png_set_read_fn(png, in, on_read);
    int rc = begin(png, info, out);
    if (rc != 1) return rc;
    size_t line = (size_t)out->width * 3;
    int passes = png_get_interlace_type(png, info) == PNG_INTERLACE_NONE ? 1 : 7;
    *rgb = calloc(passes == 1 ? 1 : out->height, line);
    if (!*rgb) return -ENOMEM;
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < out->height; y++) {
            uint8_t *row = *rgb + (passes == 1 ? 0 : y * line);
            png_read_row(png, row, NULL);
            for (uint32_t x = 0; pass == passes - 1 && x < out->width; x++)
                out->gray[(size_t)y * out->width + x] = kav_picture_gray(row[3 * x], row[3 * x + 1], row[3 * x + 2]);
        }
    }
    return 1;
}

int kav_picture_png(kav_picture *picture, const uint8_t *bytes, size_t length)
{
    input in = {bytes, length};
    uint8_t *rgb = NULL;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    int rc = info ? decode(png, info, &in, picture, &rgb) : -ENOMEM;
    png_destroy_read_struct(&png, &info, NULL);
    free(rgb);
    return rc;
}
