#include "truth.h"
#include "condition.h"
#include "direct.h"
#include "probe.h"

typedef struct {
    kav_session *s;
    uint32_t body;
    bool final; /* the weak pass is over, or was not needed */
} leaves;

static uint32_t count_of_pattern(const leaves *l, uint32_t pattern)
{
    const kav_image_body *b = &l->s->image->bodies[l->body];
    const kav_pattern_state *state = &l->s->patterns[b->patterns + pattern];
    uint8_t flags = b->body.patterns[pattern].flags;
    if (flags & KAV_PA_DIRECT) return kav_direct_count(l->s, l->body, pattern);
    if (l->final || !(flags & KAV_PA_WEAK) || state->flags & KAV_ST_SOUGHT) return state->count;
    if ((flags & KAV_PA_GATED) && !(state->flags & KAV_ST_OPEN)) return 0;
    return KAV_ANY_COUNT;
}

static uint32_t count_of(const void *context, const kav_code *leaf)
{
    return count_of_pattern(context, leaf->value);
}

const kav_signature *kav_truth_signature(const kav_session *s, kav_touch t)
{
    return &s->image->bodies[t.body].body.signatures[t.index];
}

uint32_t kav_truth_line(const kav_session *s, kav_touch t)
{
    return kav_moved_line(&s->image->bodies[t.body].moved, kav_truth_signature(s, t)->line);
}

bool kav_truth_applies(kav_session *s, kav_touch t)
{
    return kav_truth_line(s, t) && kav_condition_holds(s, &s->image->bodies[t.body].body, kav_truth_signature(s, t));
}

/* The counts of a signature's patterns, and what its probes can come to. */
static void fill_counts(const leaves *l, const kav_signature *g, uint32_t counts[KAV_SUBSIGS_MAX])
{
    const kav_body *b = &l->s->image->bodies[l->body].body;
    kav_probe_row row = {b->subsigs + g->subsig, g->subsig_count, b->probes, b->data};
    for (uint32_t i = 0; i < row.count; i++)
        counts[i] = row.subsigs[i] & KAV_SUB_PROBE ? 0 : count_of_pattern(l, row.subsigs[i]);
    kav_probe_outlook(&row, counts);
}

enum kav_truth kav_truth_of(kav_session *s, kav_touch t, bool final)
{
    leaves l = {s, t.body, final};
    const kav_signature *g = kav_truth_signature(s, t);
    const kav_code *code = s->image->bodies[t.body].body.code + g->code;
    if (!(g->flags & KAV_SF_PROBES)) return kav_expression_eval(code, g->code_count, count_of, &l);
    uint32_t counts[KAV_SUBSIGS_MAX] = {0};
    fill_counts(&l, g, counts);
    return kav_expression_eval(code, g->code_count, kav_probe_count, counts);
}

bool kav_truth_holds(kav_session *s, kav_touch t)
{
    const kav_signature *g = kav_truth_signature(s, t);
    const kav_code *code = s->image->bodies[t.body].body.code + g->code;
    enum kav_truth known = kav_truth_of(s, t, true);
    if (known != KAV_PERHAPS) return known == KAV_TRUE;
    leaves l = {s, t.body, true};
    uint32_t counts[KAV_SUBSIGS_MAX] = {0};
    fill_counts(&l, g, counts);
    kav_probe_run(s, t.body, g, counts);
    return kav_expression_eval(code, g->code_count, kav_probe_count, counts) == KAV_TRUE;
}
