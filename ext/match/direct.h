/* Direct: patterns that can be in one place only and would be found everywhere: they are looked at in that place, when
 * a signature asks for them, and are in no database. */
#ifndef KAV_DIRECT_H
#define KAV_DIRECT_H

#include "session.h"

#define KAV_DIRECT_MAX 256u /* bytes of such a pattern, with what is looked at around it */

/* 1 when the pattern stands in its place, 0 when it does not. */
uint32_t kav_direct_count(kav_session *s, uint32_t body, uint32_t pattern);

#endif
