/* Tables: what a BODY part is built from, while it is being built. */
#ifndef KAV_TABLES_H
#define KAV_TABLES_H

#include "buffer.h"
#include "format.h"

typedef struct {
    kav_buffer patterns, chains, pieces, elements, edges, data;
    kav_buffer literals; /* kav_literal; posting fields are filled in at the end */
    kav_buffer postings; /* kav_build_posting in the order in which pieces came */
    kav_buffer probes;   /* kav_probe */
    uint32_t tracks;
} kav_tables;

typedef struct {
    uint32_t literal, piece; /* piece may carry KAV_POSTING_GATE */
} kav_build_posting;

#endif
