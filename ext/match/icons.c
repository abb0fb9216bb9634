#include "icons.h"

#include <math.h>
#include <string.h>

enum { MEAN_MAX = 255, COLOUR_MAX = 4072 /* 255 to the power of 1.5 */, BLACK_AND_WHITE_LEAST = 70 };

/* How alike two spots are: 0, or 40 to 100. */
static uint32_t spot_likeness(kav_icon_spot a, kav_icon_spot b, uint32_t side, uint32_t most)
{
    uint32_t reach = side / 4 * 3 / 4;
    int x = a.x - b.x, y = a.y - b.y, mean = a.mean - b.mean;
    uint32_t distance = (uint32_t)sqrt(x * x + y * y);
    if (distance > reach || (uint32_t)(mean < 0 ? -mean : mean) > most / 5) return 0;
    return 100 - distance * 60 / reach;
}

/* Each spot of the icon with that of the signature which is most like it. */
static uint32_t row_likeness(const kav_icon_spot *icon, const kav_icon_spot *wanted, uint32_t count, uint32_t side,
                             uint32_t most)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t best = 0;
        for (uint32_t k = 0; k < count; k++) {
            uint32_t likeness = spot_likeness(icon[i], wanted[k], side, most);
            if (likeness > best) best = likeness;
        }
        sum += best;
    }
    return sum / count;
}

static uint32_t three(const kav_icon_spot *icon, const kav_icon_spot *wanted, uint32_t side, uint32_t most)
{
    return row_likeness(icon, wanted, KAV_ICON_SPOTS, side, most);
}

/* Black and white icons have six spots of edges, and of what is even. */
static uint32_t six(const kav_icon_spot *icon, const kav_icon_spot *more, const kav_icon_spot *wanted,
                    const kav_icon_spot *more_wanted, uint32_t side)
{
    kav_icon_spot a[2 * KAV_ICON_SPOTS], b[2 * KAV_ICON_SPOTS];
    size_t half = KAV_ICON_SPOTS * sizeof *a;
    memcpy(a, icon, half);
    memcpy(a + KAV_ICON_SPOTS, more, half);
    memcpy(b, wanted, half);
    memcpy(b + KAV_ICON_SPOTS, more_wanted, half);
    return row_likeness(a, b, 2 * KAV_ICON_SPOTS, side, MEAN_MAX);
}

static uint32_t share_likeness(uint8_t a, uint8_t b)
{
    uint32_t apart = (uint32_t)(a > b ? a - b : b - a) * 10;
    return apart < 100 ? 100 - apart : 0;
}

uint32_t kav_icon_likeness(const kav_icon_metrics *icon, const kav_icon_metrics *wanted, uint32_t *least)
{
    uint32_t side = icon->side, colour = 0, gray = 0;
    uint32_t bright = three(icon->bright, wanted->bright, side, MEAN_MAX);
    uint32_t dark = three(icon->dark, wanted->dark, side, MEAN_MAX);
    if (!icon->coloured && !wanted->coloured) {
        uint32_t edge = six(icon->edge, icon->colour, wanted->edge, wanted->colour, side);
        uint32_t even = six(icon->even, icon->gray, wanted->even, wanted->gray, side);
        *least = BLACK_AND_WHITE_LEAST;
        return (bright + dark + edge * 2 + even) / 6;
    }
    if (icon->coloured && wanted->coloured) {
        colour = three(icon->colour, wanted->colour, side, COLOUR_MAX);
        gray = three(icon->gray, wanted->gray, side, COLOUR_MAX);
    }
    uint32_t edge = three(icon->edge, wanted->edge, side, MEAN_MAX);
    uint32_t even = three(icon->even, wanted->even, side, MEAN_MAX);
    uint32_t shares = (share_likeness(icon->red, wanted->red) + share_likeness(icon->green, wanted->green) +
                       share_likeness(icon->blue, wanted->blue) + share_likeness(icon->coloured, wanted->coloured)) /
                      4;
    *least = 64 + 4 * (4 - side / 8); /* the smaller, the surer it has to be */
    return (colour + (gray + bright + even) * 2 / 3 + dark + edge + shares) / 6;
}

static bool is_like(const kav_icons *icons, const kav_icon_metrics *wanted)
{
    for (uint32_t i = 0; i < icons->count; i++) {
        uint32_t least;
        if (icons->rows[i].side / 8 != wanted->side / 8) continue; /* 18 is measured like 16, 28 like 24 */
        if (kav_icon_likeness(&icons->rows[i], wanted, &least) >= least) return true;
    }
    return false;
}

static bool is_named(const kav_image_listed *l, uint32_t at, uint32_t length, const uint8_t *name, uint32_t name_len)
{
    if (name_len == 1 && name[0] == '*') return true;
    return length == name_len && memcmp(l->text + at, name, length) == 0;
}

/* The icons of the layer, drawn when they are first asked for. */
static const kav_icons *icons_of(kav_session *s)
{
    if (s->icons_read) return &s->icons;
    s->icons_read = true;
    if (kav_icons_read(&s->icons, kav_session_exe(s), s->reader.source) != 0) s->found->reasons |= KAV_R_MEMORY;
    if (s->icons.cut) s->found->reasons |= KAV_R_MATCH;
    return &s->icons;
}

bool kav_icons_match(kav_session *s, const uint8_t *name1, uint32_t length1, const uint8_t *name2, uint32_t length2)
{
    const kav_image *image = s->image;
    for (uint32_t i = 0; i < image->listed_count; i++) {
        const kav_image_listed *l = &image->listed[i];
        for (uint32_t k = 0; l->kind == KAV_P_ICONS && k < l->count; k++) {
            const kav_icon_signature *row = (const kav_icon_signature *)l->rows + k;
            if (!is_named(l, row->group[0], row->group_len[0], name1, length1) ||
                !is_named(l, row->group[1], row->group_len[1], name2, length2) || !is_like(icons_of(s), &row->metrics))
                continue;
            if (!kav_image_ignores(image, (const char *)l->text + row->name, row->name_len)) return true;
            s->found->suppressed = 1;
        }
    }
    return false;
}
