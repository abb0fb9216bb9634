/* An icon's bitmap: header, palette, the picture (from the lowest line up), then a mask of what is transparent. */
#include "exe_parts.h"
#include "icon_parts.h"

#include <errno.h>
#include <stdlib.h>

enum { HEADER = 40, SMALLEST = 16, OPAQUE = 0xff };

#define ALPHA 0xff000000u

typedef struct {
    uint32_t width, height, depth;
    uint32_t line, mask_line; /* bytes of a line */
    uint8_t palette[4 * 256];
    const uint8_t *bytes; /* the picture, then the mask */
    uint32_t *pixels;     /* width * height, alpha in the highest byte */
} bitmap;

static bool is_square_enough(uint32_t width, uint32_t height)
{
    if (width > KAV_ICON_PICTURE_MAX || height > KAV_ICON_PICTURE_MAX || width < SMALLEST || height < SMALLEST)
        return false;
    return width >= height * 3 / 4 && height >= width * 3 / 4;
}

/* *at: from the header to what lies behind it and the palette. */
static bool read_header(bitmap *b, const kav_source *source, uint64_t *at)
{
    uint8_t h[HEADER];
    if (!kav_exe_bytes(source, *at, h, sizeof h) || kav_le32(h) < HEADER) return false;
    b->width = kav_le32(h + 4);
    b->height = kav_le32(h + 8) / 2; /* picture and mask */
    b->depth = kav_le16(h + 14);
    if (!is_square_enough(b->width, b->height)) return false;
    *at = (uint32_t)(*at + kav_le32(h)); /* ClamAV's offsets have 32 bits */
    switch (b->depth) {
    case 1:
    case 4:
    case 8: {
        uint32_t length = 4u << b->depth;
        if (!kav_exe_bytes(source, *at, b->palette, length)) return false;
        *at = (uint32_t)(*at + length);
        break;
    }
    case 16:
    case 24:
    case 32: break;
    default: return false;
    }
    b->line = (b->width * b->depth + 31) / 32 * 4;
    b->mask_line = (b->width + 31) / 32 * 4;
    return true;
}

/* 16 bits: five for each colour. Red and green reach too high, which ClamAV does and signatures go by. */
static uint32_t colour_of_16(const uint8_t *p)
{
    uint32_t blue = p[0] & 0x1f, green = p[0] >> 5 | (p[1] & 3) << 3, red = p[1] & 0xfc;
    return (blue << 3 | blue >> 2) | (green << 3 | green >> 2) << 11 | (red << 3 | red >> 2) << 17;
}

static uint32_t colour_at(const bitmap *b, const uint8_t *line, uint32_t x)
{
    uint32_t bit = x * b->depth;
    const uint8_t *p = line + bit / 8;
    switch (b->depth) {
    case 16: return colour_of_16(p);
    case 24: return kav_le16(p) | (uint32_t)p[2] << 16;
    case 32: return kav_le32(p);
    default: {
        uint32_t index = p[0] >> (8 - b->depth - bit % 8) & ((1u << b->depth) - 1);
        return kav_le32(b->palette + 4 * index);
    }
    }
}

static void read_colours(bitmap *b)
{
    for (uint32_t y = 0; y < b->height; y++) {
        const uint8_t *line = b->bytes + (size_t)y * b->line;
        uint32_t *row = b->pixels + (size_t)(b->height - 1 - y) * b->width;
        for (uint32_t x = 0; x < b->width; x++) row[x] = colour_at(b, line, x);
    }
}

static bool has_alpha(const bitmap *b)
{
    for (size_t i = 0; i < (size_t)b->width * b->height; i++)
        if (b->pixels[i] & ALPHA) return true;
    return false;
}

/* What the mask leaves is opaque; without a mask everything is. */
static void apply_mask(bitmap *b, const uint8_t *mask)
{
    for (uint32_t y = 0; y < b->height; y++) {
        uint32_t *row = b->pixels + (size_t)(b->height - 1 - y) * b->width;
        for (uint32_t x = 0; x < b->width; x++) {
            bool clear = mask && mask[(size_t)y * b->mask_line + x / 8] >> (7 - x % 8) & 1;
            if (!clear) row[x] |= ALPHA;
        }
    }
}

