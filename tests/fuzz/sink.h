/* Sink: stands in for ext/object/unpack.c while an opener is fuzzed: takes members, reads every byte, keeps none, and
 * aborts when the opener breaks its contract or makes far more work than its input is worth. */
#ifndef KAV_FUZZ_SINK_H
#define KAV_FUZZ_SINK_H

#include "opener.h"

kav_unpack *kav_fuzz_sink(void); /* made ready for one input */
void kav_fuzz_check(const kav_unpack *u, size_t size);

#endif
