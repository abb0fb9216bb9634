/* Truth: what can be said of a signature by the counts of its patterns. */
#ifndef KAV_TRUTH_H
#define KAV_TRUTH_H

#include "expression.h"
#include "session.h"

const kav_signature *kav_truth_signature(const kav_session *s, kav_touch t);

/* Its line in the database file as it is now; 0: no longer there. */
uint32_t kav_truth_line(const kav_session *s, kav_touch t);

/* Is it still there, and does what it asks of the layer as a whole hold? */
bool kav_truth_applies(kav_session *s, kav_touch t);

/* Without running probes. final: the second pass is over, or was not needed. */
enum kav_truth kav_truth_of(kav_session *s, kav_touch t, bool final);

/* All patterns are counted. Probes are run only for a signature that can become true through them. */
bool kav_truth_holds(kav_session *s, kav_touch t);

#endif