static void put_on_white(bitmap *b)
{
    for (size_t i = 0; i < (size_t)b->width * b->height; i++) {
        uint32_t c = b->pixels[i], alpha = c >> 24, mixed = 0;
        for (unsigned shift = 0; shift < 24; shift += 8)
            mixed |= (OPAQUE - alpha + alpha * (c >> shift & 0xff) / OPAQUE) << shift;
        b->pixels[i] = mixed;
    }
}

static uint32_t middle(uint32_t a, uint32_t b)
{
    return (((a ^ b) & 0xfefefefe) >> 1) + (a & b);
}

/* A square whose side is a multiple of 24 or 32: halved until it is small enough. Sides above the limit are even. */
static void halve(bitmap *b)
{
    while (b->width > KAV_ICON_SIDE_MAX) {
        uint32_t side = b->width / 2;
        for (uint32_t y = 0; y < side; y++) {
            const uint32_t *upper = b->pixels + (size_t)2 * y * b->width, *lower = upper + b->width;
            for (uint32_t x = 0; x < side; x++)
                b->pixels[(size_t)y * side + x] =
                    middle(middle(upper[2 * x], upper[2 * x + 1]), middle(lower[2 * x], lower[2 * x + 1]));
        }
        b->width = b->height = side;
    }
}

static uint32_t distance(const bitmap *b, int side)
{
    return (uint32_t)(abs((int)b->width - side) + abs((int)b->height - side));
}

/* Anything else: to the nearest of the three sizes, by taking the nearest pixels. */
static void pick(const bitmap *b, kav_icon_picture *out)
{
    if (distance(b, 32) < distance(b, 24)) out->side = 32;
    else out->side = distance(b, 24) < distance(b, 16) ? 24 : 16;
    double across = (double)b->width / out->side, down = (double)b->height / out->side;
    for (uint32_t y = 0; y < out->side; y++) {
        const uint32_t *row = b->pixels + (size_t)(uint32_t)(y * down) * b->width;
        for (uint32_t x = 0; x < out->side; x++) {
            uint32_t from = (uint32_t)(x * across + 0.5);
            out->pixels[y * out->side + x] = row[from < b->width ? from : b->width - 1];
        }
    }
}

static void resize(bitmap *b, kav_icon_picture *out)
{
    bool even = b->width == b->height && (b->width == 16 || b->width % 24 == 0 || b->width % 32 == 0);
    if (!even) {
        pick(b, out);
        return;
    }
    halve(b);
    out->side = b->width;
    for (uint32_t i = 0; i < out->side * out->side; i++) out->pixels[i] = b->pixels[i];
}

/* True 32 bits carry their transparency with them and need no mask. */
static bool read_picture(bitmap *b, const kav_source *source, uint64_t at, uint8_t *bytes)
{
    size_t picture = (size_t)b->height * b->line, mask = (size_t)b->height * b->mask_line;
    if (!kav_exe_bytes(source, at, bytes, picture + (b->depth == 32 ? 0 : mask))) return false;
    b->bytes = bytes;
    read_colours(b);
    if (b->depth != 32) {
        apply_mask(b, bytes + picture);
    } else if (!has_alpha(b)) {
        bool masked = kav_exe_bytes(source, at + picture, bytes + picture, mask);
        apply_mask(b, masked ? bytes + picture : NULL);
    }
    return true;
}

int kav_icon_draw(const kav_source *source, uint64_t offset, kav_icon_picture *out)
{
    bitmap b;
    if (!read_header(&b, source, &offset)) return 0;
    uint8_t *bytes = malloc((size_t)b.height * (b.line + b.mask_line));
    b.pixels = malloc((size_t)b.width * b.height * sizeof *b.pixels);
    int drawn = bytes && b.pixels ? 0 : -ENOMEM;
    if (drawn == 0 && read_picture(&b, source, offset, bytes)) {
        put_on_white(&b);
        resize(&b, out);
        drawn = 1;
    }
    free(bytes);
    free(b.pixels);
    return drawn;
}
