#include "pattern.h"
#include "macro.h"

#include <string.h>

/* The longest {n} that is part of a piece; ClamAV makes longer ones a gap between two pieces. */
#define NEAR_GAP 127

static bool fail(kav_parse *p, const char *why)
{
    p->why = why;
    return false;
}

/* Decimal digits from *at; false when there are none or the number does not fit 31 bits. */
static bool number(kav_text t, size_t *at, uint32_t *out)
{
    uint64_t value = 0;
    size_t i = *at;
    for (; i < t.length && t.text[i] >= '0' && t.text[i] <= '9'; i++) {
        value = value * 10 + (uint64_t)(t.text[i] - '0');
        if (value > INT32_MAX) return false;
    }
    if (i == *at) return false;
    *at = i;
    *out = (uint32_t)value;
    return true;
}

static bool parse_modifiers(kav_parse *p, kav_text t)
{
    p->nocase = p->wide = p->fullword = p->ascii = false;
    for (size_t i = 0; i < t.length; i++) {
        switch (t.text[i]) {
        case 'i': p->nocase = true; break;
        case 'w': p->wide = true; break;
        case 'f': p->fullword = true; break;
        case 'a': p->ascii = true; break;
        default: return fail(p, "unknown modifier");
        }
    }
    return true;
}

/* $n or $n$: a member of a macro group (macro.h), anywhere. */
static bool parse_group(kav_parse *p, kav_text t)
{
    size_t at = 1;
    p->pattern.place = KAV_AT_MACRO;
    if (!number(t, &at, &p->pattern.offset) || p->pattern.offset >= KAV_MACRO_GROUPS)
        return fail(p, "unreadable macro group");
    return true;
}

/* All of the text as a number; to ClamAV an empty one is 0. */
static bool whole_number(kav_parse *p, kav_text t, size_t from, uint32_t *out)
{
    *out = 0;
    if (from == t.length || (number(t, &from, out) && from == t.length)) return true;
    return fail(p, "unreadable offset");
}

static bool begins(kav_text t, const char *word)
{
    size_t length = strlen(word);
    return t.length >= length && !memcmp(t.text, word, length);
}

/* Sn+m, with n counted from 0. What follows the second number is not looked at. */
static bool parse_section(kav_parse *p, kav_text t)
{
    size_t at = 1;
    if (!number(t, &at, &p->pattern.section) || at == t.length || t.text[at++] != '+' ||
        !number(t, &at, &p->pattern.offset))
        return fail(p, "unreadable offset");
    p->pattern.place = KAV_AT_SECTION;
    return true;
}

static bool parse_place(kav_parse *p, kav_text t)
{
    kav_pattern *pattern = &p->pattern;
    if (t.length == 1 && t.text[0] == '*') return true;
    const char *comma = memchr(t.text, ',', t.length);
    if (comma) {
        size_t behind = (size_t)(comma - t.text) + 1;
        if (!whole_number(p, t, behind, &pattern->shift)) return false;
        t.length = behind - 1;
    }
    if (begins(t, "EP+") || begins(t, "EP-")) {
        pattern->place = KAV_AT_ENTRY;
        if (!whole_number(p, t, 3, &pattern->offset)) return false;
        if (t.text[2] == '-') pattern->offset = 0u - pattern->offset;
        return true;
    }
    if (begins(t, "SE")) {
        pattern->place = KAV_AT_WHOLE;
        return whole_number(p, t, 2, &pattern->section);
    }
    if (begins(t, "SL+")) {
        pattern->place = KAV_AT_LAST;
        return whole_number(p, t, 3, &pattern->offset);
    }
    if (begins(t, "S")) return parse_section(p, t);
    if (begins(t, "EOF-")) {
        pattern->place = KAV_AT_END;
        return whole_number(p, t, 4, &pattern->offset);
    }
    if (begins(t, "VI")) {
        pattern->place = KAV_AT_VERSION;
        return true;
    }
    if (begins(t, "$")) return parse_group(p, t);
    pattern->place = KAV_AT_START;
    return whole_number(p, t, 0, &pattern->offset);
}

const char *kav_place_parse(kav_text offset, kav_pattern *out)
{
    kav_parse p = {0};
    bool read = parse_place(&p, offset);
    *out = p.pattern;
    return read ? NULL : p.why;
}

/* {n} {n-m} {-m} {n-} [n-m] at t.text[*at]; *at moves behind the closing bracket. An upper end of 0 means none, as in
 * ClamAV: even {0} is then any distance. */
static bool parse_range(kav_parse *p, kav_text t, size_t *at, uint32_t *min, uint32_t *max)
{
    char close = t.text[*at] == '{' ? '}' : ']';
    size_t i = *at + 1;
    bool low = number(t, &i, min), high = false;
    if (!low) *min = 0;
    *max = *min;
    if (i < t.length && t.text[i] == '-') {
        i++;
        high = number(t, &i, max);
        if (!high) *max = 0;
        else if (!low) low = true;
    }
    if (i >= t.length || t.text[i] != close || (!low && !high)) return fail(p, "unreadable range");
    if (*max == 0) *max = KAV_UNBOUNDED;
    *at = i + 1;
    return true;
}

