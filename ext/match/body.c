#include "body.h"
#include "expression.h"
#include "kav.h"
#include "part.h"
#include "probe.h"

#include <string.h>

/* Is from .. from + count inside a table of total items? */
static bool inside(uint64_t from, uint64_t count, uint64_t total)
{
    return from <= total && count <= total - from;
}

static bool check_signatures(const kav_body *b)
{
    for (uint32_t i = 0; i < b->signature_count; i++) {
        const kav_signature *s = &b->signatures[i];
        if (s->target >= KAV_TARGET_COUNT || s->name_len == 0 || !inside(s->name, s->name_len, b->names_length) ||
            !inside(s->code, s->code_count, b->code_count) || s->subsig_count > KAV_SUBSIGS_MAX ||
            !inside(s->subsig, s->subsig_count, b->subsig_count) ||
            (s->condition != KAV_NONE && s->condition >= b->condition_count) ||
            !kav_expression_check(b->code + s->code, s->code_count, b->pattern_count, b->probe_count))
            return false;
    }
    for (uint32_t i = 0; i < b->subsig_count; i++) {
        uint32_t sub = b->subsigs[i];
        if ((sub & ~KAV_SUB_PROBE) >= (sub & KAV_SUB_PROBE ? b->probe_count : b->pattern_count)) return false;
    }
    for (uint32_t i = 0; i < b->rest_count; i++) {
        if (b->rest[i] >= b->signature_count) return false;
    }
    for (uint32_t i = 0; i < b->ref_count; i++) {
        if (b->refs[i] >= b->signature_count) return false;
    }
    return true;
}

static bool check_conditions(const kav_body *b)
{
    for (uint32_t i = 0; i < b->probe_count; i++) {
        if (!inside(b->probes[i].data, b->probes[i].length, b->data_length)) return false;
    }
    for (uint32_t i = 0; i < b->condition_count; i++) {
        const kav_condition *c = &b->conditions[i];
        if (c->chain % _Alignof(kav_chain_link) ||
            !inside(c->chain, (uint64_t)c->chain_count * sizeof(kav_chain_link), b->data_length) ||
            !inside(c->icon_name[0], c->icon_len[0], b->names_length) ||
            !inside(c->icon_name[1], c->icon_len[1], b->names_length) || c->handler >= KAV_FMT_COUNT ||
            c->handler_target >= KAV_TARGET_COUNT)
            return false;
    }
    return true;
}

/* When subsignatures, probes and their bytes are known to be there. */
static bool check_probes(const kav_body *b)
{
    for (uint32_t i = 0; i < b->signature_count; i++) {
        const kav_signature *g = &b->signatures[i];
        kav_probe_row row = {b->subsigs + g->subsig, g->subsig_count, b->probes, b->data};
        if (!kav_probe_check(&row)) return false;
    }
    return true;
}

static bool check_patterns(const kav_body *b)
{
    for (uint32_t i = 0; i < b->pattern_count; i++) {
        const kav_pattern *p = &b->patterns[i];
        if (!inside(p->chain, p->chain_count, b->chain_count) || !inside(p->ref, p->ref_count, b->ref_count) ||
            p->place > KAV_AT_MACRO)
            return false;
    }
    for (uint32_t i = 0; i < b->chain_count; i++) {
        const kav_chain *c = &b->chains[i];
        if (c->pattern >= b->pattern_count || c->piece_count == 0 || !inside(c->piece, c->piece_count, b->piece_count))
            return false;
        if (c->piece_count > 1 && !inside(c->track, c->piece_count - 1, b->totals->tracks)) return false;
    }
    return true;
}

static bool check_pieces(const kav_body *b)
{
    for (uint32_t i = 0; i < b->piece_count; i++) {
        const kav_piece *p = &b->pieces[i];
        if (p->chain >= b->chain_count || p->index >= b->chains[p->chain].piece_count ||
            b->chains[p->chain].piece + p->index != i || p->element_count == 0 || p->pivot >= p->element_count ||
            !inside(p->element, p->element_count, b->element_count) ||
            (p->edge != KAV_NONE && p->edge >= b->edge_count))
            return false;
    }
    return true;
}

static bool check_choice(const kav_body *b, const kav_element *e)
{
    uint64_t at = e->data;
    if (at % 2) return false;
    for (uint32_t i = 0; i < e->length; i++) {
        uint16_t length;
        if (!inside(at, sizeof(kav_choice), b->data_length)) return false;
        memcpy(&length, b->data + at, sizeof length);
        at += sizeof(kav_choice);
        if (length == 0 || !inside(at, 2 * (uint64_t)length, b->data_length)) return false;
        at += 2 * (uint64_t)length;
    }
    return e->length > 0;
}

static bool check_element(const kav_body *b, const kav_element *e)
{
    switch (e->kind) {
    case KAV_EL_BYTES:
    case KAV_EL_NOCASE: return e->length > 0 && inside(e->data, e->length, b->data_length);
    case KAV_EL_MASK: return e->length > 0 && inside(e->data, 2 * (uint64_t)e->length, b->data_length);
    case KAV_EL_SET: return inside(e->data, 32, b->data_length);
    case KAV_EL_CHOICE: return check_choice(b, e);
    case KAV_EL_ANY:
    case KAV_EL_LINE: return e->length > 0;
    default: return false;
    }
}

