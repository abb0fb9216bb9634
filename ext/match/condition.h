/* Condition: what a signature asks of a layer as a whole, before its expression is looked at. */
#ifndef KAV_CONDITION_H
#define KAV_CONDITION_H

#include "session.h"

/* Target, size, the layers around and the executable's headers; the cheapest first. */
bool kav_condition_holds(kav_session *s, const kav_body *b, const kav_signature *g);

/* Is one of the layer's icons in these groups? Asked last: icons have to be drawn for it. A name of length 0: any group
 * of that kind. */
bool kav_icons_match(kav_session *s, const uint8_t *name1, uint32_t length1, const uint8_t *name2, uint32_t length2);

#endif
