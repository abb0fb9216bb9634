/* Probe: a subsignature that is no pattern.
 *
 * It is asked for when everything else about the layer is known, and only for a signature that can still become true
 * through it: the expression is neither false nor true without it.
 */
#ifndef KAV_PROBE_H
#define KAV_PROBE_H

#include "session.h"

/* A signature whose probes are wanted. */
typedef struct {
    kav_session *session;
    const kav_body *body;
    const kav_signature *signature;
    uint32_t counts[KAV_SUBSIGS_MAX]; /* by subsignature: those of patterns; of probes 0, to be filled in */
} kav_probe_view;

/* Fill in the counts of the signature's probes. */
void kav_probes_run(kav_probe_view *view);

#endif
