#include "bytecompare.h"
#include "charset.h"
#include "needle.h"
#include "offset.h"
#include "verify.h"

#include <stdlib.h>
#include <string.h>

/* One window of one pass. */
typedef struct {
    kav_session *s;
    const kav_image_group *group;
    kav_view view;
    uint64_t from;    /* where Vectorscan's data begins in the layer */
    uint64_t done;    /* literals that end here or before were seen in the window before */
    uint64_t later;   /* no find that is yet to come begins before */
    uint64_t flushed; /* finds up to here are put in order already */
    uint16_t targets; /* bits of patterns that count in this layer */
    bool weak;
    uint64_t effort; /* since the last tick */
    uint32_t reasons;
} kav_window_scan;

/* One window is enough for a hostile database to keep us for minutes, so time is asked for by what is done. */
#define TICK_EFFORT 65536
#define CHECK_COST  16 /* looking at the bytes around a literal; a posting that goes no further costs 1 */

/* Something was done. False: time is up. */
static bool go_on(kav_window_scan *w, uint64_t effort)
{
    const kav_layer_options *options = w->s->options;
    w->effort += effort;
    if (w->effort >= TICK_EFFORT) {
        w->effort = 0;
        if (options->tick) w->reasons |= options->tick(options->tick_context, w->done);
    }
    return !(w->reasons & ~KAV_R_MATCH);
}

static kav_pattern_state *state_of(kav_session *s, uint32_t body, uint32_t pattern)
{
    return &s->patterns[s->image->bodies[body].patterns + pattern];
}

/* The pattern has something to say: put it and its signatures on the lists, once. */
static void touch(kav_session *s, uint32_t body, uint32_t index, kav_pattern_state *state)
{
    if (state->flags & KAV_ST_TOUCHED) return;
    state->flags |= KAV_ST_TOUCHED;
    s->touched_patterns[s->touched_pattern_count++] = (kav_touch){body, index};
    const kav_image_body *b = &s->image->bodies[body];
    const kav_pattern *pattern = &b->body.patterns[index];
    for (uint32_t i = 0; i < pattern->ref_count; i++) {
        uint32_t signature = b->body.refs[pattern->ref + i];
        if (s->signatures[b->signatures + signature]) continue;
        s->signatures[b->signatures + signature] = 1;
        s->touched_signatures[s->touched_signature_count++] = (kav_touch){body, signature};
    }
}

/* A member of a macro group makes nothing true by itself; it serves macros of its signature's target type. */
static void note_member(kav_session *s, uint32_t body, const kav_pattern *pattern, uint64_t place)
{
    const kav_image_body *b = &s->image->bodies[body];
    for (uint32_t i = 0; i < pattern->ref_count; i++) {
        const kav_signature *g = &b->body.signatures[b->body.refs[pattern->ref + i]];
        if (!kav_moved_line(&b->moved, g->line)) continue; /* no longer in the file */
        kav_noted noted = {place, KAV_NOTED_GROUPS, kav_noted_group(g->target, pattern->offset)};
        kav_probing_note(&s->probing, noted);
    }
}

static void count(kav_session *s, uint32_t body, uint32_t index, uint64_t origin)
{
    kav_pattern_state *state = state_of(s, body, index);
    const kav_pattern *pattern = &s->image->bodies[body].body.patterns[index];
    if (pattern->place == KAV_AT_MACRO) {
        note_member(s, body, pattern, origin);
        return;
    }
    if (pattern->flags & KAV_PA_PLACES || (pattern->flags & KAV_PA_EARLY && origin < KAV_BYTECOMPARE_REACH))
        kav_probing_note(&s->probing, (kav_noted){origin, body, index});
    touch(s, body, index, state);
    if (state->count == 0 || origin < state->first) state->first = origin;
    if (state->count < pattern->cap) state->count++;
}

/* May a match begin here? */
static bool placed(kav_session *s, const kav_pattern *p, uint64_t start)
{
    return p->place == KAV_AT_ANY || kav_offset_holds(s, p, start);
}

static int compare_finds(const void *a, const void *b)
{
    const kav_find *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    if (x->body != y->body) return x->body < y->body ? -1 : 1;
    return x->piece < y->piece ? -1 : x->piece > y->piece;
}

