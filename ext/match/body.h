/* Body: a BODY part as it lies in memory, every index checked. */
#ifndef KAV_BODY_H
#define KAV_BODY_H

#include "format.h"
#include <stdbool.h>

typedef struct {
    const uint8_t *part;
    const kav_signature *signatures;
    const kav_code *code;
    const kav_pattern *patterns;
    const kav_chain *chains;
    const kav_piece *pieces;
    const kav_element *elements;
    const kav_edge *edges;
    const uint8_t *data;
    const uint8_t *names;
    const uint32_t *refs, *rest;
    const kav_literal *literals;
    const uint32_t *postings;
    const kav_body_totals *totals;
    const uint32_t *subsigs;
    const kav_probe *probes;
    const kav_condition *conditions;
    uint32_t signature_count, code_count, pattern_count, chain_count, piece_count, element_count, edge_count;
    uint32_t ref_count, rest_count, literal_count, posting_count;
    uint32_t subsig_count, probe_count, condition_count;
    uint64_t data_length, names_length;
} kav_body;

/* Adopt a part that kav_part_check has accepted. False: an index points outside. */
bool kav_body_open(kav_body *b, const uint8_t *part);

#endif
