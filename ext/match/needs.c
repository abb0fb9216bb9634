#include "needs.h"
#include "bytecompare.h"
#include "pcreprobe.h"
#include "probe.h"

#define MAGIC_COST 16 /* a pattern in one place near the beginning is mostly what files of a format have in common */
#define NO_COST    UINT64_MAX

/* Without one of these an expression or a part of it is false; NO_COST: it can be true without any. */
typedef struct {
    uint64_t subsigs, cost;
} needs;

static needs cheaper(needs a, needs b)
{
    return b.cost < a.cost ? b : a;
}

static needs either(needs a, needs b)
{
    if (a.cost == NO_COST || b.cost == NO_COST) return (needs){0, NO_COST};
    return (needs){a.subsigs | b.subsigs, a.cost + b.cost};
}

/* Can this hold of nothing? */
static bool takes_none(const kav_code *c)
{
    return c->compare == '<' || (c->compare == '=' && c->count == 0);
}

/* What an expression needs, when that of its subsignatures is known. */
static needs of_code(const kav_code *code, uint32_t count, const needs *row)
{
    needs stack[KAV_CODE_DEPTH];
    uint32_t top = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kav_code *c = &code[i];
        switch (c->op) {
        case KAV_OP_LEAF:
        case KAV_OP_PROBE: stack[top++] = takes_none(c) ? (needs){0, NO_COST} : row[c->index]; break;
        case KAV_OP_BLOCK:
            if (takes_none(c)) stack[top - 1] = (needs){0, NO_COST};
            break;
        case KAV_OP_AND: top--, stack[top - 1] = cheaper(stack[top - 1], stack[top]); break;
        default: top--, stack[top - 1] = either(stack[top - 1], stack[top]);
        }
    }
    return stack[0];
}

static needs of_pattern(const kav_pattern *p, uint32_t index, uint32_t namers)
{
    bool seen = !(p->flags & KAV_PA_WEAK) || (p->flags & KAV_PA_GATED); /* by the first pass, be it only its gate */
    if (!seen || p->flags & KAV_PA_DIRECT || p->place == KAV_AT_MACRO) return (needs){0, NO_COST};
    uint64_t cost = (uint64_t)namers + 1;
    return (needs){UINT64_C(1) << index, p->place == KAV_AT_START ? cost * MAGIC_COST : cost};
}

/* A regular expression needs what its trigger does, a byte comparison what it refers to, a macro what stands before it.
 * All of these come before it; what does not is taken for something that is always there. */
static needs of_probe(const kav_tables *t, const kav_probe *probe, uint32_t index, const needs *row)
{
    const void *data = t->data.data + probe->data;
    if (probe->kind == KAV_PROBE_PCRE) {
        const kav_pcre *pcre = data;
        return of_code(kav_pcre_code(pcre), pcre->code_count, row);
    }
    if (probe->kind == KAV_PROBE_COMPARE) {
        uint32_t reference = ((const kav_bytecompare *)data)->reference;
        return reference < KAV_SUBSIGS_MAX ? row[reference] : (needs){0, NO_COST};
    }
    return probe->kind == KAV_PROBE_MACRO && index > 0 ? row[index - 1] : (needs){0, NO_COST};
}

uint64_t kav_needs_find(const kav_passes *p, uint32_t index, const uint32_t *namers)
{
    const kav_tables *t = p->parse->tables;
    const kav_signature *g = &p->signatures[index];
    const uint32_t *subsigs = p->subsigs + g->subsig;
    needs row[KAV_SUBSIGS_MAX];
    for (uint32_t i = 0; i < KAV_SUBSIGS_MAX; i++) {
        row[i] = (needs){0, NO_COST};
        if (i < g->subsig_count && !(subsigs[i] & KAV_SUB_PROBE))
            row[i] = of_pattern(KAV_ITEM(t->patterns, const kav_pattern, subsigs[i]), i, namers[subsigs[i]]);
    }
    for (uint32_t i = 0; i < g->subsig_count; i++) {
        if (!(subsigs[i] & KAV_SUB_PROBE)) continue;
        const kav_probe *probe = KAV_ITEM(t->probes, const kav_probe, subsigs[i] & ~KAV_SUB_PROBE);
        row[i] = of_probe(t, probe, i, row);
    }
    return of_code(p->code + g->code, g->code_count, row).subsigs;
}