/* One piece of a chain, in order of starts: is it where the piece before allows it, and what does it allow? */
static void follow(kav_window_scan *w, const kav_find *f)
{
    kav_session *s = w->s;
    const kav_image_body *b = &s->image->bodies[f->body];
    const kav_piece *piece = &b->body.pieces[f->piece];
    const kav_chain *chain = &b->body.chains[piece->chain];
    uint64_t origin = f->start;
    if (piece->index > 0) {
        const kav_range *range = kav_tracks_find(&s->tracks, b->tracks + chain->track + piece->index - 1, f->start);
        if (!range) return;
        origin = range->origin;
    }
    if (piece->index + 1u == chain->piece_count) {
        kav_pattern_state *state = state_of(s, f->body, chain->pattern);
        if (state->count && f->end <= state->last) return; /* ClamAV counts a place once, too */
        state->last = f->end;
        count(s, f->body, chain->pattern, origin);
        return;
    }
    kav_range next = {f->end + piece[1].gap_min, UINT64_MAX, origin, KAV_NONE};
    if (piece[1].gap_max != KAV_UNBOUNDED) next.high = f->end + piece[1].gap_max;
    uint64_t horizon = f->start < w->later ? f->start : w->later;
    if (!kav_tracks_allow(&s->tracks, b->tracks + chain->track + piece->index, next, horizon))
        w->reasons |= KAV_R_MATCH;
}

/* Literals up to literal_end are done: follow what was found, in order of starts.
 *
 * Vectorscan promises no order between literals, and a piece may begin before the literal by which it is found. A piece
 * begins before the one that follows it in a chain, so sorting a window's finds by start is enough: the literal of an
 * earlier piece never ends in a later window. */
static void put_in_order(kav_window_scan *w, uint64_t literal_end)
{
    kav_session *s = w->s;
    w->later = literal_end > s->image->back ? literal_end - s->image->back : 0;
    if (s->find_count > 1) qsort(s->finds, s->find_count, sizeof *s->finds, compare_finds);
    for (uint32_t i = 0; i < s->find_count && go_on(w, 1); i++) follow(w, &s->finds[i]);
    s->find_count = 0;
}

static void add_finds(kav_window_scan *w, uint32_t body, uint32_t piece, uint64_t literal_end, const kav_places *starts,
                      const kav_places *ends)
{
    kav_session *s = w->s;
    const kav_image_body *b = &s->image->bodies[body];
    const kav_piece *p = &b->body.pieces[piece];
    const kav_chain *chain = &b->body.chains[p->chain];
    const kav_pattern *pattern = &b->body.patterns[chain->pattern];
    bool last = p->index + 1u == chain->piece_count;
    bool bound = p->index == 0 || pattern->place == KAV_AT_VERSION; /* of that ClamAV asks every piece */
    if (literal_end <= w->flushed) w->reasons |= KAV_R_MATCH;       /* too late to be put in order */
    for (uint32_t i = 0; i < starts->count; i++) {
        if (bound && !placed(s, pattern, starts->at[i])) continue;
        for (uint32_t k = 0; k < (last ? 1 : ends->count); k++) {
            if (s->find_count == KAV_FINDS) {
                w->flushed = literal_end - 1;
                put_in_order(w, w->flushed);
            }
            uint64_t end = last ? literal_end - p->anchor : ends->at[k];
            s->finds[s->find_count++] = (kav_find){starts->at[i], end, body, piece};
        }
    }
}

/* The earliest start is all that an open gap asks for: once a first piece has given it, later ones tell nothing. */
static bool nothing_to_learn(const kav_session *s, const kav_image_body *b, const kav_piece *piece,
                             uint64_t literal_end)
{
    const kav_chain *chain = &b->body.chains[piece->chain];
    if (piece->index + 1u == chain->piece_count || piece->index > 0) return false;
    const kav_track *track = &s->tracks.tracks[b->tracks + chain->track];
    if (piece[1].gap_max != KAV_UNBOUNDED || track->head == KAV_NONE) return false;
    const kav_range *range = &s->tracks.pool[track->head];
    return range->low <= literal_end;
}

