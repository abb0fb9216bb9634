/* Measuring a picture: sums over all windows of a quarter of its side, and the three windows where they are extreme.
 *
 * How far each pixel is from a medium gray, as the eye sees it, gives the edges; they are blurred a little. The numbers
 * are ClamAV's to the last bit, hence constants of single precision in calculations of double precision.
 */
#include "icon_parts.h"

#include <math.h>
#include <string.h>

enum {
    AREA = KAV_ICON_SIDE_MAX * KAV_ICON_SIDE_MAX,
    VIVID = 85,   /* saturation and value above it: coloured */
    COLOURED = 5, /* per cent of coloured pixels above which an icon is taken as coloured */
    EDGES = 2 * KAV_ICON_SPOTS
};

typedef struct {
    uint32_t side, window;
    uint32_t map[AREA];  /* a value for each pixel */
    uint32_t sums[AREA]; /* of the window that begins there */
} field;

typedef struct {
    uint32_t sum, x, y;
} place;

static uint32_t channel(uint32_t pixel, unsigned shift)
{
    return pixel >> shift & 0xff;
}

static void add_windows(field *f)
{
    for (uint32_t y = 0; y + f->window <= f->side; y++) {
        for (uint32_t x = 0; x + f->window <= f->side; x++) {
            uint32_t sum = 0;
            for (uint32_t j = 0; j < f->window; j++)
                for (uint32_t i = 0; i < f->window; i++) sum += f->map[(y + j) * f->side + x + i];
            f->sums[y * f->side + x] = sum;
        }
    }
}

static bool overlaps(const place *taken, uint32_t count, uint32_t x, uint32_t y, uint32_t window)
{
    for (uint32_t i = 0; i < count; i++) {
        if (x + window > taken[i].x && x < taken[i].x + window && y + window > taken[i].y && y < taken[i].y + window)
            return true;
    }
    return false;
}

/* The windows with the largest sums, or the smallest; the first of equals. The last row and the last two columns of
 * windows are left out. */
static void find_extremes(const field *f, bool largest, place *out, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        out[n] = (place){largest ? 0 : UINT32_MAX, 0, 0};
        for (uint32_t y = 0; y + f->window < f->side; y++) {
            for (uint32_t x = 0; x + f->window + 1 < f->side; x++) {
                uint32_t sum = f->sums[y * f->side + x];
                if (largest ? sum <= out[n].sum : sum >= out[n].sum) continue;
                if (!overlaps(out, n, x, y, f->window)) out[n] = (place){sum, x, y};
            }
        }
    }
}

static kav_icon_spot spot_of(const field *f, uint32_t sum, const place *at)
{
    uint32_t mean = sum / (f->window * f->window); /* enormous where no window was left */
    return (kav_icon_spot){mean < UINT16_MAX ? (uint16_t)mean : UINT16_MAX, (uint8_t)at->x, (uint8_t)at->y};
}

static void find_spots(field *f, kav_icon_spot *most, kav_icon_spot *least)
{
    place places[KAV_ICON_SPOTS];
    add_windows(f);
    find_extremes(f, true, places, KAV_ICON_SPOTS);
    for (int i = 0; i < KAV_ICON_SPOTS; i++) most[i] = spot_of(f, places[i].sum, &places[i]);
    find_extremes(f, false, places, KAV_ICON_SPOTS);
    for (int i = 0; i < KAV_ICON_SPOTS; i++) least[i] = spot_of(f, places[i].sum, &places[i]);
}

/* ---- colours ---------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t red, green, blue, count;
} tally;

static uint32_t apart(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

static uint32_t largest_of(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t ab = a > b ? a : b;
    return ab > c ? ab : c;
}

static uint32_t smallest_of(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Value and colourfulness of a pixel; counted when it is coloured. */
static void look_at(uint32_t pixel, uint32_t *value, uint32_t *colour, tally *t)
{
    uint32_t red = channel(pixel, 16), green = channel(pixel, 8), blue = channel(pixel, 0);
    uint32_t span = largest_of(red, green, blue) - smallest_of(red, green, blue);
    *value = largest_of(red, green, blue);
    uint32_t saturation = span ? 255 * span / *value : 0;
    *colour = (uint32_t)sqrt(saturation * saturation * *value);
    if (saturation <= VIVID || *value <= VIVID) return;
    t->count++;
    t->red += 100 - 100 * apart(green, blue) / span;
    t->green += 100 - 100 * apart(red, blue) / span;
    t->blue += 100 - 100 * apart(red, green) / span;
}

static void measure_colours(const kav_icon_picture *p, kav_icon_metrics *out, field *light, field *colour)
{
    tally t = {0};
    uint32_t area = p->side * p->side;
    for (uint32_t i = 0; i < area; i++) look_at(p->pixels[i], &light->map[i], &colour->map[i], &t);
    find_spots(light, out->bright, out->dark);
    find_spots(colour, out->colour, out->gray);
    uint32_t share = t.count * 100 / area;
    if (share <= COLOURED) return;
    out->red = (uint8_t)(t.red / t.count);
    out->green = (uint8_t)(t.green / t.count);
    out->blue = (uint8_t)(t.blue / t.count);
    out->coloured = (uint8_t)share;
}

