/* Running the probes of one signature. The order is ClamAV's: macros while patterns are counted, then byte comparisons,
 * then regular expressions, each by number; so that what one asks about another is answered as there. */
#include "bytecompare.h"
#include "macro.h"
#include "offset.h"
#include "pcreprobe.h"
#include "pictureprobe.h"
#include "probe.h"
#include "session.h"

#include <string.h>

typedef struct {
    kav_session *s;
    const kav_image_body *image_body;
    uint32_t body;
    const kav_signature *signature;
    uint32_t *counts;
    uint32_t cap;                   /* counting further tells nothing */
    uint64_t possible;              /* bit by subsignature: probes that may be there */
    uint64_t last[KAV_SUBSIGS_MAX]; /* macros: where they were found last */
} run;

static uint32_t subsig(const run *r, uint32_t index)
{
    return r->image_body->body.subsigs[r->signature->subsig + index];
}

static const kav_probe *probe(const run *r, uint32_t index, enum kav_probe_kind kind)
{
    uint32_t sub = index < r->signature->subsig_count ? subsig(r, index) : 0;
    const kav_probe *p = &r->image_body->body.probes[sub & ~KAV_SUB_PROBE];
    return sub & KAV_SUB_PROBE && p->kind == kind ? p : NULL;
}

static const void *data(const run *r, const kav_probe *p)
{
    return r->image_body->body.data + p->data;
}

/* ---- macros --------------------------------------------------------------------------------------------------- */

/* The last place of the group up to a limit. */
static uint64_t last_member(const kav_noted *noted, uint32_t count, uint64_t limit)
{
    uint32_t low = 0;
    for (uint32_t high = count; low < high;) { /* the first behind the limit */
        uint32_t middle = low + (high - low) / 2;
        if (noted[middle].place <= limit) low = middle + 1;
        else high = middle;
    }
    return low ? noted[low - 1].place : KAV_MACRO_NEVER;
}

static void run_macro(run *r, uint32_t index)
{
    kav_probing *probing = &r->s->probing;
    kav_macro_run m = {.macro = data(r, probe(r, index, KAV_PROBE_MACRO)), .member = KAV_MACRO_NEVER};
    uint32_t before = subsig(r, index - 1), count, member_count;
    if (before & KAV_SUB_PROBE) return; /* ClamAV settles nothing there */
    const kav_noted *noted = kav_probing_places(probing, r->body, before, &count);
    const kav_noted *members = kav_probing_places(probing, KAV_NOTED_GROUPS,
                                                  kav_noted_group(r->signature->target, m.macro->group), &member_count);
    if (probing->full) r->s->found->reasons |= KAV_R_MATCH;
    for (uint32_t i = 0; i < count; i++) {
        m.member = last_member(members, member_count, noted[i].place);
        kav_macro_matched(&m, noted[i].place);
    }
    m.member = last_member(members, member_count, UINT64_MAX);
    kav_macro_finish(&m);
    r->counts[index - 1] = m.count;
    r->counts[index] = m.found;
    r->last[index] = m.member;
}

/* ---- byte comparisons ------------------------------------------------------------------------------------------ */

/* Where the subsignature that is referred to matched last, as far as ClamAV knows. */
static bool find_reference(run *r, uint32_t own, uint32_t index, uint64_t *place)
{
    *place = 0;
    if (index >= r->signature->subsig_count || !r->counts[index]) return false;
    if (probe(r, index, KAV_PROBE_COMPARE)) return index < own; /* of these it keeps no place */
    if (probe(r, index, KAV_PROBE_PCRE)) return false;          /* they come later */
    if (probe(r, index, KAV_PROBE_MACRO)) {
        *place = r->last[index];
        return true;
    }
    uint32_t count;
    const kav_noted *noted = kav_probing_places(&r->s->probing, r->body, subsig(r, index), &count);
    if (r->s->probing.full) r->s->found->reasons |= KAV_R_MATCH; /* the last place may not be among them */
    while (count && noted[count - 1].place >= KAV_BYTECOMPARE_REACH) count--;
    if (count) *place = noted[count - 1].place;
    return count > 0;
}

static void run_compare(run *r, uint32_t index)
{
    kav_session *s = r->s;
    const kav_bytecompare *b = data(r, probe(r, index, KAV_PROBE_COMPARE));
    uint64_t size = s->layer_size < KAV_BYTECOMPARE_REACH ? s->layer_size : KAV_BYTECOMPARE_REACH, place, begin;
    if (!find_reference(r, index, b->reference, &place) || !kav_bytecompare_where(b, place, size, &begin)) return;
    const uint8_t *bytes = kav_probing_bytes(&s->probing, s->reader.source, size);
    if (!bytes) s->found->reasons |= s->probing.unread;
    else if (kav_bytecompare_holds(b, bytes + begin)) r->counts[index] = 1;
}

/* ---- regular expressions --------------------------------------------------------------------------------------- */

