/* The picture in 32 by 32 pixels (Lanczos, first down, then across), its two-dimensional cosine transform, and of the
 * 64 lowest frequencies a bit each: above the median or not. In single precision, as ClamAV's library calculates. */
#include "picture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, LOW = 8 };

#define SUPPORT 3.0F
#define PI      3.14159265358979323846264338327950288F

/* What one pixel of the result is made of. */
typedef struct {
    uint32_t first, count;
    float *weights; /* room for those of any pixel */
} taps;

static float sinc(float t)
{
    float a = t * PI;
    return t == 0 ? 1.0F : sinf(a) / a;
}

static float lanczos(float x)
{
    return fabsf(x) < SUPPORT ? sinc(x) * sinc(x / SUPPORT) : 0.0F;
}

static void fill_taps(taps *t, uint32_t size, uint32_t at)
{
    float ratio = (float)size / SIDE, scale = ratio < 1 ? 1.0F : ratio, reach = SUPPORT * scale, sum = 0;
    float centre = ((float)at + 0.5F) * ratio;
    int64_t left = (int64_t)floorf(centre - reach), right = (int64_t)ceilf(centre + reach);
    if (left < 0) left = 0;
    if (left > (int64_t)size - 1) left = (int64_t)size - 1;
    if (right < left + 1) right = left + 1;
    if (right > (int64_t)size) right = (int64_t)size;
    t->first = (uint32_t)left;
    t->count = (uint32_t)(right - left);
    for (uint32_t i = 0; i < t->count; i++) {
        t->weights[i] = lanczos(((float)(t->first + i) - (centre - 0.5F)) / scale);
        sum += t->weights[i];
    }
    for (uint32_t i = 0; i < t->count; i++) t->weights[i] /= sum;
}

/* rows: SIDE lines of the picture's width. */
static void shrink(const kav_picture *p, taps *t, float *rows, float out[SIDE * SIDE])
{
    for (uint32_t y = 0; y < SIDE; y++) {
        float *row = rows + (size_t)y * p->width;
        fill_taps(t, p->height, y);
        for (uint32_t x = 0; x < p->width; x++) row[x] = 0;
        for (uint32_t i = 0; i < t->count; i++) {
            const uint8_t *from = p->gray + (size_t)(t->first + i) * p->width;
            for (uint32_t x = 0; x < p->width; x++) row[x] += (float)from[x] * t->weights[i];
        }
    }
    for (uint32_t x = 0; x < SIDE; x++) {
        fill_taps(t, p->width, x);
        for (uint32_t y = 0; y < SIDE; y++) {
            float sum = 0;
            for (uint32_t i = 0; i < t->count; i++) sum += rows[(size_t)y * p->width + t->first + i] * t->weights[i];
            sum = sum < 0 ? 0 : sum > 255 ? 255 : sum;
            out[y * SIDE + x] = roundf(sum) / 255.0F;
        }
    }
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Twice the sum of the second kind of cosine transform. Calculated more exactly than needed: what is rounded otherwise
 * counts only where two frequencies are equal. */
static double frequency(const float *values, uint32_t step, uint32_t k)
{
    double sum = 0;
    for (uint32_t i = 0; i < SIDE; i++) sum += values[i * step] * cos(M_PI / SIDE * (i + 0.5) * k);
    return 2 * sum;
}

static uint64_t hash_of(const float small[SIDE * SIDE])
{
    float columns[LOW * SIDE], low[LOW * LOW], sorted[LOW * LOW];
    uint64_t hash = 0;
    for (uint32_t v = 0; v < LOW; v++)
        for (uint32_t x = 0; x < SIDE; x++) columns[v * SIDE + x] = (float)frequency(small + x, SIDE, v);
    for (uint32_t v = 0; v < LOW; v++)
        for (uint32_t u = 0; u < LOW; u++) low[v * LOW + u] = (float)frequency(columns + v * SIDE, 1, u);
    memcpy(sorted, low, sizeof low);
    qsort(sorted, LOW * LOW, sizeof *sorted, compare);
    float median = (sorted[LOW * LOW / 2 - 1] + sorted[LOW * LOW / 2]) / 2.0F;
    for (uint32_t i = 0; i < LOW * LOW; i++) hash = hash << 1 | (low[i] > median);
    return hash;
}

int kav_picture_hash(const kav_picture *picture, uint64_t *hash)
{
    float small[SIDE * SIDE];
    if (!picture->width || !picture->height) return -EINVAL;
    uint32_t longer = picture->width > picture->height ? picture->width : picture->height;
    taps t = {.weights = malloc(((size_t)longer + 1) * sizeof(float))};
    float *rows = malloc((size_t)SIDE * picture->width * sizeof *rows);
    int rc = t.weights && rows ? 0 : -ENOMEM;
    if (rc == 0 && picture->width == SIDE && picture->height == SIDE) {
        for (uint32_t i = 0; i < SIDE * SIDE; i++) small[i] = picture->gray[i] / 255.0F;
    } else if (rc == 0) {
        shrink(picture, &t, rows, small);
    }
    if (rc == 0) *hash = hash_of(small);
    free(t.weights);
    free(rows);
    return rc;
}