/* Where the piece that begins at from ends: at a far gap, or at the end of the text. */
static bool find_gap(kav_parse *p, kav_text t, size_t from, size_t *end, size_t *next, uint32_t *min, uint32_t *max)
{
    bool brackets_are_gaps = p->wide || p->fullword; /* one byte beside them has become two places */
    int depth = 0;
    for (size_t i = from; i < t.length;) {
        char c = t.text[i];
        if (c == '(') depth++;
        if (c == ')') depth--;
        if (c != '*' && c != '{' && !(c == '[' && brackets_are_gaps)) {
            i++;
            continue;
        }
        if (depth) return fail(p, "gap inside an alternative");
        *end = i;
        if (c == '*') {
            *min = 0;
            *max = KAV_UNBOUNDED;
            *next = i + 1;
            return true;
        }
        *next = i;
        if (!parse_range(p, t, next, min, max)) return false;
        if (*min != *max || *min > NEAR_GAP) return true;
        i = *next; /* a short {n} stays in the piece */
    }
    *end = *next = t.length;
    return true;
}

/* One form of the pattern: ASCII or wide. */
static bool parse_chain(kav_parse *p, kav_text t, uint32_t pattern)
{
    kav_tables *tables = p->tables;
    kav_chain chain = {pattern, KAV_COUNT(tables->pieces, kav_piece), 0, KAV_NONE};
    uint32_t index = KAV_COUNT(tables->chains, kav_chain), min = 0, max = 0;
    for (size_t from = 0, end, next;; from = next) {
        kav_piece piece = {.chain = index, .index = (uint16_t)chain.piece_count, .gap_min = min, .gap_max = max};
        if (!find_gap(p, t, from, &end, &next, &min, &max)) return false;
        p->word_left = p->fullword && from == 0;
        p->word_right = p->fullword && end == t.length;
        if (!kav_piece_parse(p, (kav_text){t.text + from, end - from}, &piece)) return false;
        kav_buffer_add(&tables->pieces, &piece, sizeof piece);
        if (++chain.piece_count > UINT16_MAX) return fail(p, "too many gaps");
        if (end == t.length) break;
    }
    if (chain.piece_count > 1) {
        chain.track = tables->tracks;
        tables->tracks += chain.piece_count - 1;
    }
    kav_buffer_add(&tables->chains, &chain, sizeof chain);
    return true;
}

/* Post the pieces of one chain under their literals. A pattern with a piece that has no good literal is weak as a
 * whole: its pieces are looked for in the second pass, and the best piece of each chain, if one is good, is its gate in
 * the first. */
static void post_chain(kav_parse *p, const kav_chain *chain, uint32_t base)
{
    const kav_window *windows = (const void *)p->windows.data;
    bool weak = p->pattern.flags & KAV_PA_WEAK;
    uint32_t gate = KAV_NONE;
    for (uint32_t i = 0; i < chain->piece_count; i++) {
        const kav_window *w = &windows[chain->piece - base + i];
        kav_window_post(p, w, chain->piece + i, weak);
        if (w->strong && (gate == KAV_NONE || w->score > windows[chain->piece - base + gate].score)) gate = i;
    }
    if (p->pattern.flags & KAV_PA_GATED)
        kav_window_post(p, &windows[chain->piece - base + gate], (chain->piece + gate) | KAV_POSTING_GATE, false);
}

/* Decide how the pattern is found, once all its windows are known. */
static void post_pattern(kav_parse *p, uint32_t base)
{
    const kav_window *windows = (const void *)p->windows.data;
    const kav_chain *chains = KAV_ITEM(p->tables->chains, kav_chain, p->pattern.chain);
    bool weak = false, gated = true;
    for (uint32_t c = 0; c < p->pattern.chain_count; c++) {
        bool some = false;
        for (uint32_t i = 0; i < chains[c].piece_count; i++) {
            bool strong = windows[chains[c].piece - base + i].strong;
            weak |= !strong;
            some |= strong;
        }
        gated &= some;
    }
    if (weak) p->pattern.flags |= KAV_PA_WEAK;
    if (weak && gated) p->pattern.flags |= KAV_PA_GATED;
    for (uint32_t c = 0; c < p->pattern.chain_count; c++) post_chain(p, &chains[c], base);
}

static bool parse_all(kav_parse *p, kav_text hex, kav_text offset, kav_text modifiers, uint32_t index)
{
    if (!parse_modifiers(p, modifiers) || !parse_place(p, offset)) return false;
    bool both = p->wide && p->ascii;
    if (!parse_chain(p, hex, index)) return false;
    p->wide = false;
    if (both && !parse_chain(p, hex, index)) return false;
    p->pattern.chain_count = both ? 2 : 1;
    kav_tables *t = p->tables;
    if (t->chains.failed || t->pieces.failed || t->elements.failed || t->edges.failed || t->data.failed ||
        p->windows.failed || t->data.length > UINT32_MAX)
        return fail(p, "out of memory");
    return true;
}

uint32_t kav_pattern_parse(kav_parse *p, kav_text hex, kav_text offset, kav_text modifiers)
{
    kav_tables *t = p->tables, before = *t;
    uint32_t index = KAV_COUNT(t->patterns, kav_pattern), base = KAV_COUNT(t->pieces, kav_piece);
    p->why = NULL;
    p->windows.length = 0;
    p->pattern = (kav_pattern){.chain = KAV_COUNT(t->chains, kav_chain), .cap = 1};
    if (!parse_all(p, hex, offset, modifiers, index)) {
        t->chains.length = before.chains.length;
        t->pieces.length = before.pieces.length;
        t->elements.length = before.elements.length;
        t->edges.length = before.edges.length;
        t->data.length = before.data.length;
        t->tracks = before.tracks;
        return KAV_NONE;
    }
    post_pattern(p, base);
    kav_buffer_add(&t->patterns, &p->pattern, sizeof p->pattern);
    if (kav_buffer_ok(&t->patterns)) return index;
    p->why = "out of memory";
    return KAV_NONE;
}