static kav_regexp *regexp(run *r, uint32_t index, const kav_pcre *p)
{
    kav_regexp **kept = &r->s->probing.regexps[r->image_body->probes + (subsig(r, index) & ~KAV_SUB_PROBE)];
    bool no_memory;
    if (!*kept) *kept = kav_regexp_new(kav_pcre_text(p), p->text_length, p->options, &no_memory);
    return *kept;
}

/* What the offset says in this layer. */
static bool offset_of(const run *r, const kav_pcre *p, uint64_t *low, uint64_t *shift)
{
    kav_pattern placed = {.offset = p->offset, .shift = p->shift, .section = p->section, .place = p->place};
    *low = *shift = 0;
    if (p->place == KAV_AT_ANY) return true;
    if (p->place == KAV_AT_VERSION) return kav_offset_exe(r->s) != NULL;
    return kav_offset_range(r->s, &placed, low, shift);
}

static void find_all(run *r, uint32_t index, const kav_pcre *p, const kav_pcre_span *span, const uint8_t *bytes)
{
    kav_session *s = r->s;
    kav_regexp *expression = regexp(r, index, p);
    kav_regexp_subject subject = {bytes + span->begin,
                                  (size_t)(span->end - span->begin),
                                  0,
                                  span->here,
                                  s->options->tick,
                                  s->options->tick_context,
                                  s->found->size};
    size_t begin, end, last = 0;
    uint32_t reasons = 0;
    if (!expression) {
        s->found->reasons |= KAV_R_MATCH; /* out of memory: it compiled when the database was read */
        return;
    }
    while (kav_regexp_find(expression, s->probing.room, &subject, &begin, &end, &reasons)) {
        if (begin > span->reach) break;
        if (!r->counts[index] || begin > last) {
            r->counts[index]++;
            last = begin;
        }
        bool more = end > subject.from && end < subject.length; /* an empty match would be found again and again */
        if (!(p->flags & KAV_PX_GLOBAL) || !more || r->counts[index] >= r->cap) break;
        subject.from = end;
    }
    s->found->reasons |= reasons;
}

static void run_pcre(run *r, uint32_t index)
{
    kav_session *s = r->s;
    const kav_pcre *p = data(r, probe(r, index, KAV_PROBE_PCRE));
    uint64_t low, shift;
    kav_pcre_span span;
    if (kav_expression_eval(kav_pcre_code(p), p->code_count, kav_probe_count, r->counts) != KAV_TRUE) return;
    if (!offset_of(r, p, &low, &shift) || !kav_pcre_where(p, low, shift, s->layer_size, &span)) return;
    /* An expression means what it says on the whole layer only. */
    const uint8_t *bytes = NULL;
    s->probing.unread = KAV_R_MATCH;
    if (s->layer_size <= KAV_PCRE_LAYER_MAX && s->reader.size == s->layer_size)
        bytes = kav_probing_bytes(&s->probing, s->reader.source, s->layer_size);
    if (bytes) find_all(r, index, p, &span, bytes);
    else s->found->reasons |= s->probing.unread;
}

static void run_picture(run *r, uint32_t index)
{
    uint64_t hash;
    memcpy(&hash, data(r, probe(r, index, KAV_PROBE_PICTURE)), sizeof hash);
    if (kav_pictureprobe_matches(r->s, hash)) r->counts[index] = 1;
}

void kav_probe_run(kav_session *s, uint32_t body, const kav_signature *signature, uint32_t counts[KAV_SUBSIGS_MAX])
{
    run r = {.s = s, .image_body = &s->image->bodies[body], .body = body, .signature = signature, .counts = counts};
    const kav_body *b = &r.image_body->body;
    uint32_t count = signature->subsig_count, stop = ~(uint32_t)KAV_R_MATCH;
    kav_probe_row row = {b->subsigs + signature->subsig, count, b->probes, b->data};
    uint32_t own = kav_expression_cap(b->code + signature->code, signature->code_count);
    r.cap = kav_probe_wanted(&row).cap;
    if (r.cap < own) r.cap = own;
    for (uint32_t i = 0; i < count; i++) {
        if (!(subsig(&r, i) & KAV_SUB_PROBE)) continue;
        if (counts[i]) r.possible |= UINT64_C(1) << i;
        counts[i] = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (probe(&r, i, KAV_PROBE_PICTURE)) run_picture(&r, i);
    }
    for (uint32_t i = 1; i < count; i++) {
        if (probe(&r, i, KAV_PROBE_MACRO) && counts[i - 1] == KAV_ANY_COUNT) run_macro(&r, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (r.possible >> i & 1 && probe(&r, i, KAV_PROBE_COMPARE)) run_compare(&r, i);
    }
    for (uint32_t i = 0; i < count && !(s->found->reasons & stop); i++) {
        if (r.possible >> i & 1 && probe(&r, i, KAV_PROBE_PCRE)) run_pcre(&r, i);
    }
}
