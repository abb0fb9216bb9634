#include "verify.h"

#include <string.h>

static inline uint8_t lower(uint8_t b)
{
    return b >= 'A' && b <= 'Z' ? b | 0x20 : b;
}

static bool is_alnum(uint8_t b)
{
    return (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z');
}

static inline bool has_one_length(const kav_element *e)
{
    return e->kind <= KAV_EL_SET;
}

static inline uint64_t length_of(const kav_element *e)
{
    return e->kind == KAV_EL_SET ? 1 : e->length;
}

static bool masked(const uint8_t *at, const uint8_t *values, uint32_t length)
{
    const uint8_t *masks = values + length;
    for (uint32_t i = 0; i < length; i++) {
        if ((at[i] & masks[i]) != (values[i] & masks[i])) return false;
    }
    return true;
}

/* An element of one length, all its bytes being there. */
static inline bool matches(const kav_body *b, const kav_element *e, const uint8_t *at)
{
    const uint8_t *data = b->data + e->data;
    switch (e->kind) {
    case KAV_EL_BYTES: return memcmp(at, data, e->length) == 0;
    case KAV_EL_ANY: return true;
    case KAV_EL_SET: return data[*at >> 3] >> (*at & 7) & 1;
    case KAV_EL_MASK: return masked(at, data, e->length);
    default:
        for (uint32_t i = 0; i < e->length; i++) {
            if (lower(at[i]) != data[i]) return false;
        }
        return true;
    }
}

static void add_place(kav_places *p, uint64_t at)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (p->at[i] == at) return;
    }
    if (p->count == KAV_PLACES) p->full = true;
    else p->at[p->count++] = at;
}

/* Bytes from 'from' on are there; where going backward, they end at 'from'. NULL when some are not. */
static const uint8_t *bytes(const kav_view *v, uint64_t from, uint64_t length, bool backward)
{
    if (backward) {
        if (from < v->base || from - v->base < length) return NULL;
        return v->data + (from - length - v->base);
    }
    if (from > v->end || v->end - from < length) return NULL;
    return v->data + (from - v->base);
}

static uint64_t moved(uint64_t from, uint64_t length, bool backward)
{
    return backward ? from - length : from + length;
}

static void step_choice(const kav_body *b, const kav_element *e, const kav_view *v, uint64_t from, bool backward,
                        kav_places *out)
{
    const uint8_t *data = b->data + e->data;
    bool any = false, readable = false;
    uint16_t length = 0;
    for (uint32_t i = 0; i < e->length; i++) {
        memcpy(&length, data, sizeof length);
        const uint8_t *values = data + sizeof(kav_choice), *at = bytes(v, from, length, backward);
        data = values + 2 * (size_t)length;
        if (!at) continue;
        readable = true;
        if (!masked(at, values, length)) continue;
        any = true;
        if (!(e->flags & KAV_EL_NOT)) add_place(out, moved(from, length, backward));
    }
    /* Negated strings all have one length. */
    if ((e->flags & KAV_EL_NOT) && readable && !any) add_place(out, moved(from, length, backward));
}

static void step_line(const kav_element *e, const kav_view *v, uint64_t from, bool backward, kav_places *out)
{
    const uint8_t *one = bytes(v, from, 1, backward), *two = bytes(v, from, 2, backward);
    if (e->flags & KAV_EL_NOT) {
        const uint8_t *next = one && v->data + (v->end - v->base) > one + 1 ? one + 1 : NULL;
        if (one && *one != '\n' && !(*one == '\r' && next && *next == '\n')) add_place(out, moved(from, 1, backward));
        return;
    }
    if (one && *one == '\n') add_place(out, moved(from, 1, backward));
    if (two && two[0] == '\r' && two[1] == '\n') add_place(out, moved(from, 2, backward));
}

static void step(const kav_body *b, const kav_element *e, const kav_view *v, bool backward, kav_places *places)
{
    kav_places next = {.full = places->full};
    next.count = 0;
    for (uint32_t i = 0; i < places->count; i++) {
        uint64_t from = places->at[i];
        if (e->kind == KAV_EL_CHOICE) {
            step_choice(b, e, v, from, backward, &next);
        } else if (e->kind == KAV_EL_LINE) {
            step_line(e, v, from, backward, &next);
        } else {
            const uint8_t *at = bytes(v, from, length_of(e), backward);
            if (at && matches(b, e, at)) add_place(&next, moved(from, length_of(e), backward));
        }
    }
    places->count = next.count;
    places->full = next.full;
    memcpy(places->at, next.at, next.count * sizeof *next.at);
}

