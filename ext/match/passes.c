#include "passes.h"
#include "direct.h"
#include "expression.h"
#include "probe.h"

#include <stdlib.h>

#define SHORT 5 /* bytes; with fewer a literal is found everywhere */

static kav_pattern *pattern_of(const kav_tables *t, const kav_build_posting *posting)
{
    const kav_piece *piece = KAV_ITEM(t->pieces, const kav_piece, posting->piece & ~KAV_POSTING_GATE);
    const kav_chain *chain = KAV_ITEM(t->chains, const kav_chain, piece->chain);
    return KAV_ITEM(t->patterns, kav_pattern, chain->pattern);
}

/* Can the signature be true when nothing is known of the patterns that wait, and all others are not there? */
static bool stays_open(const kav_passes *p, const kav_signature *g, const uint8_t *waiting)
{
    const kav_tables *t = p->parse->tables;
    kav_probe_row row = {p->subsigs + g->subsig, g->subsig_count, KAV_ITEM(t->probes, const kav_probe, 0),
                         t->data.data};
    uint32_t counts[KAV_SUBSIGS_MAX] = {0};
    for (uint32_t i = 0; i < row.count; i++) {
        uint32_t sub = row.subsigs[i];
        if (sub & KAV_SUB_PROBE) continue;
        uint8_t flags = KAV_ITEM(t->patterns, const kav_pattern, sub)->flags;
        bool open = (flags & KAV_PA_WEAK) && !(flags & KAV_PA_GATED);
        if (open || (waiting && waiting[sub])) counts[i] = KAV_ANY_COUNT;
    }
    kav_probe_outlook(&row, counts);
    return kav_expression_eval(p->code + g->code, g->code_count, kav_probe_count, counts) != KAV_FALSE;
}

void kav_passes_rest(const kav_passes *p, kav_buffer *rest)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (stays_open(p, &p->signatures[i], NULL)) kav_buffer_add(rest, &i, sizeof i);
    }
}

/* What is known of a pattern or a piece while its postings are looked through. */
typedef struct {
    uint8_t *waiting;  /* by pattern */
    uint8_t *shortest; /* by piece: bytes of its shortest literal in the first pass; 0: none */
    uint32_t *gates;   /* by chain: the piece that is its gate, or KAV_NONE */
} notes;

static uint32_t pattern_number(const kav_tables *t, const kav_build_posting *posting)
{
    return (uint32_t)(pattern_of(t, posting) - KAV_ITEM(t->patterns, kav_pattern, 0));
}

/* Patterns with a short literal in the first pass, be it only as a gate. Members of macro groups serve signatures of
 * any segment. */
static void mark_short(const kav_tables *t, notes *n)
{
    uint32_t count = KAV_COUNT(t->postings, kav_build_posting);
    for (uint32_t i = 0; i < count; i++) {
        const kav_build_posting *posting = KAV_ITEM(t->postings, const kav_build_posting, i);
        uint8_t length = KAV_ITEM(t->literals, const kav_literal, posting->literal)->length;
        uint8_t *shortest = &n->shortest[posting->piece & ~KAV_POSTING_GATE];
        if (length == 0) continue;
        if (*shortest == 0 || length < *shortest) *shortest = length;
        if (length < SHORT && pattern_of(t, posting)->place != KAV_AT_MACRO) n->waiting[pattern_number(t, posting)] = 1;
    }
}

/* A signature that would then be open in every layer needs all of its patterns in the first pass. */
static void keep_needed(const kav_passes *p, uint8_t *waiting)
{
    for (uint32_t i = 0; i < p->count; i++) {
        const kav_signature *g = &p->signatures[i];
        if (!stays_open(p, g, waiting)) continue;
        for (uint32_t k = 0; k < g->subsig_count; k++) {
            uint32_t sub = p->subsigs[g->subsig + k];
            if (!(sub & KAV_SUB_PROBE)) waiting[sub] = 0;
        }
    }
}

/* The best piece of each chain of a pattern that waits is its gate, if there is a good one in every chain. */
static void choose_gates(const kav_tables *t, notes *n, uint32_t index)
{
    kav_pattern *pattern = KAV_ITEM(t->patterns, kav_pattern, index);
    bool gated = true;
    for (uint32_t c = pattern->chain; c < pattern->chain + pattern->chain_count; c++) {
        const kav_chain *chain = KAV_ITEM(t->chains, const kav_chain, c);
        uint8_t best = SHORT - 1;
        for (uint32_t i = chain->piece; i < chain->piece + chain->piece_count; i++) {
            if (n->shortest[i] <= best) continue;
            best = n->shortest[i];
            n->gates[c] = i;
        }
        gated = gated && n->gates[c] != KAV_NONE;
    }
    pattern->flags = (uint8_t)((pattern->flags & ~KAV_PA_GATED) | KAV_PA_WEAK | (gated ? KAV_PA_GATED : 0));
}

