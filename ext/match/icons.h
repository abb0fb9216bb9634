/* Icons: icon signatures against the icons of the layer in hand. */
#ifndef KAV_ICONS_H
#define KAV_ICONS_H

#include "session.h"

/* Is one of the layer's icons in both of these groups? Asked last: icons have to be drawn for it. The name "*" stands
 * for any group. */
bool kav_icons_match(kav_session *s, const uint8_t *name1, uint32_t length1, const uint8_t *name2, uint32_t length2);

/* How sure it is, in per cent, that an icon is the one that a signature was made from, and how sure it has to be. */
uint32_t kav_icon_likeness(const kav_icon_metrics *icon, const kav_icon_metrics *wanted, uint32_t *least);

#endif