static void look_at(kav_window_scan *w, uint32_t body, uint32_t posting, uint64_t literal_end)
{
    kav_session *s = w->s;
    const kav_image_body *b = &s->image->bodies[body];
    uint32_t index = posting & ~KAV_POSTING_GATE;
    const kav_piece *piece = &b->body.pieces[index];
    const kav_chain *chain = &b->body.chains[piece->chain];
    const kav_pattern *pattern = &b->body.patterns[chain->pattern];
    kav_pattern_state *state = state_of(s, body, chain->pattern);
    bool gate = posting & KAV_POSTING_GATE;
    if (!(pattern->targets & w->targets) || state->count >= pattern->cap) return;
    if (gate ? state->flags & KAV_ST_OPEN : w->weak && !(state->flags & KAV_ST_WANTED)) return;
    bool simple = chain->piece_count == 1 && pattern->chain_count == 1 && piece->pivot == 0;
    if (simple && !placed(s, pattern, literal_end - piece->anchor)) return;
    if (!simple && !gate && nothing_to_learn(s, b, piece, literal_end)) return;
    if (!go_on(w, CHECK_COST + (piece->back + piece->ahead) / CHECK_COST)) return;
    kav_places starts, ends;
    if (!kav_verify(&b->body, piece, &w->view, literal_end, &starts, &ends)) return;
    if (starts.full || ends.full) w->reasons |= KAV_R_MATCH;
    if (gate) {
        state->flags |= KAV_ST_OPEN;
        touch(s, body, chain->pattern, state);
    } else if (simple) {
        count(s, body, chain->pattern, starts.at[0]);
    } else {
        add_finds(w, body, index, literal_end, &starts, &ends);
    }
}

static int on_literal(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    kav_window_scan *w = context;
    const kav_group *g = &w->group->group;
    uint64_t end = w->from + to;
    (void)from;
    (void)flags;
    if (end <= w->done || id >= g->literal_count) return 0;
    for (uint32_t i = g->firsts[id]; i < g->firsts[id + 1] && go_on(w, 1); i++)
        look_at(w, w->group->bodies[g->postings[i].member], g->postings[i].piece, end);
    return (w->reasons & ~KAV_R_MATCH) != 0;
}

/* The database for what stands in the window. */
static const hs_database_t *database_of(const kav_group *g, uint8_t target, bool weak, enum kav_charset charset)
{
    if (weak) return g->databases[KAV_DB_WEAK][target];
    const hs_database_t *plain = g->databases[KAV_DB_PLAIN][target], *ascii = g->databases[KAV_DB_ASCII][target];
    if (charset == KAV_CS_PLAIN && plain) return plain;
    if (charset != KAV_CS_ANY && ascii) return ascii;
    return g->databases[KAV_DB_FAST][target];
}

/* What is in the reader's window, and for whom. */
static void show(kav_window_scan *w)
{
    const kav_reader *r = &w->s->reader;
    uint64_t edge = r->size == w->s->layer_size || r->shrunk ? r->size : UINT64_MAX;
    w->view = (kav_view){r->data, r->base, r->end, edge};
    w->targets = (uint16_t)(1u << KAV_T_ANY | 1u << w->s->target);
}

#define LOOK_COST  64 /* looking at a place, in bytes gone through */
#define PASS_COST  16 /* the second pass costs as much as going through the layer so many times ... */
#define PASS_LEAST 65536

static kav_needle *earliest(const kav_body *b, kav_needle *needles, uint32_t count)
{
    kav_needle *first = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const kav_needle *n = &needles[i];
        if (n->at == KAV_NOWHERE) continue;
        if (!first || n->at + b->pieces[n->piece].anchor < first->at + b->pieces[first->piece].anchor)
            first = &needles[i];
    }
    return first;
}

bool kav_scan_alone(kav_session *s, uint32_t body, uint32_t pattern, uint32_t *reasons)
{
    const kav_reader *r = &s->reader;
    const kav_body *b = &s->image->bodies[body].body;
    kav_needle needles[KAV_NEEDLES], *n;
    if (r->base || r->end != r->size || r->size > s->window || s->effort > PASS_COST * r->size + PASS_LEAST)
        return false;
    uint32_t count = kav_needles_of(b, pattern, needles);
    if (!count) return false;
    kav_pattern_state *state = state_of(s, body, pattern);
    kav_window_scan w = {.s = s, .weak = true};
    show(&w);
    state->flags |= KAV_ST_WANTED;
    for (uint32_t i = 0; i < count; i++) kav_needle_find(&needles[i], r->data, r->size, 0);
    while (state->count < b->patterns[pattern].cap && (n = earliest(b, needles, count)) && go_on(&w, 1)) {
        /* in the order in which Vectorscan reports */
        look_at(&w, body, n->piece, n->at + b->pieces[n->piece].anchor);
        kav_needle_find(n, r->data, r->size, n->at + 1);
        s->effort += LOOK_COST;
    }
    put_in_order(&w, r->size);
    state->flags = (state->flags & ~(uint32_t)KAV_ST_WANTED) | KAV_ST_SOUGHT;
    s->effort += r->size * count;
    *reasons |= w.reasons;
    return true;
}

static enum kav_charset charset_of(const kav_session *s, const char *data, size_t length)
{
    return s->options->plain ? KAV_CS_PLAIN : kav_charset_of((const uint8_t *)data, length);
}

