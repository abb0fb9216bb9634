#include "segment.h"
#include "expression.h"
#include "kav.h"
#include "needs.h"
#include "part.h"
#include "passes.h"
#include "probe.h"
#include "totals.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 4096

struct kav_segment {
    kav_tables tables;
    kav_buffer signatures, code, names, subsigs, conditions;
    kav_buffer keys;       /* text of every pattern: offset, modifiers and digits */
    kav_buffer key_places; /* uint32_t pairs by pattern: where in keys, length */
    kav_buffer pairs;      /* kav_ref: pattern, signature */
    kav_intern patterns, literals;
    kav_parse parse;
};

typedef struct {
    uint32_t pattern, signature;
} kav_ref;

kav_segment *kav_segment_new(void)
{
    kav_segment *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->parse.atoms = malloc(KAV_PIECE_SPAN * sizeof(kav_atom));
    s->parse.tables = &s->tables;
    s->parse.literals = &s->literals;
    if (s->parse.atoms) return s;
    free(s);
    return NULL;
}

void kav_segment_free(kav_segment *s)
{
    if (!s) return;
    kav_tables *t = &s->tables;
    kav_buffer *buffers[] = {&t->patterns,   &t->chains,   &t->pieces,        &t->elements, &t->edges,  &t->data,
                             &t->literals,   &t->postings, &s->signatures,    &s->code,     &s->names,  &s->keys,
                             &s->key_places, &s->pairs,    &s->parse.windows, &s->subsigs,  &t->probes, &s->conditions};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) kav_buffer_free(buffers[i]);
    kav_intern_free(&s->patterns);
    kav_intern_free(&s->literals);
    free(s->parse.atoms);
    free(s);
}

static bool same_pattern(const void *context, uint32_t index, const void *key)
{
    const kav_segment *s = context;
    const kav_text *wanted = key;
    const uint32_t *place = KAV_ITEM(s->key_places, const uint32_t, 2 * (size_t)index);
    return place[1] == wanted->length && !memcmp(s->keys.data + place[0], wanted->text, wanted->length);
}

/* Offset, modifiers and digits in one text: two patterns with the same one are the same. */
static kav_text make_key(kav_segment *s, kav_text hex, kav_text offset, kav_text modifiers)
{
    size_t at = kav_buffer_add(&s->keys, offset.text, offset.length);
    kav_buffer_add(&s->keys, ":", 1);
    kav_buffer_add(&s->keys, modifiers.text, modifiers.length);
    kav_buffer_add(&s->keys, ":", 1);
    size_t digits = kav_buffer_add(&s->keys, hex.text, hex.length);
    if (!kav_buffer_ok(&s->keys)) return (kav_text){NULL, 0};
    for (size_t i = digits; i < s->keys.length; i++) {
        if (s->keys.data[i] >= 'A' && s->keys.data[i] <= 'F') {
            bool class = s->keys.data[i] == 'B' && i > digits && s->keys.data[i - 1] == '('; /* (B), not a digit */
            if (!class || i + 1 >= s->keys.length || s->keys.data[i + 1] != ')') s->keys.data[i] |= 0x20;
        }
    }
    return (kav_text){(const char *)s->keys.data + at, s->keys.length - at};
}

uint32_t kav_segment_pattern(kav_segment *s, kav_text hex, kav_text offset, kav_text modifiers, const char **why)
{
    size_t at = s->keys.length;
    kav_text key = make_key(s, hex, offset, modifiers);
    if (!key.text || s->keys.length > UINT32_MAX) {
        *why = "out of memory";
        return KAV_NONE;
    }
    uint64_t hash = kav_intern_hash(key.text, key.length);
    uint32_t index = kav_intern_find(&s->patterns, hash, same_pattern, s, &key);
    if (index == KAV_NONE) {
        index = kav_pattern_parse(&s->parse, hex, offset, modifiers);
        if (index != KAV_NONE) {
            uint32_t place[2] = {(uint32_t)at, (uint32_t)key.length};
            kav_buffer_add(&s->key_places, place, sizeof place);
            if (kav_buffer_ok(&s->key_places) && kav_intern_add(&s->patterns, hash, index)) return index;
            s->parse.why = "out of memory";
            index = KAV_NONE;
        }
        *why = s->parse.why;
    }
    s->keys.length = at;
    return index;
}

uint32_t kav_segment_probe(kav_segment *s, kav_text text, uint32_t own, const char **why)
{
    kav_tables *t = &s->tables;
    enum kav_probe_kind kind;
    kav_buffer made = {0};
    uint32_t index = KAV_COUNT(t->probes, kav_probe);
    *why = kav_probe_parse(text, own, &kind, &made);
    if (!*why) {
        kav_buffer_align(&t->data, 8);
        kav_probe probe = {(uint32_t)t->data.length, (uint32_t)made.length, (uint8_t)kind, {0}};
        kav_buffer_add(&t->data, made.data, made.length);
        kav_buffer_add(&t->probes, &probe, sizeof probe);
        if (!kav_buffer_ok(&t->data) || !kav_buffer_ok(&t->probes) || t->data.length > UINT32_MAX)
            *why = "out of memory";
    }
    kav_buffer_free(&made);
    return *why ? KAV_NONE : KAV_SUB_PROBE | index;
}