static bool check_elements(const kav_body *b)
{
    for (uint32_t i = 0; i < b->element_count; i++) {
        if (!check_element(b, &b->elements[i])) return false;
    }
    for (uint32_t i = 0; i < b->edge_count; i++) {
        for (int side = 0; side < 2; side++) {
            const kav_element *e = &b->edges[i].near[side];
            if (e->kind && (e->kind != KAV_EL_MASK || e->length != 1 || !check_element(b, e))) return false;
        }
    }
    return true;
}

static bool check_literals(const kav_body *b)
{
    for (uint32_t i = 0; i < b->literal_count; i++) {
        const kav_literal *l = &b->literals[i];
        bool fast = l->length > 0 && l->length <= KAV_LITERAL_MAX && l->text_length == 0;
        bool weak = l->length == 0 && l->text_length > 0 && inside(l->text, l->text_length, b->data_length);
        if (!(l->flags & KAV_LF_WEAK ? weak : fast) || !inside(l->posting, l->posting_count, b->posting_count))
            return false;
    }
    for (uint32_t i = 0; i < b->posting_count; i++) {
        if ((b->postings[i] & ~KAV_POSTING_GATE) >= b->piece_count) return false;
    }
    return true;
}

/* What a session takes memory for. */
static bool totals_bounded(const kav_body *b)
{
    const kav_body_totals *t = b->totals;
    return t->back <= KAV_REACH_MAX && t->ahead <= KAV_REACH_MAX && t->tracks <= b->piece_count;
}

bool kav_body_open(kav_body *b, const uint8_t *part)
{
    *b = (kav_body){.part = part};
    if (kav_part_count(part, KAV_TAB_TOTALS, sizeof *b->totals) != 1) return false;
    b->totals = kav_part_data(part, KAV_TAB_TOTALS);
    b->signatures = kav_part_data(part, KAV_TAB_SIGNATURES);
    b->signature_count = kav_part_count(part, KAV_TAB_SIGNATURES, sizeof *b->signatures);
    b->code = kav_part_data(part, KAV_TAB_CODE);
    b->code_count = kav_part_count(part, KAV_TAB_CODE, sizeof *b->code);
    b->patterns = kav_part_data(part, KAV_TAB_PATTERNS);
    b->pattern_count = kav_part_count(part, KAV_TAB_PATTERNS, sizeof *b->patterns);
    b->chains = kav_part_data(part, KAV_TAB_CHAINS);
    b->chain_count = kav_part_count(part, KAV_TAB_CHAINS, sizeof *b->chains);
    b->pieces = kav_part_data(part, KAV_TAB_PIECES);
    b->piece_count = kav_part_count(part, KAV_TAB_PIECES, sizeof *b->pieces);
    b->elements = kav_part_data(part, KAV_TAB_ELEMENTS);
    b->element_count = kav_part_count(part, KAV_TAB_ELEMENTS, sizeof *b->elements);
    if (!totals_bounded(b)) return false;
    b->edges = kav_part_data(part, KAV_TAB_EDGES);
    b->edge_count = kav_part_count(part, KAV_TAB_EDGES, sizeof *b->edges);
    b->data = kav_part_data(part, KAV_TAB_DATA);
    b->data_length = kav_part_of(part)->tables[KAV_TAB_DATA].length;
    b->names = kav_part_data(part, KAV_TAB_NAMES);
    b->names_length = kav_part_of(part)->tables[KAV_TAB_NAMES].length;
    b->refs = kav_part_data(part, KAV_TAB_REFS);
    b->ref_count = kav_part_count(part, KAV_TAB_REFS, sizeof *b->refs);
    b->rest = kav_part_data(part, KAV_TAB_REST);
    b->rest_count = kav_part_count(part, KAV_TAB_REST, sizeof *b->rest);
    b->literals = kav_part_data(part, KAV_TAB_LITERALS);
    b->literal_count = kav_part_count(part, KAV_TAB_LITERALS, sizeof *b->literals);
    b->postings = kav_part_data(part, KAV_TAB_POSTINGS);
    b->posting_count = kav_part_count(part, KAV_TAB_POSTINGS, sizeof *b->postings);
    b->subsigs = kav_part_data(part, KAV_TAB_SUBSIGS);
    b->subsig_count = kav_part_count(part, KAV_TAB_SUBSIGS, sizeof *b->subsigs);
    b->probes = kav_part_data(part, KAV_TAB_PROBES);
    b->probe_count = kav_part_count(part, KAV_TAB_PROBES, sizeof *b->probes);
    b->conditions = kav_part_data(part, KAV_TAB_CONDITIONS);
    b->condition_count = kav_part_count(part, KAV_TAB_CONDITIONS, sizeof *b->conditions);
    return check_signatures(b) && check_conditions(b) && check_probes(b) && check_patterns(b) && check_pieces(b) &&
           check_elements(b) && check_literals(b);
}