/* All groups over pos .. end, whose surroundings are in the reader's window. */
static uint32_t scan_window(kav_session *s, bool weak, uint64_t pos, uint64_t end)
{
    const kav_reader *r = &s->reader;
    uint64_t overlap = pos - r->base < KAV_OVERLAP ? pos - r->base : KAV_OVERLAP;
    kav_window_scan w = {.s = s, .from = pos - overlap, .done = pos, .weak = weak};
    show(&w);
    const char *data = (const char *)r->data + (w.from - r->base);
    enum kav_charset charset = weak ? KAV_CS_ANY : charset_of(s, data, (size_t)(end - w.from));
    for (uint32_t i = 0; i < s->image->group_count; i++) {
        const kav_group *g = &s->image->groups[i].group;
        const hs_database_t *db = database_of(g, s->target, weak, charset);
        if (!db) continue;
        w.group = &s->image->groups[i];
        w.flushed = 0;
        hs_error_t error = hs_scan(db, data, (unsigned)(end - w.from), 0, s->scratch, on_literal, &w);
        if (error != HS_SUCCESS && error != HS_SCAN_TERMINATED) w.reasons |= KAV_R_MATCH;
        put_in_order(&w, end);
        if (!go_on(&w, 0)) break;
    }
    return w.reasons;
}

/* The digest of a hole: NULs, as reading it would give. */
static uint32_t digest_hole(kav_session *s, uint64_t length, const kav_layer_options *options, uint64_t pos)
{
    static const uint8_t zeros[4096];
    for (uint64_t left = length; left;) {
        size_t n = left < sizeof zeros ? (size_t)left : sizeof zeros;
        kav_digest_feed(s->digest, zeros, n);
        left -= n;
        if (options->tick && left % (1u << 24) < sizeof zeros) {
            uint32_t stop = options->tick(options->tick_context, pos + length - left);
            if (stop) return stop;
        }
    }
    return 0;
}

/* A hole from pos on: where its far end begins to matter, or pos when all of it must be looked at. In between there are
 * only NULs, as far from any other byte as any match reaches (totals.c says why that is enough). */
static uint64_t skip_hole(kav_session *s, uint64_t pos, uint64_t *look_until)
{
    uint64_t reach = s->image->zeros + s->image->back + s->image->ahead + KAV_OVERLAP;
    uint64_t hole = kav_reader_hole(&s->reader, pos);
    if (hole - pos <= 2 * reach + s->window) return pos;
    *look_until = pos + reach;
    return hole - reach;
}

static void feed(kav_session *s, const uint8_t *bytes, size_t length)
{
    if (s->kinds) kav_digest_feed(s->digest, bytes, length);
    if (s->fingerprint && kav_fingerprint_feed(s->fingerprint, bytes, length) != 0) s->fingerprint = NULL;
}

uint32_t kav_scan_pass(kav_session *s, bool weak, const kav_layer_options *options)
{
    kav_reader *r = &s->reader;
    kav_reader_rewind(r);
    uint64_t pos = 0, look_until = 0, resume = 0;
    uint32_t reasons = 0;
    bool large = r->size > 16 * (uint64_t)s->window;
    while (pos < r->size && !(reasons & ~KAV_R_MATCH)) {
        if (large && resume == 0 && !r->source->memory) {
            resume = skip_hole(s, pos, &look_until);
            if (resume == pos) resume = 0;
        }
        uint64_t end = pos + s->window;
        if (resume && end > look_until) end = look_until;
        uint64_t back = s->image->back > KAV_OVERLAP ? s->image->back : KAV_OVERLAP;
        kav_reader_need(r, pos > back ? pos - back : 0, end + s->image->ahead);
        if (end > r->size) end = r->size > pos ? r->size : pos; /* it may have shrunk */
        if (pos < end) reasons |= scan_window(s, weak, pos, end);
        if (!weak && pos < end) feed(s, r->data + (pos - r->base), (size_t)(end - pos));
        if (!weak && pos < end && options->seek && !kav_type_is_archive(s->found->type.format))
            kav_seek_window(options->seek, r->data, r->base, pos, end);
        pos = end;
        if (resume && pos == look_until) {
            s->fingerprint =
                NULL; /* that a hole is skipped makes such a file cheap; reading it for a cache would not */
            if (resume - pos > KAV_HOLE_DIGEST) s->kinds = 0;
            else if (!weak && s->kinds) reasons |= digest_hole(s, resume - pos, options, pos);
            pos = resume;
            resume = 0;
        }
        if (options->tick) reasons |= options->tick(options->tick_context, pos);
    }
    if (!weak) s->found->size = pos;
    return reasons;
}