static kav_probe_row row_of(const kav_segment *s, const uint32_t *subsigs, uint32_t count)
{
    return (kav_probe_row){subsigs, count, KAV_ITEM(s->tables.probes, const kav_probe, 0), s->tables.data.data};
}

static const char *check_signature(const kav_segment *s, const kav_segment_signature_in *in)
{
    if (in->name.length == 0 || in->name.length > NAME_MAX_LENGTH) return "name missing or too long";
    if (memchr(in->name.text, '\0', in->name.length)) return "NUL in the name";
    if (in->target >= KAV_TARGET_COUNT || in->target == 8) return "unknown target type";
    if (in->subsig_count == 0) return "no subsignature";
    if (in->subsig_count > KAV_SUBSIGS_MAX) return "more than 64 subsignatures";
    bool executable = in->target == KAV_T_PE || in->target == KAV_T_ELF || in->target == KAV_T_MACHO;
    for (uint32_t i = 0; i < in->subsig_count; i++) {
        uint32_t sub = in->subsigs[i];
        uint32_t known =
            sub & KAV_SUB_PROBE ? KAV_COUNT(s->tables.probes, kav_probe) : KAV_COUNT(s->tables.patterns, kav_pattern);
        if ((sub & ~KAV_SUB_PROBE) >= known) return "unknown pattern";
        if (sub & KAV_SUB_PROBE || executable) continue;
        uint8_t place = KAV_ITEM(s->tables.patterns, kav_pattern, sub)->place;
        if (place >= KAV_AT_ENTRY && place <= KAV_AT_VERSION) return "offset needs an executable";
    }
    kav_probe_row row = row_of(s, in->subsigs, in->subsig_count);
    if (!executable && kav_probe_wanted(&row).headers) return "offset needs an executable";
    return NULL;
}

/* The leaves name patterns and probes from now on. */
static void bind_leaves(kav_segment *s, kav_signature *signature, const kav_segment_signature_in *in)
{
    kav_code *code = KAV_ITEM(s->code, kav_code, signature->code);
    for (uint32_t i = 0; i < signature->code_count; i++) {
        if (code[i].op != KAV_OP_LEAF) continue;
        uint32_t sub = in->subsigs[code[i].index];
        if (sub & KAV_SUB_PROBE) code[i].op = KAV_OP_PROBE;
        code[i].value = sub & ~KAV_SUB_PROBE;
    }
}

/* The patterns learn how far they must be counted and for whom; those that only a probe may ask for, too. */
static bool bind_patterns(kav_segment *s, kav_signature *signature, const kav_segment_signature_in *in)
{
    const kav_code *code = KAV_ITEM(s->code, const kav_code, signature->code);
    uint32_t cap = kav_expression_cap(code, signature->code_count);
    uint32_t index = KAV_COUNT(s->signatures, kav_signature);
    signature->subsig = KAV_COUNT(s->subsigs, uint32_t);
    signature->subsig_count = in->subsig_count;
    kav_buffer_add(&s->subsigs, in->subsigs, in->subsig_count * sizeof(uint32_t));
    kav_probe_row row = row_of(s, in->subsigs, in->subsig_count);
    kav_probe_wants wants = kav_probe_wanted(&row);
    if (cap < wants.cap) cap = wants.cap;
    for (uint32_t i = 0; i < in->subsig_count; i++) {
        if (in->subsigs[i] & KAV_SUB_PROBE) {
            signature->flags |= KAV_SF_PROBES;
            if (wants.all) signature->flags |= KAV_SF_WEAK; /* members of its groups may be */
            continue;
        }
        kav_pattern *pattern = KAV_ITEM(s->tables.patterns, kav_pattern, in->subsigs[i]);
        if (pattern->cap < cap) pattern->cap = cap;
        if (wants.early >> i & 1) pattern->flags |= KAV_PA_EARLY;
        if (wants.all >> i & 1) pattern->flags |= KAV_PA_PLACES;
        if ((wants.early | wants.all) >> i & 1) pattern->cap = UINT32_MAX - 1;
        pattern->targets |= (uint16_t)(1u << in->target);
        if (pattern->flags & KAV_PA_WEAK) signature->flags |= KAV_SF_WEAK;
        kav_ref ref = {in->subsigs[i], index};
        kav_buffer_add(&s->pairs, &ref, sizeof ref);
    }
    return kav_buffer_ok(&s->pairs) && kav_buffer_ok(&s->subsigs);
}

