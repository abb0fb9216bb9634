/* TIFF, its first picture, through libtiff: of the packings and colours that ClamAV's library knows. Which way up it is
 * meant, and how a colour is weakened by its alpha, is not looked at. */
#include "picture_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

enum { MEMORY_MAX = 160 << 20 };

typedef struct {
    const uint8_t *bytes;
    size_t length, at;
} input;

static tmsize_t on_read(thandle_t handle, void *out, tmsize_t length)
{
    input *in = (input *)handle;
    size_t left = in->at < in->length ? in->length - in->at : 0, n = (size_t)length < left ? (size_t)length : left;
    if (length <= 0) return 0;
    memcpy(out, in->bytes + in->at, n);
    in->at += n;
    return (tmsize_t)n;
}

static tmsize_t on_write(thandle_t handle, void *bytes, tmsize_t length)
{
    (void)handle, (void)bytes, (void)length;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    input *in = (input *)handle;
    uint64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? in->at : in->length;
    if (offset > in->length || from + offset > in->length) in->at = in->length; /* nothing can be read there */
    else in->at = (size_t)(from + offset);
    return in->at;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return ((input *)handle)->length;
}

static int on_message(TIFF *tiff, void *context, const char *module, const char *format, va_list words)
{
    (void)tiff, (void)context, (void)module, (void)format, (void)words;
    return 1;
}

static bool is_read(TIFF *tiff)
{
    uint16_t packing, colours, samples, bits, kind;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &packing);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &kind);
    if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &colours)) return false;
    if (kind != SAMPLEFORMAT_UINT || (bits != 8 && bits != 16 && (bits != 1 || samples != 1))) return false;
    switch (packing) {
    case COMPRESSION_NONE:
    case COMPRESSION_LZW:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_JPEG: break;
    case COMPRESSION_CCITTFAX4: return bits == 1;
    default: return false;
    }
    switch (colours) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK: return samples == 1;
    case PHOTOMETRIC_RGB: return samples == 3 || samples == 4;
    case PHOTOMETRIC_SEPARATED: return samples == 4 && bits == 8;
    case PHOTOMETRIC_YCBCR: return samples == 3 && packing == COMPRESSION_JPEG;
    default: return false;
    }
}

static int decode(TIFF *tiff, kav_picture *out)
{
    uint16_t alpha = EXTRASAMPLE_ASSOCALPHA, samples, *kinds;
    uint16_t extra = 0;
    uint32_t width, height;
    if (!is_read(tiff) || !TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width) ||
        !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height))
        return 0;
    int rc = kav_picture_begin(out, width, height);
    if (rc != 1) return rc;
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extra, &kinds) && extra == 1)
        TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, 1, &alpha);
    uint32_t *pixels = calloc((size_t)width * height, sizeof *pixels);
    if (!pixels) return -ENOMEM;
    rc = TIFFReadRGBAImageOriented(tiff, width, height, pixels, ORIENTATION_TOPLEFT, 1);
    for (size_t i = 0; rc && i < (size_t)width * height; i++)
        out->gray[i] = kav_picture_gray(TIFFGetR(pixels[i]), TIFFGetG(pixels[i]), TIFFGetB(pixels[i]));
    free(pixels);
    return rc ? 1 : 0;
}

int kav_picture_tiff(kav_picture *picture, const uint8_t *bytes, size_t length)
{
    input in = {bytes, length, 0};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return -ENOMEM;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, MEMORY_MAX);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_message, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_message, NULL);
    TIFF *tiff =
        TIFFClientOpenExt("", "rm", (thandle_t)&in, on_read, on_write, on_seek, on_close, on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    int rc = tiff ? decode(tiff, picture) : 0;
    if (tiff) TIFFClose(tiff);
    return rc;
}
