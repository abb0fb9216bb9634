/* From an icon's bytes to its measures. Not for other folders: icon.h is the door. */
#ifndef KAV_ICON_PARTS_H
#define KAV_ICON_PARTS_H

#include "icon.h"

#define KAV_ICON_PICTURE_MAX 256 /* pixels of a side */

/* A square picture; a pixel is blue, green, red from the lowest byte on. */
typedef struct {
    uint32_t side;
    uint32_t pixels[KAV_ICON_SIDE_MAX * KAV_ICON_SIDE_MAX];
} kav_icon_picture;

/* icondraw.c: the bitmap at an offset, on white, in the size in which it is measured. 1; 0: no icon that is looked at
 * (PNG, too small or large, not square enough, cut short); -ENOMEM. */
int kav_icon_draw(const kav_source *source, uint64_t offset, kav_icon_picture *out);

/* iconmeasure.c */
void kav_icon_measure(const kav_icon_picture *picture, kav_icon_metrics *out);

#endif
