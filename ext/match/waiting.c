#include "probe.h"
#include "truth.h"

/* On the list, so that it is reset. */
static void list_pattern(kav_session *s, uint32_t body, uint32_t index)
{
    kav_pattern_state *state = &s->patterns[s->image->bodies[body].patterns + index];
    if (state->flags & KAV_ST_TOUCHED) return;
    state->flags |= KAV_ST_TOUCHED;
    s->touched_patterns[s->touched_pattern_count++] = (kav_touch){body, index};
}

static bool want_pattern(kav_session *s, uint32_t body, uint32_t index)
{
    const kav_image_body *b = &s->image->bodies[body];
    kav_pattern_state *state = &s->patterns[b->patterns + index];
    if ((b->body.patterns[index].flags & (KAV_PA_WEAK | KAV_PA_DIRECT)) != KAV_PA_WEAK) return false;
    if (state->flags & KAV_ST_SOUGHT) return false;
    list_pattern(s, body, index);
    state->flags |= KAV_ST_WANTED;
    return true;
}

/* The members of macro groups, which are in any database. */
static bool want_members(kav_session *s)
{
    bool some = false;
    for (uint32_t body = 0; body < s->image->body_count; body++) {
        const kav_body *b = &s->image->bodies[body].body;
        for (uint32_t i = 0; i < b->pattern_count; i++) {
            if (b->patterns[i].place == KAV_AT_MACRO) some |= want_pattern(s, body, i);
        }
    }
    return some;
}

/* The patterns through which this signature may become true are looked for in the weak pass. */
static bool want(kav_session *s, kav_touch t)
{
    const kav_body *b = &s->image->bodies[t.body].body;
    const kav_signature *g = kav_truth_signature(s, t);
    bool some = false;
    for (uint32_t i = 0; i < g->subsig_count; i++) {
        uint32_t sub = b->subsigs[g->subsig + i];
        if (!(sub & KAV_SUB_PROBE)) some |= want_pattern(s, t.body, sub);
        else if (b->probes[sub & ~KAV_SUB_PROBE].kind == KAV_PROBE_MACRO) some |= want_members(s);
    }
    return some;
}

static bool list(kav_session *s, kav_touch t)
{
    uint8_t *listed = &s->signatures[s->image->bodies[t.body].signatures + t.index];
    if (*listed) return false;
    *listed = 1;
    s->touched_signatures[s->touched_signature_count++] = t;
    return true;
}

/* Is it unknown how often this pattern is there? */
static bool is_open(const kav_session *s, uint32_t body, uint32_t index)
{
    const kav_image_body *b = &s->image->bodies[body];
    uint32_t state = s->patterns[b->patterns + index].flags;
    uint8_t flags = b->body.patterns[index].flags;
    if ((flags & (KAV_PA_WEAK | KAV_PA_DIRECT)) != KAV_PA_WEAK || state & KAV_ST_SOUGHT) return false;
    return !(flags & KAV_PA_GATED) || state & KAV_ST_OPEN;
}

/* How many bytes a match takes at most, but for its far gaps. */
static uint64_t extent(const kav_body *b, uint32_t pattern)
{
    const kav_chain *chain = &b->chains[b->patterns[pattern].chain];
    uint64_t sum = 0;
    for (uint32_t i = chain->piece; i < chain->piece + chain->piece_count; i++)
        sum += (uint64_t)b->pieces[i].back + b->pieces[i].ahead;
    return sum;
}

/* Of the patterns that are unknown the one that is rarest by its length: mostly it is not there, and that decides. */
static uint32_t next_open(const kav_session *s, kav_touch t)
{
    const kav_body *b = &s->image->bodies[t.body].body;
    const kav_signature *g = kav_truth_signature(s, t);
    uint64_t longest = 0;
    uint32_t next = KAV_NONE;
    for (uint32_t i = 0; i < g->subsig_count; i++) {
        uint32_t sub = b->subsigs[g->subsig + i];
        if (sub & KAV_SUB_PROBE || !is_open(s, t.body, sub)) continue;
        uint64_t length = extent(b, sub);
        if (next != KAV_NONE && length <= longest) continue;
        longest = length;
        next = sub;
    }
    return next;
}

static bool has_macros(const kav_session *s, kav_touch t)
{
    const kav_body *b = &s->image->bodies[t.body].body;
    const kav_signature *g = kav_truth_signature(s, t);
    for (uint32_t i = 0; i < g->subsig_count; i++) {
        uint32_t sub = b->subsigs[g->subsig + i];
        if (sub & KAV_SUB_PROBE && b->probes[sub & ~KAV_SUB_PROBE].kind == KAV_PROBE_MACRO) return true;
    }
    return false;
}

/* Look for one pattern after the other until the signature cannot become true, or all are known. Once it is true the
 * others are looked for all the same: the first place of all is told. False: the rest is for the second pass. */
static bool decide(kav_session *s, kav_touch t, uint32_t *reasons)
{
    uint32_t next;
    if (has_macros(s, t)) return false;
    do {
        next = next_open(s, t);
        if (next == KAV_NONE) return true;
        list_pattern(s, t.body, next);
        if (!kav_scan_alone(s, t.body, next, reasons)) return false;
    } while (!(*reasons & ~KAV_R_MATCH) && kav_truth_of(s, t, false) != KAV_FALSE);
    return true;
}

bool kav_waiting_needs_pass(kav_session *s, uint32_t *reasons)
{
    bool needed = false;
    for (uint32_t i = 0; i < s->image->rest_count[s->target]; i++) {
        kav_signature_ref r = s->image->rest[s->target][i];
        list(s, (kav_touch){r.body, r.signature});
    }
    for (uint32_t i = 0; i < s->touched_signature_count; i++) {
        kav_touch t = s->touched_signatures[i];
        const kav_signature *g = kav_truth_signature(s, t);
        if (!(g->flags & KAV_SF_WEAK) || !kav_truth_applies(s, t) || kav_truth_of(s, t, false) != KAV_PERHAPS) continue;
        if (!decide(s, t, reasons)) needed |= want(s, t);
        if (*reasons & ~KAV_R_MATCH) return false; /* time is up */
    }
    return needed;
}
