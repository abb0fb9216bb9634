#include "direct.h"
#include "offset.h"
#include "verify.h"

/* The bytes around the place; NULL: they are not there. */
static const uint8_t *read_around(kav_session *s, kav_view *view, uint8_t *room)
{
    const kav_source *source = s->reader.source;
    size_t length = (size_t)(view->end - view->base);
    if (source->memory) return source->memory + view->base;
    return kav_source_read(source, view->base, room, length) == (ssize_t)length ? room : NULL;
}

static bool stands(kav_session *s, uint32_t body, const kav_pattern *p, uint64_t *start)
{
    const kav_body *b = &s->image->bodies[body].body;
    const kav_reader *r = &s->reader;
    uint8_t room[KAV_DIRECT_MAX];
    uint64_t shift;
    if (p->chain_count == 0 || !kav_offset_range(s, p, start, &shift) || !kav_offset_holds(s, p, *start)) return false;
    const kav_piece *piece = &b->pieces[b->chains[p->chain].piece];
    if ((uint64_t)piece->back + piece->ahead > KAV_DIRECT_MAX || *start >= r->size) return false;
    kav_view view = {.base = *start > piece->back ? *start - piece->back : 0};
    view.end = r->size - *start > piece->ahead ? *start + piece->ahead : r->size;
    view.edge = r->size == s->layer_size || r->shrunk ? r->size : UINT64_MAX;
    kav_places starts, ends;
    return (view.data = read_around(s, &view, room)) &&
           kav_verify(b, piece, &view, *start + piece->anchor, &starts, &ends);
}

uint32_t kav_direct_count(kav_session *s, uint32_t body, uint32_t pattern)
{
    const kav_image_body *b = &s->image->bodies[body];
    kav_pattern_state *state = &s->patterns[b->patterns + pattern];
    uint64_t start;
    if (state->flags & KAV_ST_LOOKED) return state->count;
    if (!(state->flags & KAV_ST_TOUCHED)) s->touched_patterns[s->touched_pattern_count++] = (kav_touch){body, pattern};
    state->flags |= KAV_ST_TOUCHED | KAV_ST_LOOKED;
    if (!stands(s, body, &b->body.patterns[pattern], &start)) return 0;
    state->first = start;
    return state->count = 1;
}
