#include "totals.h"

#include <string.h>

static bool choice_takes_nul(const kav_tables *t, const kav_element *e)
{
    const uint8_t *data = t->data.data + e->data;
    for (uint32_t i = 0; i < e->length; i++) {
        uint16_t length;
        memcpy(&length, data, sizeof length);
        const uint8_t *values = data + sizeof(kav_choice);
        bool nul = true;
        for (uint32_t k = 0; k < length; k++) nul &= (values[k] & values[length + k]) == 0;
        if (nul) return !(e->flags & KAV_EL_NOT);
        data = values + 2 * (size_t)length;
    }
    return e->flags & KAV_EL_NOT;
}

/* Can this element match where everything is NUL? */
static bool takes_nul(const kav_tables *t, const kav_element *e)
{
    const uint8_t *data = t->data.data + e->data;
    switch (e->kind) {
    case KAV_EL_ANY: return true;
    case KAV_EL_SET: return data[0] & 1;
    case KAV_EL_CHOICE: return choice_takes_nul(t, e);
    case KAV_EL_LINE: return e->flags & KAV_EL_NOT;
    default:
        for (uint32_t i = 0; i < e->length; i++) {
            if (data[i] & (e->kind == KAV_EL_MASK ? data[e->length + i] : 0xff)) return false;
        }
        return true;
    }
}

/* How much of a long run of NULs must be looked at, from its beginning and from its end, so that nothing is missed.
 *
 * Inside the run only pieces that take NULs alone can match, and they do so at every place. If a chain has such a piece
 * and a match uses places deeper in the run than the sum of the chain's pieces and gaps, then moving those places
 * towards the nearer end (or, across an open gap, towards the run's beginning) gives another match that does not. A
 * match counted cap times begins at cap places next to each other. Where an offset fixes the place, the run is looked
 * at up to there. A chain without such a piece only needs its own pieces' length. */
static uint64_t chain_reach(const kav_tables *t, const kav_chain *chain)
{
    const kav_pattern *pattern = KAV_ITEM(t->patterns, const kav_pattern, chain->pattern);
    uint64_t sum = pattern->cap, longest = 0;
    bool nul = false, first = false;
    for (uint32_t i = 0; i < chain->piece_count; i++) {
        const kav_piece *piece = KAV_ITEM(t->pieces, const kav_piece, chain->piece + i);
        uint64_t span = (uint64_t)piece->back + piece->ahead;
        bool all = true;
        for (uint32_t k = 0; k < piece->element_count && all; k++)
            all = takes_nul(t, KAV_ITEM(t->elements, const kav_element, piece->element + k));
        nul |= all;
        first |= all && i == 0;
        if (span > longest) longest = span;
        sum += span + (piece->gap_max == KAV_UNBOUNDED ? piece->gap_min : piece->gap_max);
    }
    if (!nul) return longest;
    if (pattern->place == KAV_AT_ANY || pattern->place == KAV_AT_MACRO) return sum;
    if (pattern->place <= KAV_AT_END) return sum + (uint64_t)pattern->offset + pattern->shift;
    return first ? UINT32_MAX : sum; /* an entry point or a section can lie anywhere */
}

void kav_totals_count(const kav_tables *t, kav_body_totals *out)
{
    *out = (kav_body_totals){.tracks = t->tracks};
    uint32_t pieces = KAV_COUNT(t->pieces, kav_piece), chains = KAV_COUNT(t->chains, kav_chain);
    for (uint32_t i = 0; i < pieces; i++) {
        const kav_piece *piece = KAV_ITEM(t->pieces, const kav_piece, i);
        uint32_t back = piece->back + piece->anchor;
        uint32_t ahead = piece->ahead > piece->anchor ? piece->ahead - piece->anchor : 0;
        if (back > out->back) out->back = back;
        if (ahead > out->ahead) out->ahead = ahead;
    }
    for (uint32_t i = 0; i < chains; i++) {
        uint64_t reach = chain_reach(t, KAV_ITEM(t->chains, const kav_chain, i));
        if (reach > out->zeros) out->zeros = reach;
    }
}