/* ---- edges ------------------------------------------------------------------------------------------------------ */

/* sRGB to linear, in per cent. */
static double linear(uint32_t channel)
{
    double v = channel / 255.0F;
    v = v > 0.04045F ? pow((v + 0.055F) / 1.055F, 2.4F) : v / 12.92F;
    return v * 100.0F;
}

static double curve(double v)
{
    return v > 0.008856F ? pow(v, 1.0F / 3.0F) : 7.787F * v + 16.0F / 116.0F;
}

/* Distance from medium gray in CIE L*a*b*. */
static double from_gray(uint32_t pixel)
{
    const double light = 53.192777691077211F, a = 0.0031420942181448197F, b = -0.0062075877844014471F;
    double red = linear(channel(pixel, 16)), green = linear(channel(pixel, 8)), blue = linear(channel(pixel, 0));
    double x = curve((red * 0.4124F + green * 0.3576F + blue * 0.1805F) / 95.047F);
    double y = curve((red * 0.2126F + green * 0.7152F + blue * 0.0722F) / 100.0F);
    double z = curve((red * 0.0193F + green * 0.1192F + blue * 0.9505F) / 108.883F);
    double dl = light - (116.0F * y - 16.0F), da = a - 500.0F * (x - y), db = b - 200.0F * (y - z);
    return sqrt(dl * dl + da * da + db * db);
}

/* Sobel's operator. */
static uint32_t gradient(const double *at, uint32_t side)
{
    const double *above = at - side, *below = at + side;
    double across = above[-1] + at[-1] * 2 + below[-1] - above[1] - at[1] * 2 - below[1];
    double down = above[-1] + above[0] * 2 + above[1] - below[-1] - below[0] * 2 - below[1];
    return (uint32_t)(int)sqrt(across * across + down * down);
}

/* Edges inside a black frame, the strongest 255. Where there is none at all, what is blue counts. */
static void find_edges(const kav_icon_picture *p, uint32_t *edges)
{
    double distances[AREA];
    uint32_t side = p->side, strongest = 0;
    for (uint32_t i = 0; i < side * side; i++) distances[i] = from_gray(p->pixels[i]);
    memset(edges, 0, side * side * sizeof *edges);
    for (uint32_t y = 1; y + 1 < side; y++) {
        for (uint32_t x = 1; x + 1 < side; x++) {
            uint32_t at = y * side + x;
            edges[at] = gradient(&distances[at], side);
            if (edges[at] > strongest) strongest = edges[at];
        }
    }
    for (uint32_t y = 1; y + 1 < side; y++) {
        for (uint32_t x = 1; x + 1 < side; x++) {
            uint32_t at = y * side + x;
            edges[at] = strongest ? edges[at] * 255 / strongest : channel(p->pixels[at], 0);
        }
    }
}

/* Across, then down; down goes on from the row above as it has become. */
static void blur(uint32_t *map, uint32_t side)
{
    for (uint32_t y = 1; y + 1 < side; y++) {
        uint32_t before = 0;
        for (uint32_t x = 1; x + 1 < side; x++) {
            uint32_t here = map[y * side + x];
            map[y * side + x] = (before + 2 * here + map[y * side + x + 1]) / 4;
            before = here;
        }
    }
    for (uint32_t y = 1; y + 1 < side; y++) {
        for (uint32_t x = 1; x + 1 < side; x++) {
            uint32_t at = y * side + x;
            map[at] = (map[at - side] + 2 * map[at] + map[at + side]) / 4;
        }
    }
}

static void measure_edges(const kav_icon_picture *p, kav_icon_metrics *out, field *f)
{
    place edges[EDGES], even[EDGES];
    uint32_t count = out->coloured ? KAV_ICON_SPOTS : EDGES;
    find_edges(p, f->map);
    blur(f->map, f->side);
    add_windows(f);
    find_extremes(f, true, edges, count);
    find_extremes(f, false, even, count);
    for (int i = 0; i < KAV_ICON_SPOTS; i++) {
        const place *next = &edges[i + KAV_ICON_SPOTS];
        out->edge[i] = spot_of(f, edges[i].sum, &edges[i]);
        out->even[i] = spot_of(f, even[i].sum, &even[i]);
        if (out->coloured) continue;
        out->colour[i] = spot_of(f, next->sum, next);
        out->gray[i] = spot_of(f, even[i + KAV_ICON_SPOTS].sum, next); /* so, in ClamAV */
    }
}

void kav_icon_measure(const kav_icon_picture *picture, kav_icon_metrics *out)
{
    field light = {.side = picture->side, .window = picture->side / 4}, colour = light;
    memset(out, 0, sizeof *out);
    out->side = (uint8_t)picture->side;
    measure_colours(picture, out, &light, &colour);
    measure_edges(picture, out, &light);
}