/* What must hold of the layer as a whole. */
static bool bind_condition(kav_segment *s, kav_signature *signature, const kav_segment_signature_in *in)
{
    if (!in->condition) return true;
    kav_condition c = *in->condition;
    kav_buffer *data = &s->tables.data;
    kav_buffer_align(data, _Alignof(kav_chain_link));
    c.chain = (uint32_t)data->length;
    kav_buffer_add(data, in->chain, c.chain_count * sizeof *in->chain);
    for (int i = 0; i < 2; i++) {
        c.icon_len[i] = (uint32_t)in->icons[i].length;
        c.icon_name[i] = (uint32_t)kav_buffer_add(&s->names, in->icons[i].text, in->icons[i].length);
    }
    signature->condition = KAV_COUNT(s->conditions, kav_condition);
    kav_buffer_add(&s->conditions, &c, sizeof c);
    return kav_buffer_ok(data) && data->length <= UINT32_MAX && kav_buffer_ok(&s->conditions);
}

const char *kav_segment_signature(kav_segment *s, const kav_segment_signature_in *in)
{
    const char *why = check_signature(s, in);
    if (why) return why;
    kav_signature signature = {.min_size = in->min_size,
                               .max_size = in->max_size ? in->max_size : UINT64_MAX,
                               .name_len = (uint32_t)in->name.length,
                               .line = in->line,
                               .condition = KAV_NONE,
                               .target = (uint8_t)in->target};
    signature.code = KAV_COUNT(s->code, kav_code);
    uint32_t highest = 0;
    kav_text text = in->expression.text ? in->expression : (kav_text){"0", 1};
    why = kav_expression_parse(text.text, text.length, &s->code, &highest);
    if (!why && highest + 1 != in->subsig_count) why = "subsignatures and logical expression do not agree";
    if (why) {
        s->code.length = signature.code * sizeof(kav_code);
        return why;
    }
    signature.code_count = KAV_COUNT(s->code, kav_code) - signature.code;
    signature.name = (uint32_t)kav_buffer_add(&s->names, in->name.text, in->name.length);
    bind_leaves(s, &signature, in);
    if (!bind_patterns(s, &signature, in) || !bind_condition(s, &signature, in) || s->names.length > UINT32_MAX)
        return "out of memory";
    kav_buffer_add(&s->signatures, &signature, sizeof signature);
    return kav_buffer_ok(&s->signatures) ? NULL : "out of memory";
}

uint32_t kav_segment_signature_count(const kav_segment *s)
{
    return KAV_COUNT(s->signatures, kav_signature);
}

uint32_t kav_segment_pattern_count(const kav_segment *s)
{
    return KAV_COUNT(s->tables.patterns, kav_pattern);
}

static int compare_refs(const void *a, const void *b)
{
    const kav_ref *x = a, *y = b;
    if (x->pattern != y->pattern) return x->pattern < y->pattern ? -1 : 1;
    return x->signature < y->signature ? -1 : x->signature > y->signature;
}

/* Does the pattern bring this signature up? Where none of what a signature needs can, each of its patterns does; and
 * members of macro groups name their signatures for another end. */
static bool is_needed(const kav_segment *s, const kav_ref *pair, uint64_t needs)
{
    const kav_signature *g = KAV_ITEM(s->signatures, const kav_signature, pair->signature);
    bool needed = !needs || KAV_ITEM(s->tables.patterns, const kav_pattern, pair->pattern)->place == KAV_AT_MACRO;
    for (uint32_t i = 0; i < g->subsig_count && !needed; i++)
        needed = needs >> i & 1 && *KAV_ITEM(s->subsigs, const uint32_t, g->subsig + i) == pair->pattern;
    return needed;
}

/* From pairs to a list of signatures per pattern: those that it brings up. */
static void finish_refs(kav_segment *s, const kav_passes *passes, kav_buffer *refs)
{
    kav_ref *pairs = KAV_ITEM(s->pairs, kav_ref, 0);
    uint32_t count = KAV_COUNT(s->pairs, kav_ref);
    uint32_t *namers = calloc(KAV_COUNT(s->tables.patterns, kav_pattern) + 1u, sizeof *namers);
    uint64_t *needs = calloc(passes->count + 1u, sizeof *needs);
    if (!namers || !needs) refs->failed = true;
    if (count) qsort(pairs, count, sizeof *pairs, compare_refs);
    for (uint32_t i = 0; i < count && namers; i++) namers[pairs[i].pattern]++;
    for (uint32_t i = 0; i < passes->count && namers && needs; i++) needs[i] = kav_needs_find(passes, i, namers);
    for (uint32_t i = 0; i < count && !refs->failed; i++) {
        if (i && !compare_refs(&pairs[i], &pairs[i - 1])) continue;
        if (!is_needed(s, &pairs[i], needs[pairs[i].signature])) continue;
        kav_pattern *pattern = KAV_ITEM(s->tables.patterns, kav_pattern, pairs[i].pattern);
        if (pattern->ref_count++ == 0) pattern->ref = KAV_COUNT(*refs, uint32_t);
        kav_buffer_add(refs, &pairs[i].signature, sizeof(uint32_t));
    }
    free(namers);
    free(needs);
}

