/* Trial: what a user does with a part of signatures: open it, build a group over it, scan with it. */
#ifndef KAV_FUZZ_TRIAL_H
#define KAV_FUZZ_TRIAL_H

#include <stddef.h>
#include <stdint.h>

/* The part may be damaged, but its checksum is right. Subject: what is scanned, as every type. */
void kav_fuzz_trial(const uint8_t *part, size_t length, const uint8_t *subject, size_t size);

#endif
