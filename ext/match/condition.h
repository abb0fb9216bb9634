/* Condition: what a signature asks of a layer as a whole, before its expression is looked at. */
#ifndef KAV_CONDITION_H
#define KAV_CONDITION_H

#include "session.h"

/* Target, size, the layers around and the executable's headers; the cheapest first. */
bool kav_condition_holds(kav_session *s, const kav_body *b, const kav_signature *g);

#endif
