/* Totals: how far around a literal a segment's patterns look, counted once when the segment is built. */
#ifndef KAV_TOTALS_H
#define KAV_TOTALS_H

#include "tables.h"

void kav_totals_count(const kav_tables *t, kav_body_totals *out);

#endif
