/* JPEG, through libjpeg: its errors come back by a jump, so nothing here holds anything but the picture and the reader.
 */
#include "picture_parts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

typedef struct {
    struct jpeg_error_mgr manager; /* the first, as libjpeg has the address of this */
    jmp_buf back;
} trouble;

static void on_error(j_common_ptr common)
{
    longjmp(((trouble *)(void *)common->err)->back, 1);
}

static void on_message(j_common_ptr common, int level)
{
    (void)common, (void)level;
}

static int decode(struct jpeg_decompress_struct *jpeg, trouble *t, const uint8_t *bytes, size_t length,
                  kav_picture *out, uint8_t **row)
{
    if (setjmp(t->back)) return 0;
    jpeg_mem_src(jpeg, bytes, length);
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK) return 0;
    jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
    int rc = jpeg->output_components == 3 ? kav_picture_begin(out, jpeg->output_width, jpeg->output_height) : 0;
    if (rc != 1) return rc;
    *row = malloc((size_t)out->width * 3);
    if (!*row) return -ENOMEM;
    for (uint32_t y = 0; y < out->height; y++) {
        JSAMPROW line = *row;
        jpeg_read_scanlines(jpeg, &line, 1);
        for (uint32_t x = 0; x < out->width; x++)
            out->gray[(size_t)y * out->width + x] = kav_picture_gray(line[3 * x], line[3 * x + 1], line[3 * x + 2]);
    }
    return 1;
}

int kav_picture_jpeg(kav_picture *picture, const uint8_t *bytes, size_t length)
{
    struct jpeg_decompress_struct jpeg;
    trouble t;
    uint8_t *row = NULL;
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&t.manager);
    t.manager.error_exit = on_error;
    t.manager.emit_message = on_message;
    if (setjmp(t.back)) return 0;
    jpeg_create_decompress(&jpeg);
    int rc = decode(&jpeg, &t, bytes, length, picture, &row);
    jpeg_destroy_decompress(&jpeg);
    free(row);
    return rc;
}
