#include "condition.h"
#include "offset.h"

static bool has_format(const kav_chain_link *link, uint16_t format)
{
    uint32_t bits = 8 * sizeof link->formats;
    return format < bits && link->formats[format / 64] >> (format % 64) & 1;
}

static bool chain_holds(const kav_session *s, const kav_body *b, const kav_condition *c)
{
    const kav_chain_link *links = (const void *)(b->data + c->chain);
    if (s->around_count < c->depth_min || s->around_count < c->chain_count) return false;
    for (uint32_t i = 0; i < c->chain_count; i++) {
        if (!has_format(&links[i], s->around[s->around_count - 1 - i].format)) return false;
    }
    return true;
}

static bool headers_hold(kav_session *s, const kav_condition *c)
{
    const kav_exe *exe = kav_offset_exe(s);
    if (!exe) return false;
    if (c->flags & KAV_CO_ENTRY && (exe->entry < c->entry_min || exe->entry > c->entry_max)) return false;
    if (!(c->flags & KAV_CO_SECTIONS)) return true;
    return exe->section_count >= c->sections_min && exe->section_count <= c->sections_max;
}

bool kav_condition_holds(kav_session *s, const kav_body *b, const kav_signature *g)
{
    if ((g->target != KAV_T_ANY && g->target != s->target) || s->layer_size < g->min_size ||
        s->layer_size > g->max_size)
        return false;
    if (g->condition == KAV_NONE) return true;
    const kav_condition *c = &b->conditions[g->condition];
    if (c->flags & KAV_CO_OUTMOST && s->around_count) return false;
    if (c->flags & KAV_CO_CHAIN && !chain_holds(s, b, c)) return false;
    return !(c->flags & (KAV_CO_ENTRY | KAV_CO_SECTIONS)) || headers_hold(s, c);
}
