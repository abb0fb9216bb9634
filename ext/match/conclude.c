#include "condition.h"
#include "direct.h"
#include "expression.h"
#include "icons.h"
#include "part.h"
#include "probe.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX    ".UNOFFICIAL"
#define HASH_HITS 64 /* most signatures of one database that name the same digest */

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
    if (l->final || !(flags & KAV_PA_WEAK)) return state->count;
    if ((flags & KAV_PA_GATED) && !(state->flags & KAV_ST_OPEN)) return 0;
    return KAV_ANY_COUNT;
}

static uint32_t count_of(const void *context, const kav_code *leaf)
{
    return count_of_pattern(context, leaf->value);
}

static const kav_signature *signature_of(const kav_session *s, kav_touch t)
{
    return &s->image->bodies[t.body].body.signatures[t.index];
}

/* In the database file as it is now; 0: no longer there. */
static uint32_t line_of(const kav_session *s, kav_touch t)
{
    return kav_moved_line(&s->image->bodies[t.body].moved, signature_of(s, t)->line);
}

static bool applies(kav_session *s, kav_touch t)
{
    return line_of(s, t) && kav_condition_holds(s, &s->image->bodies[t.body].body, signature_of(s, t));
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

/* What can be said without running probes. */
static enum kav_truth truth(kav_session *s, kav_touch t, bool final)
{
    leaves l = {s, t.body, final};
    const kav_signature *g = signature_of(s, t);
    const kav_code *code = s->image->bodies[t.body].body.code + g->code;
    if (!(g->flags & KAV_SF_PROBES)) return kav_expression_eval(code, g->code_count, count_of, &l);
    uint32_t counts[KAV_SUBSIGS_MAX] = {0};
    fill_counts(&l, g, counts);
    return kav_expression_eval(code, g->code_count, kav_probe_count, counts);
}

/* All patterns are counted. Probes are run only for a signature that can become true through them. */
static bool is_true(kav_session *s, kav_touch t)
{
    const kav_signature *g = signature_of(s, t);
    const kav_code *code = s->image->bodies[t.body].body.code + g->code;
    enum kav_truth known = truth(s, t, true);
    if (known != KAV_PERHAPS) return known == KAV_TRUE;
    leaves l = {s, t.body, true};
    uint32_t counts[KAV_SUBSIGS_MAX] = {0};
    fill_counts(&l, g, counts);
    kav_probe_run(s, t.body, g, counts);
    return kav_expression_eval(code, g->code_count, kav_probe_count, counts) == KAV_TRUE;
}

static bool want_pattern(kav_session *s, uint32_t body, uint32_t index)
{
    const kav_image_body *b = &s->image->bodies[body];
    kav_pattern_state *state = &s->patterns[b->patterns + index];
    if ((b->body.patterns[index].flags & (KAV_PA_WEAK | KAV_PA_DIRECT)) != KAV_PA_WEAK) return false;
    if (!(state->flags & KAV_ST_TOUCHED)) { /* on the list, so that it is reset */
        state->flags |= KAV_ST_TOUCHED;
        s->touched_patterns[s->touched_pattern_count++] = (kav_touch){body, index};
    }
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
    const kav_signature *g = signature_of(s, t);
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

bool kav_conclude_needs_weak(kav_session *s)
{
    bool needed = false;
    for (uint32_t i = 0; i < s->image->rest_count[s->target]; i++) {
        kav_signature_ref r = s->image->rest[s->target][i];
        list(s, (kav_touch){r.body, r.signature});
    }
    for (uint32_t i = 0; i < s->touched_signature_count; i++) {
        kav_touch t = s->touched_signatures[i];
        const kav_signature *g = signature_of(s, t);
        if (!(g->flags & KAV_SF_WEAK) || !applies(s, t) || truth(s, t, false) != KAV_PERHAPS) continue;
        needed |= want(s, t);
    }
    return needed;
}

/* Where the match begins: the least of its subsignatures' first places. */
static uint64_t first_place(const kav_session *s, kav_touch t)
{
    const kav_image_body *b = &s->image->bodies[t.body];
    const kav_signature *g = signature_of(s, t);
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < g->subsig_count; i++) {
        uint32_t sub = b->body.subsigs[g->subsig + i];
        if (sub & KAV_SUB_PROBE) continue;
        const kav_pattern_state *state = &s->patterns[b->patterns + sub];
        if (state->count && state->first < first) first = state->first;
    }
    return first;
}

void kav_conclude_add(kav_session *s, kav_true hit)
{
    if (kav_image_ignores(s->image, (const char *)hit.name, hit.name_len)) s->found->suppressed = 1;
    else kav_buffer_add(&s->truths, &hit, sizeof hit);
}

static bool icons_match(kav_session *s, const kav_body *b, const kav_signature *g)
{
    if (g->condition == KAV_NONE || !(b->conditions[g->condition].flags & KAV_CO_ICONS)) return true;
    const kav_condition *c = &b->conditions[g->condition];
    return kav_icons_match(s, b->names + c->icon_name[0], c->icon_len[0], b->names + c->icon_name[1], c->icon_len[1]);
}

static void find_signatures(kav_session *s)
{
    for (uint32_t i = 0; i < s->touched_signature_count; i++) {
        kav_touch t = s->touched_signatures[i];
        const kav_image_body *b = &s->image->bodies[t.body];
        const kav_signature *g = signature_of(s, t);
        if (!applies(s, t) || !is_true(s, t) || !icons_match(s, &b->body, g)) continue;
        kav_conclude_add(s, (kav_true){b->body.names + g->name, g->name_len, b->database, line_of(s, t),
                                       first_place(s, t), b->official});
    }
}

static void find_hashes(kav_session *s)
{
    const kav_layer_found *found = s->found;
    for (uint32_t i = 0; i < s->image->hash_count; i++) {
        const kav_image_set *set = &s->image->hashes[i];
        kav_hashset_hit hits[HASH_HITS];
        size_t count = kav_hashset_find(&set->set, found->size, &found->digests, hits, HASH_HITS);
        for (size_t k = 0; k < count && k < HASH_HITS; k++) {
            kav_conclude_add(s, (kav_true){(const uint8_t *)hits[k].name, hits[k].name_len, set->database, hits[k].line,
                                           UINT64_MAX, set->official});
        }
    }
}

static int compare_truths(const void *a, const void *b)
{
    const kav_true *x = a, *y = b;
    if (x->database != y->database) return x->database < y->database ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

/* Names as they are printed, one behind the other; pointers into them only once they no longer move. */
static void write_hits(kav_session *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const kav_true *t = KAV_ITEM(s->truths, const kav_true, i);
        kav_hit hit = {NULL, t->name_len, t->database, t->line, t->offset};
        kav_buffer_add(&s->names, t->name, t->name_len);
        if (!t->official) {
            kav_buffer_add(&s->names, SUFFIX, sizeof SUFFIX - 1);
            hit.name_len += sizeof SUFFIX - 1;
        }
        kav_buffer_add(&s->hits, &hit, sizeof hit);
    }
    if (!kav_buffer_ok(&s->names) || !kav_buffer_ok(&s->hits)) return;
    const char *name = (const char *)s->names.data;
    for (uint32_t i = 0; i < count; i++) {
        kav_hit *hit = KAV_ITEM(s->hits, kav_hit, i);
        hit->name = name;
        name += hit->name_len;
    }
}

bool kav_conclude(kav_session *s, const kav_layer_options *options)
{
    find_signatures(s);
    if (s->found->digests.have) find_hashes(s);
    uint32_t count = KAV_COUNT(s->truths, kav_true);
    if (!count) return kav_buffer_ok(&s->truths);
    if (count > 1) qsort(s->truths.data, count, sizeof(kav_true), compare_truths);
    if (!(options->switches & KAV_S_ALL_MATCH)) count = 1;
    write_hits(s, count);
    s->found->hits = KAV_ITEM(s->hits, const kav_hit, 0);
    s->found->hit_count = count;
    return kav_buffer_ok(&s->truths) && kav_buffer_ok(&s->names) && kav_buffer_ok(&s->hits);
}