/* A weak pattern of one piece that can stand in one place only. */
static bool is_direct(const kav_tables *t, const kav_pattern *p)
{
    const kav_chain *chain = KAV_ITEM(t->chains, const kav_chain, p->chain);
    const kav_piece *piece = KAV_ITEM(t->pieces, const kav_piece, chain->piece);
    return (p->flags & (KAV_PA_WEAK | KAV_PA_EARLY | KAV_PA_PLACES)) == KAV_PA_WEAK && p->shift == 0 &&
           (p->place == KAV_AT_START || p->place == KAV_AT_END) && p->chain_count == 1 && chain->piece_count == 1 &&
           piece->pivot == 0 && (uint64_t)piece->back + piece->ahead <= KAV_DIRECT_MAX;
}

static void mark_direct(const kav_tables *t)
{
    uint32_t count = KAV_COUNT(t->patterns, kav_pattern);
    for (uint32_t i = 0; i < count; i++) {
        kav_pattern *p = KAV_ITEM(t->patterns, kav_pattern, i);
        if (is_direct(t, p)) p->flags = (uint8_t)((p->flags & ~KAV_PA_GATED) | KAV_PA_DIRECT);
    }
}

/* What a piece of a pattern that waits is posted under: in the first pass only as a gate, in the second anyway. */
static void move_posting(const kav_passes *p, const notes *n, uint32_t index, kav_buffer *out)
{
    kav_tables *t = p->parse->tables;
    kav_build_posting posting = *KAV_ITEM(t->postings, const kav_build_posting, index);
    uint32_t piece = posting.piece & ~KAV_POSTING_GATE;
    bool fast = KAV_ITEM(t->literals, const kav_literal, posting.literal)->length > 0;
    bool gate = pattern_of(t, &posting)->flags & KAV_PA_GATED &&
                n->gates[KAV_ITEM(t->pieces, const kav_piece, piece)->chain] == piece;
    if (fast && gate) {
        kav_build_posting opens = {posting.literal, piece | KAV_POSTING_GATE};
        kav_buffer_add(out, &opens, sizeof opens);
    }
    if (posting.piece & KAV_POSTING_GATE) return; /* the piece itself is posted besides */
    if (fast) posting.literal = kav_literal_weaken(p->parse, posting.literal);
    kav_buffer_add(out, &posting, sizeof posting);
}

static void move_postings(const kav_passes *p, const notes *n)
{
    kav_tables *t = p->parse->tables;
    uint32_t count = KAV_COUNT(t->postings, kav_build_posting);
    kav_buffer moved = {0};
    for (uint32_t i = 0; i < count && !t->literals.failed; i++) {
        const kav_build_posting *posting = KAV_ITEM(t->postings, const kav_build_posting, i);
        if (pattern_of(t, posting)->flags & KAV_PA_DIRECT) continue;
        if (n->waiting[pattern_number(t, posting)]) move_posting(p, n, i, &moved);
        else kav_buffer_add(&moved, posting, sizeof *posting);
    }
    kav_buffer_free(&t->postings);
    t->postings = moved;
}

/* Signatures ask for the second pass if one of their patterns does. */
static void mark_weak(const kav_passes *p, const uint8_t *waiting)
{
    for (uint32_t i = 0; i < p->count; i++) {
        kav_signature *g = &p->signatures[i];
        for (uint32_t k = 0; k < g->subsig_count; k++) {
            uint32_t sub = p->subsigs[g->subsig + k];
            if (!(sub & KAV_SUB_PROBE) && waiting[sub]) g->flags |= KAV_SF_WEAK;
        }
    }
}

bool kav_passes_defer(kav_passes *p)
{
    kav_tables *t = p->parse->tables;
    uint32_t patterns = KAV_COUNT(t->patterns, kav_pattern), chains = KAV_COUNT(t->chains, kav_chain);
    notes n = {calloc(patterns + 1u, 1), calloc(KAV_COUNT(t->pieces, kav_piece) + 1u, 1),
               malloc((chains + 1u) * sizeof *n.gates)};
    bool ok = n.waiting && n.shortest && n.gates;
    if (ok) {
        for (uint32_t i = 0; i < chains; i++) n.gates[i] = KAV_NONE;
        mark_short(t, &n);
        keep_needed(p, n.waiting);
        for (uint32_t i = 0; i < patterns; i++) {
            if (n.waiting[i]) choose_gates(t, &n, i);
        }
        mark_direct(t);
        move_postings(p, &n);
        mark_weak(p, n.waiting);
    }
    free(n.waiting);
    free(n.shortest);
    free(n.gates);
    return ok && kav_buffer_ok(&t->postings) && kav_buffer_ok(&t->literals);
}
