/* BMP, of all headers from OS/2's on: lines from the bottom up, padded to four bytes; colours by a palette, in masks of
 * 16 or 32 bits, or three bytes each; run lengths of palettes. Pictures in it that are JPEG or PNG are none. */
#include "picture_parts.h"

#include "numbers.h"

#include <string.h>

enum { FILE_HEAD = 14, OS2 = 12, INFO = 40, V2 = 52, V3 = 56, V4 = 108, V5 = 124, COLOURS = 256 };
enum { RGB, RLE8, RLE4, BITFIELDS };

/* Where in a pixel a colour stands; the highest eight bits of it count. */
typedef struct {
    unsigned shift, bits;
} mask;

typedef struct {
    kav_picture *out;
    const uint8_t *bytes;
    size_t length, at; /* where pixels stand */
    unsigned depth, packing;
    bool downwards;
    mask masks[3];
    uint8_t gray[COLOURS]; /* of the palette */
} bmp;

static bool read_mask(mask *m, uint32_t bits, unsigned depth)
{
    *m = (mask){0, 0};
    if (bits == 0) return true;
    m->shift = (unsigned)__builtin_ctz(bits);
    m->bits = (unsigned)__builtin_popcount(bits);
    if (((uint64_t)bits >> m->shift) != ((uint64_t)1 << m->bits) - 1 || m->shift + m->bits > depth) return false;
    if (m->bits > 8) m->shift += m->bits - 8;
    if (m->bits > 8) m->bits = 8;
    return true;
}

static uint8_t part_of(uint32_t pixel, mask m)
{
    unsigned most = (1u << m.bits) - 1;
    return most ? (uint8_t)(((pixel >> m.shift & most) * 255 + most / 2) / most) : 0;
}

/* Where colours stand that no palette has. False: nonsense. */
static bool read_masks(bmp *b, uint32_t head)
{
    static const uint32_t usual[2][3] = {{0x7c00, 0x3e0, 0x1f}, {0xff0000, 0xff00, 0xff}};
    bool told = b->packing == BITFIELDS;
    if (told && (b->depth < 16 || b->depth == 24 || b->length < FILE_HEAD + INFO + 12)) return false;
    for (unsigned i = 0; i < 3; i++) {
        uint32_t bits = told ? kav_le32(b->bytes + FILE_HEAD + INFO + 4 * i) : usual[b->depth == 32][i];
        if (b->depth >= 16 && !read_mask(&b->masks[i], bits, b->depth)) return false;
    }
    return !told || head <= V5;
}

static bool read_palette(bmp *b, size_t at, uint32_t count, unsigned entry)
{
    if (count == 0) count = 1u << b->depth;
    if (count > 1u << b->depth || at > b->length || b->length - at < (size_t)count * entry) return false;
    for (uint32_t i = 0; i < count; i++, at += entry)
        b->gray[i] = kav_picture_gray(b->bytes[at + 2], b->bytes[at + 1], b->bytes[at]);
    return true;
}

static bool is_known(uint32_t head, unsigned depth, unsigned packing)
{
    if (head != INFO && head != V2 && head != V3 && head != V4 && head != V5) return false;
    if (packing == RLE8) return depth == 8;
    if (packing == RLE4) return depth == 4;
    return packing == RGB || packing == BITFIELDS;
}

/* 1, or what kav_picture_read says. */
static int read_head(bmp *b)
{
    const uint8_t *h = b->bytes + FILE_HEAD;
    if (b->length < FILE_HEAD + OS2) return 0;
    uint32_t head = kav_le32(h);
    bool old = head == OS2;
    if (!old && b->length < FILE_HEAD + INFO) return 0;
    int32_t width = old ? kav_le16(h + 4) : (int32_t)kav_le32(h + 4);
    int32_t height = old ? kav_le16(h + 6) : (int32_t)kav_le32(h + 8);
    if (width <= 0 || height == INT32_MIN) return 0;
    b->at = kav_le32(b->bytes + 10);
    b->depth = kav_le16(h + (old ? 10 : 14));
    b->packing = old ? RGB : kav_le32(h + 16);
    b->downwards = height < 0;
    if (!old && !is_known(head, b->depth, b->packing)) return 0;
    if (kav_le16(h + (old ? 8 : 12)) != 1 || !b->depth || b->depth > 32 ||
        (b->depth & (b->depth - 1) && b->depth != 24))
        return 0;
    if (b->downwards && (b->packing == RLE8 || b->packing == RLE4)) return 0;
    if (!read_masks(b, head)) return 0;
    size_t palette = FILE_HEAD + (size_t)head;
    if (b->depth <= 8 && !read_palette(b, palette, old ? 0 : kav_le32(h + 32), old ? 3 : 4)) return 0;
    return kav_picture_begin(b->out, (uint32_t)width, (uint32_t)(height < 0 ? -height : height));
}

