/* Icon: what signatures ask of the icons of a PE file: where they are coloured, gray, bright, dark, full of edges and
 * even, measured as ClamAV does, because icon signatures are such measures.
 *
 *     kav_icons icons;
 *     if (kav_icons_read(&icons, exe, source) == 0) ... icons.rows[0 .. icons.count) ...
 *     kav_icons_free(&icons);
 */
#ifndef KAV_ICON_H
#define KAV_ICON_H

#include "exe.h"

enum { KAV_ICON_SPOTS = 3, KAV_ICON_SIDE_MIN = 16, KAV_ICON_SIDE_MAX = 32 };

/* A square with a quarter of the icon's side: its mean, and where it begins. */
typedef struct {
    uint16_t mean;
    uint8_t x, y;
} kav_icon_spot;

/* Each row of spots holds the best three that do not overlap, the best first. Also a table of icon signatures. */
typedef struct {
    uint8_t side;             /* 16 to 32, as it was measured */
    uint8_t red, green, blue; /* mean shares of what is coloured */
    uint8_t coloured;         /* per cent of the pixels; 0: too few, the icon is taken as black and white */
    uint8_t reserved[3];
    kav_icon_spot colour[KAV_ICON_SPOTS]; /* black and white: the fourth to sixth of edge */
    kav_icon_spot gray[KAV_ICON_SPOTS];   /* black and white: means of the fourth to sixth of even, places of edge */
    kav_icon_spot bright[KAV_ICON_SPOTS], dark[KAV_ICON_SPOTS], edge[KAV_ICON_SPOTS], even[KAV_ICON_SPOTS];
} kav_icon_metrics;

typedef struct {
    kav_icon_metrics *rows;
    uint32_t count;
    bool cut; /* there are more than are looked at by us, while ClamAV would */
} kav_icons;

/* The icons of the first group of a PE that is no library, in the order of the group. 0, or -ENOMEM; whatever is
 * returned, kav_icons_free frees it. */
int kav_icons_read(kav_icons *icons, const kav_exe *exe, const kav_source *source);
void kav_icons_free(kav_icons *icons);

#endif