/* The bytes that ClamAV takes for a word's left and right boundary. */
static bool boundary_left(uint8_t b)
{
    return b && strchr(" -./<@_", b) != NULL;
}

static bool boundary_right(uint8_t b)
{
    return b && strchr(" \"'-/=>\n\r_", b) != NULL;
}

static bool near_matches(const kav_body *b, const kav_edge *e, int side, const kav_view *v, uint64_t at)
{
    for (uint64_t far = e->near_min[side]; far <= e->near_max[side]; far++) {
        const uint8_t *byte = NULL;
        if (side == 0 && at >= far + 1 && at - far - 1 >= v->base) byte = v->data + (at - far - 1 - v->base);
        if (side == 1 && at + far < v->end) byte = v->data + (at + far - v->base);
        if (byte && matches(b, &e->near[side], byte)) return true;
    }
    return false;
}

static bool left_holds(const kav_body *b, const kav_edge *e, const kav_view *v, uint64_t start)
{
    if (e->near[0].kind && !near_matches(b, e, 0, v, start)) return false;
    if (e->left == KAV_EDGE_NONE || start == 0) return true;
    if (start <= v->base) return false;
    const uint8_t *before = v->data + (start - 1 - v->base);
    switch (e->left) {
    case KAV_EDGE_BOUNDARY: return boundary_left(*before);
    case KAV_EDGE_LINE: return *before == '\n';
    default:
        if (!(e->flags & KAV_EG_WIDE)) return !is_alnum(*before);
        return start == 1 || !(start - v->base >= 2 && is_alnum(before[-1]) && *before == 0);
    }
}

static bool right_edge(const kav_edge *e, const kav_view *v, uint64_t end)
{
    const uint8_t *at = v->data + (end - v->base);
    bool two = end + 1 < v->end;
    switch (e->right) {
    case KAV_EDGE_BOUNDARY: return boundary_right(*at);
    case KAV_EDGE_LINE: return *at == '\n' || (*at == '\r' && two && at[1] == '\n');
    default: return (e->flags & KAV_EG_WIDE) && two ? !(is_alnum(*at) && at[1] == 0) : !is_alnum(*at);
    }
}

static bool right_holds(const kav_body *b, const kav_edge *e, const kav_view *v, uint64_t end)
{
    if (e->near[1].kind && !near_matches(b, e, 1, v, end)) return false;
    if (e->right == KAV_EDGE_NONE) return true;
    bool there = end == v->edge || (end < v->end && right_edge(e, v, end));
    return there != ((e->flags & KAV_EG_NOT_RIGHT) != 0);
}

static void keep(kav_places *p, const kav_body *b, const kav_edge *e, const kav_view *v,
                 bool (*holds)(const kav_body *, const kav_edge *, const kav_view *, uint64_t))
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        if (holds(b, e, v, p->at[i])) p->at[kept++] = p->at[i];
    }
    p->count = kept;
}

bool kav_verify(const kav_body *b, const kav_piece *piece, const kav_view *v, uint64_t literal_end, kav_places *starts,
                kav_places *ends)
{
    if (literal_end < piece->anchor || literal_end - piece->anchor < v->base) return false;
    uint64_t pivot = literal_end - piece->anchor;
    const kav_element *e = b->elements + piece->element, *first = e + piece->pivot, *last = e + piece->element_count;
    starts->at[0] = ends->at[0] = pivot;
    starts->count = ends->count = 1;
    starts->full = ends->full = false;
    for (e = first; e < last && has_one_length(e); e++) { /* most pieces are nothing else */
        const uint8_t *at = bytes(v, ends->at[0], length_of(e), false);
        if (!at || !matches(b, e, at)) return false;
        ends->at[0] += length_of(e);
    }
    for (; e < last && ends->count; e++) step(b, e, v, false, ends);
    for (e = first; e > b->elements + piece->element && starts->count; e--) step(b, e - 1, v, true, starts);
    if (piece->edge != KAV_NONE) {
        keep(starts, b, b->edges + piece->edge, v, left_holds);
        keep(ends, b, b->edges + piece->edge, v, right_holds);
    }
    return starts->count && ends->count;
}