static uint8_t *line_of(const bmp *b, uint32_t y)
{
    return b->out->gray + (size_t)(b->downwards ? y : b->out->height - 1 - y) * b->out->width;
}

static uint8_t pixel_of(const bmp *b, const uint8_t *line, uint32_t x)
{
    unsigned per_byte = b->depth <= 8 ? 8 / b->depth : 1;
    if (b->depth <= 8) {
        unsigned shift = 8 - b->depth * (x % per_byte + 1);
        return b->gray[line[x / per_byte] >> shift & ((1u << b->depth) - 1)];
    }
    if (b->depth == 24) return kav_picture_gray(line[3 * x + 2], line[3 * x + 1], line[3 * x]);
    uint32_t pixel = b->depth == 16 ? kav_le16(line + 2 * (size_t)x) : kav_le32(line + 4 * (size_t)x);
    return kav_picture_gray(part_of(pixel, b->masks[0]), part_of(pixel, b->masks[1]), part_of(pixel, b->masks[2]));
}

static int read_lines(const bmp *b)
{
    size_t line = ((size_t)b->out->width * b->depth + 31) / 32 * 4;
    if (b->at > b->length || (b->length - b->at) / line < b->out->height) return 0;
    for (uint32_t y = 0; y < b->out->height; y++) {
        uint8_t *to = line_of(b, y);
        for (uint32_t x = 0; x < b->out->width; x++) to[x] = pixel_of(b, b->bytes + b->at + y * line, x);
    }
    return 1;
}

/* Pairs: a count and what is repeated; or 0 and: 0 the line is over, 1 the picture, 2 a step across and up, 3.. so many
 * pixels as they are, padded to two bytes. What is never drawn is black. */
static int read_runs(const bmp *b)
{
    uint32_t x = 0, y = 0, width = b->out->width, height = b->out->height;
    const uint8_t *p = b->bytes + b->at, *end = b->bytes + b->length;
    bool half = b->packing == RLE4;
    if (b->at > b->length) return 0;
    memset(b->out->gray, 0, (size_t)width * height);
    while (y < height) {
        if (end - p < 2) return 0;
        unsigned count = p[0], what = p[1];
        p += 2;
        if (count == 0 && what == 1) break;
        if (count == 0 && what == 0) {
            x = 0;
            y++;
        } else if (count == 0 && what == 2) {
            if (end - p < 2) return 0;
            x += p[0];
            y += p[1];
            p += 2;
        } else {
            bool plain = count == 0;
            if (plain) count = what;
            unsigned held = plain ? (half ? (count + 1) / 2 : count) : 0;
            if ((size_t)(end - p) < held + (held & 1)) return 0;
            for (unsigned i = 0; i < count && x < width; i++, x++) {
                unsigned byte = plain ? p[half ? i / 2 : i] : what;
                line_of(b, y)[x] = b->gray[half ? (i & 1 ? byte & 15 : byte >> 4) : byte];
            }
            p += held + (held & 1);
        }
    }
    return 1;
}

int kav_picture_bmp(kav_picture *picture, const uint8_t *bytes, size_t length)
{
    bmp b = {.out = picture, .bytes = bytes, .length = length};
    int rc = read_head(&b);
    if (rc != 1) return rc;
    return b.packing == RLE8 || b.packing == RLE4 ? read_runs(&b) : read_lines(&b);
}
