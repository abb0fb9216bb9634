/* Offset: where a pattern may begin, and what signatures ask of the executable that a layer is.
 *
 * The headers are read when the first pattern or signature asks for them, once in a layer, and only of formats that
 * have any.
 */
#ifndef KAV_OFFSET_H
#define KAV_OFFSET_H

#include "session.h"

/* The layer's headers, or NULL: it is no executable, or one whose headers ClamAV does not take. */
const kav_exe *kav_offset_exe(kav_session *s);

/* May a match of the pattern begin here? For places that are not KAV_AT_ANY. */
bool kav_offset_holds(kav_session *s, const kav_pattern *p, uint64_t start);

/* The first place where it may begin, and how many more there are; false: none. For places that are counted from one.
 */
bool kav_offset_range(kav_session *s, const kav_pattern *p, uint64_t *low, uint64_t *shift);

#endif