static int compare_postings(const void *a, const void *b)
{
    const kav_build_posting *x = a, *y = b;
    if (x->literal != y->literal) return x->literal < y->literal ? -1 : 1;
    return x->piece < y->piece ? -1 : x->piece > y->piece;
}

/* A list of pieces per literal, of patterns that some signature names. */
static void finish_postings(kav_segment *s, kav_buffer *literals, kav_buffer *postings)
{
    kav_tables *t = &s->tables;
    kav_build_posting *built = KAV_ITEM(t->postings, kav_build_posting, 0);
    uint32_t count = KAV_COUNT(t->postings, kav_build_posting);
    if (count) qsort(built, count, sizeof *built, compare_postings);
    for (uint32_t i = 0, next; i < count; i = next) {
        kav_literal literal = *KAV_ITEM(t->literals, kav_literal, built[i].literal);
        literal.posting = KAV_COUNT(*postings, uint32_t);
        for (next = i; next < count && built[next].literal == built[i].literal; next++) {
            const kav_piece *piece = KAV_ITEM(t->pieces, kav_piece, built[next].piece & ~KAV_POSTING_GATE);
            const kav_chain *chain = KAV_ITEM(t->chains, kav_chain, piece->chain);
            const kav_pattern *pattern = KAV_ITEM(t->patterns, kav_pattern, chain->pattern);
            if (!pattern->targets) continue;
            literal.targets |= pattern->targets;
            literal.posting_count++;
            kav_buffer_add(postings, &built[next].piece, sizeof(uint32_t));
        }
        if (literal.posting_count) kav_buffer_add(literals, &literal, sizeof literal);
    }
}

bool kav_segment_finish(kav_segment *s, kav_text database, const uint8_t source[32], bool official, kav_buffer *out)
{
    kav_tables *t = &s->tables;
    kav_buffer refs = {0}, rest = {0}, literals = {0}, postings = {0};
    kav_body_totals totals = {0};
    kav_passes passes = {&s->parse, KAV_ITEM(s->signatures, kav_signature, 0), KAV_COUNT(s->signatures, kav_signature),
                         KAV_ITEM(s->code, const kav_code, 0), KAV_ITEM(s->subsigs, const uint32_t, 0)};
    bool ok = !t->postings.failed && !t->literals.failed && !t->elements.failed && !t->data.failed;
    ok = ok && kav_passes_defer(&passes) && !t->data.failed && t->data.length <= UINT32_MAX;
    if (ok) {
        finish_refs(s, &passes, &refs);
        kav_passes_rest(&passes, &rest);
        finish_postings(s, &literals, &postings);
        kav_part_begin(out);
        kav_part_table(out, KAV_TAB_DATABASE, database.text, database.length);
        const struct {
            int table;
            const kav_buffer *b;
        } tables[] = {
            {KAV_TAB_SIGNATURES, &s->signatures},
            {KAV_TAB_CODE, &s->code},
            {KAV_TAB_PATTERNS, &t->patterns},
            {KAV_TAB_CHAINS, &t->chains},
            {KAV_TAB_PIECES, &t->pieces},
            {KAV_TAB_ELEMENTS, &t->elements},
            {KAV_TAB_EDGES, &t->edges},
            {KAV_TAB_DATA, &t->data},
            {KAV_TAB_NAMES, &s->names},
            {KAV_TAB_REFS, &refs},
            {KAV_TAB_REST, &rest},
            {KAV_TAB_LITERALS, &literals},
            {KAV_TAB_POSTINGS, &postings},
            {KAV_TAB_SUBSIGS, &s->subsigs},
            {KAV_TAB_PROBES, &t->probes},
            {KAV_TAB_CONDITIONS, &s->conditions},
        };
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
            kav_part_table(out, tables[i].table, tables[i].b->data, tables[i].b->length);
            ok = ok && kav_buffer_ok(tables[i].b);
        }
        kav_totals_count(t, &totals);
        kav_part_table(out, KAV_TAB_TOTALS, &totals, sizeof totals);
        ok = ok && kav_part_finish(out, KAV_P_BODY, official ? KAV_PF_OFFICIAL : 0, source);
    }
    kav_buffer *temporary[] = {&refs, &rest, &literals, &postings};
    for (size_t i = 0; i < 4; i++) kav_buffer_free(temporary[i]);
    return ok;
}
