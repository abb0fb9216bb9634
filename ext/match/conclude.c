#include "icons.h"
#include "truth.h"

#include <stdlib.h>
#include <string.h>

#define SUFFIX    ".UNOFFICIAL"
#define HASH_HITS 64 /* most signatures of one database that name the same digest */

/* Where the match begins: the least of its subsignatures' first places. */
static uint64_t first_place(const kav_session *s, kav_touch t)
{
    const kav_image_body *b = &s->image->bodies[t.body];
    const kav_signature *g = kav_truth_signature(s, t);
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

/* The signature that has a layer scanned again. */
typedef struct {
    kav_true hit;
    kav_type handler;
    bool certain; /* it will match again */
    bool is_set;
} handing;

static int compare_truths(const void *a, const void *b);

static void tell_handing(kav_session *s, const handing *h)
{
    if (h->is_set) kav_conclude_add(s, h->hit);
}

/* A signature with a handler says nothing of the layer, but has it scanned again as of another type, and counts if it
 * matches there. That is certain for one of any type, or of just that one. ClamAV takes the first of a layer so, and
 * reports others at once. */
static void hand_on(kav_session *s, handing *first, handing next)
{
    if (kav_image_ignores(s->image, (const char *)next.hit.name, next.hit.name_len)) {
        s->found->suppressed = 1;
    } else if (next.certain || (first->is_set && compare_truths(&first->hit, &next.hit) < 0)) {
        tell_handing(s, &next);
        if (!first->is_set) *first = next;
    } else {
        if (!first->certain) tell_handing(s, first);
        *first = next;
    }
}

static void find_signatures(kav_session *s)
{
    handing first = {.is_set = false};
    bool hands = !s->options->view && !s->options->again;
    for (uint32_t i = 0; i < s->touched_signature_count; i++) {
        kav_touch t = s->touched_signatures[i];
        const kav_image_body *b = &s->image->bodies[t.body];
        const kav_signature *g = kav_truth_signature(s, t);
        if (!kav_truth_applies(s, t) || !kav_truth_holds(s, t) || !icons_match(s, &b->body, g)) continue;
        kav_true hit = {b->body.names + g->name, g->name_len,       b->database,
                        kav_truth_line(s, t),    first_place(s, t), b->official};
        const kav_condition *c = g->condition == KAV_NONE ? NULL : &b->body.conditions[g->condition];
        if (!hands || !c || !(c->flags & KAV_CO_HANDLER)) {
            kav_conclude_add(s, hit);
            continue;
        }
        bool certain = g->target == KAV_T_ANY || g->target == c->handler_target;
        hand_on(s, &first, (handing){hit, {c->handler, c->handler_target}, certain, true});
    }
    s->found->handled = first.is_set;
    s->found->handler = first.handler;
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
