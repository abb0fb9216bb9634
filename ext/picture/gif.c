/* GIF: its first frame, on a screen that is black where no frame lies; pixels that are said to be transparent keep
 * their colour. */
#include "picture_parts.h"

#include "numbers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 13, FRAME_HEAD = 9, COLOURS = 256, CODES = 4096, FRAME = 0x2c, EXTENSION = 0x21 };

typedef struct {
    const uint8_t *at, *end;
    uint8_t gray[COLOURS];
    bool coloured;
} reading;

/* The frame: pixels come in the order of lines that it says, and only those on the screen are drawn. */
typedef struct {
    kav_picture *out;
    const uint8_t *gray;
    uint32_t left, top, width, height;
    uint32_t x, y;
    unsigned pass; /* of an interlaced frame; 4: lines in order */
} drawing;

/* Blocks of up to 255 bytes, as a stream of bits. */
typedef struct {
    reading *r;
    unsigned left; /* bytes of the block in hand */
    uint32_t bits;
    unsigned count;
} packed;

typedef struct {
    uint16_t before[CODES]; /* the code whose letters come before */
    uint8_t last[CODES], stack[CODES + 1];
} dictionary;

static bool read_palette(reading *r, unsigned flags)
{
    size_t count = (size_t)2 << (flags & 7);
    if (!(flags & 0x80)) return true;
    if ((size_t)(r->end - r->at) < 3 * count) return false;
    memset(r->gray, 0, sizeof r->gray);
    for (size_t i = 0; i < count; i++, r->at += 3) r->gray[i] = kav_picture_gray(r->at[0], r->at[1], r->at[2]);
    r->coloured = true;
    return true;
}

/* To the first frame. False: there is none. */
static bool find_frame(reading *r)
{
    while (r->end - r->at >= 2 && *r->at == EXTENSION) {
        r->at += 2;
        while (r->at < r->end && *r->at) {
            if (r->end - r->at <= *r->at) return false;
            r->at += 1 + *r->at;
        }
        if (r->at == r->end) return false;
        r->at++;
    }
    return r->end - r->at > FRAME_HEAD && *r->at == FRAME;
}

/* Put one pixel down; false: the frame is full. */
static bool draw(drawing *d, uint8_t colour)
{
    static const uint8_t first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    uint32_t x = d->left + d->x, y = d->top + d->y;
    if (x < d->out->width && y < d->out->height) d->out->gray[(size_t)y * d->out->width + x] = d->gray[colour];
    if (++d->x < d->width) return true;
    d->x = 0;
    d->y += d->pass < 4 ? step[d->pass] : 1;
    while (d->y >= d->height && d->pass < 3) d->y = first[++d->pass];
    return d->y < d->height;
}

/* The next code of so many bits, or -1. */
static int next_code(packed *p, unsigned width)
{
    while (p->count < width) {
        if (p->left == 0) {
            if (p->r->at == p->r->end || *p->r->at == 0) return -1;
            p->left = *p->r->at++;
        }
        if (p->r->at == p->r->end) return -1;
        p->bits |= (uint32_t)*p->r->at++ << p->count;
        p->count += 8;
        p->left--;
    }
    int code = (int)(p->bits & ((1u << width) - 1));
    p->bits >>= width;
    p->count -= width;
    return code;
}

/* LZW; 1 when the frame is full. */
static int unpack(reading *r, drawing *d, unsigned least, dictionary *known)
{
    packed p = {.r = r};
    const int clear = 1 << least;
    int next = clear + 2, previous = -1, code;
    unsigned width = least + 1;
    uint8_t letter = 0;
    while ((code = next_code(&p, width)) >= 0 && code != clear + 1) {
        if (code == clear) {
            next = clear + 2;
            width = least + 1;
            previous = -1;
            continue;
        }
        if (code > next || (code == next && previous < 0) || (previous < 0 && code > clear)) return 0;
        size_t depth = 0;
        int from = code;
        if (code == next) { /* what came before, and its own first letter once more */
            known->stack[depth++] = letter;
            from = previous;
        }
        for (; from > clear; from = known->before[from]) known->stack[depth++] = known->last[from];
        letter = (uint8_t)from;
        known->stack[depth++] = letter;
        if (previous >= 0 && next < CODES) {
            known->before[next] = (uint16_t)previous;
            known->last[next++] = letter;
            if (next == 1 << width && width < 12) width++;
        }
        previous = code;
        while (depth > 0)
            if (!draw(d, known->stack[--depth])) return 1;
    }
    return 0;
}

int kav_picture_gif(kav_picture *picture, const uint8_t *bytes, size_t length)
{
    reading r = {.at = bytes + HEAD, .end = bytes + length};
    if (length < HEAD || !read_palette(&r, bytes[10]) || !find_frame(&r)) return 0;
    const uint8_t *f = r.at + 1;
    r.at += 1 + FRAME_HEAD;
    if (!read_palette(&r, f[8]) || !r.coloured || r.at == r.end) return 0;
    unsigned least = *r.at++;
    drawing d = {.out = picture, .gray = r.gray, .left = kav_le16(f), .top = kav_le16(f + 2)};
    d.width = kav_le16(f + 4);
    d.height = kav_le16(f + 6);
    d.pass = f[8] & 0x40 ? 0 : 4;
    if (least < 1 || least > 11 || !d.width || !d.height) return 0;
    if ((uint64_t)d.width * d.height > KAV_PICTURE_AREA_MAX) return -E2BIG;
    int rc = kav_picture_begin(picture, kav_le16(bytes + 6), kav_le16(bytes + 8));
    if (rc != 1) return rc;
    memset(picture->gray, 0, (size_t)picture->width * picture->height);
    dictionary *known = malloc(sizeof *known);
    rc = known ? unpack(&r, &d, least, known) : -ENOMEM;
    free(known);
    return rc;
}
