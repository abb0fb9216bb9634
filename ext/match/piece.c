#include "pattern.h"

#include <string.h>

/* ClamAV's limit for the distance of a single byte in square brackets. */
#define BRACKET_MAX 32

static bool fail(kav_parse *p, const char *why)
{
    p->why = why;
    return false;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Two characters: a byte, a half-known byte, or anything. */
static bool byte_at(kav_parse *p, kav_text t, size_t i, uint8_t *value, uint8_t *mask)
{
    if (i + 1 >= t.length) return fail(p, "odd number of hexadecimal digits");
    int high = nibble(t.text[i]), low = nibble(t.text[i + 1]);
    bool any_high = t.text[i] == '?', any_low = t.text[i + 1] == '?';
    if ((high < 0 && !any_high) || (low < 0 && !any_low)) return fail(p, "not hexadecimal");
    *mask = (uint8_t)((any_high ? 0 : 0xf0) | (any_low ? 0 : 0x0f));
    *value = (uint8_t)(((any_high ? 0 : high) << 4) | (any_low ? 0 : low));
    return true;
}

static bool is_letter(uint8_t b)
{
    return (b | 0x20) >= 'a' && (b | 0x20) <= 'z';
}

static kav_atom *add_atom(kav_parse *p, kav_atom atom)
{
    if (p->atom_count >= KAV_PIECE_SPAN) {
        p->why = "longer than 60,000 bytes without a gap";
        return NULL;
    }
    p->atoms[p->atom_count] = atom;
    return &p->atoms[p->atom_count++];
}

static bool add_byte(kav_parse *p, uint8_t value, uint8_t mask)
{
    kav_atom atom = {.kind = KAV_EL_MASK, .value = value, .mask = mask, .least = 1, .most = 1};
    if (p->nocase && mask == 0xff && is_letter(value)) {
        atom.value |= 0x20;
        atom.nocase = 1;
    }
    if (!add_atom(p, atom)) return false;
    return !p->wide || add_atom(p, (kav_atom){.kind = KAV_EL_MASK, .mask = 0xff, .least = 1, .most = 1});
}

static bool add_set(kav_parse *p, const uint8_t bits[32], bool negated)
{
    uint8_t set[32];
    for (int i = 0; i < 32; i++) set[i] = negated ? (uint8_t)~bits[i] : bits[i];
    size_t at = kav_buffer_add(&p->tables->data, set, sizeof set);
    return add_atom(p, (kav_atom){.kind = KAV_EL_SET, .least = 1, .most = 1, .data = (uint32_t)at});
}

/* (B) and (W) between other bytes take one byte of a class. */
static bool add_class(kav_parse *p, char class, bool negated)
{
    uint8_t bits[32] = {0};
    for (int b = 0; b < 256; b++) {
        bool in = class == 'W' ? !(is_letter((uint8_t)b) || (b >= '0' && b <= '9'))
                               : b && strchr("\n\r \"'-./<=>@_", b) != NULL;
        if (in) bits[b >> 3] |= (uint8_t)(1 << (b & 7));
    }
    return add_set(p, bits, negated);
}

/* One string of an alternative, appended to DATA behind its kav_choice. */
static bool add_choice(kav_parse *p, kav_text t, uint16_t *length, bool *exact)
{
    uint32_t bytes = (uint32_t)(t.length / 2) * (p->wide ? 2 : 1);
    if (t.length == 0) return fail(p, "empty alternative");
    if (bytes > 4096) return fail(p, "alternative too long");
    kav_buffer *data = &p->tables->data;
    kav_buffer_align(data, 2);
    kav_choice head = {(uint16_t)bytes};
    kav_buffer_add(data, &head, sizeof head);
    size_t at = kav_buffer_add(data, NULL, 2 * (size_t)bytes);
    if (at == SIZE_MAX) return fail(p, "out of memory");
    uint8_t *values = data->data + at, *masks = values + bytes;
    if (p->wide) memset(masks, 0xff, bytes);
    for (size_t i = 0, k = 0; i < t.length; i += 2, k += p->wide ? 2 : 1) {
        if (!byte_at(p, t, i, &values[k], &masks[k])) return false;
        if (masks[k] != 0xff) *exact = false;
        if (p->nocase && masks[k] == 0xff && is_letter(values[k])) {
            masks[k] = 0xdf;
            values[k] &= 0xdf;
        }
    }
    *length = (uint16_t)bytes;
    return true;
}

/* A choice of exact single bytes is a set. */
static bool choice_to_set(kav_parse *p, kav_atom *atom, size_t from, bool negated)
{
    uint8_t bits[32] = {0};
    const uint8_t *data = p->tables->data.data + from;
    for (uint32_t i = 0; i < atom->count; i++, data += sizeof(kav_choice) + 2) {
        for (int b = 0; b < 256; b++) {
            if ((b & data[3]) == data[2]) bits[b >> 3] |= (uint8_t)(1 << (b & 7));
        }
    }
    p->tables->data.length = from;
    return add_set(p, bits, negated);
}

/* What stands between ( and ). */
static bool add_alternatives(kav_parse *p, kav_text t, bool negated)
{
    kav_atom atom = {.kind = KAV_EL_CHOICE, .flags = negated ? KAV_EL_NOT : 0, .least = UINT16_MAX};
    bool exact = true;
    kav_buffer_align(&p->tables->data, 2);
    size_t from = p->tables->data.length;
    for (size_t begin = 0; begin <= t.length; atom.count++) {
        size_t end = begin;
        while (end < t.length && t.text[end] != '|') end++;
        uint16_t length;
        if (atom.count == 4096) return fail(p, "too many alternatives");
        if (!add_choice(p, (kav_text){t.text + begin, end - begin}, &length, &exact)) return false;
        if (length < atom.least) atom.least = length;
        if (length > atom.most) atom.most = length;
        begin = end + 1;
    }
    /* ClamAV negates plain alternatives of one length only, and none under a modifier. */
    bool modified = p->nocase || p->wide || p->fullword || p->ascii;
    if (negated && (!exact || modified || atom.least != atom.most))
        return fail(p, "negated alternatives must be plain");
    atom.data = (uint32_t)from;
    if (atom.most == 1) return choice_to_set(p, &atom, from, negated);
    return add_atom(p, atom);
}

static int edge_kind(kav_text t)
{
    if (t.length != 1) return KAV_EDGE_NONE;
    if (t.text[0] == 'B') return KAV_EDGE_BOUNDARY;
    if (t.text[0] == 'L') return KAV_EDGE_LINE;
    return t.text[0] == 'W' ? KAV_EDGE_WORD : KAV_EDGE_NONE;
}

/* ( at t.text[*at], perhaps behind a '!'. A class that stands first (not negated) or last is an edge and takes no byte;
 * elsewhere it takes one. */
static bool parse_special(kav_parse *p, kav_text t, size_t *at, kav_edge *edge)
{
    size_t open = *at, close;
    bool negated = t.text[open] == '!';
    if (negated && (++open >= t.length || t.text[open] != '(')) return fail(p, "'!' without alternatives");
    for (close = open + 1; close < t.length && t.text[close] != ')'; close++) {
        if (t.text[close] == '(') return fail(p, "nested alternatives are not supported");
    }
    if (close >= t.length) return fail(p, "missing ')'");
    kav_text inside = {t.text + open + 1, close - open - 1};
    int kind = edge_kind(inside);
    bool first = *at == 0 && !negated && !p->word_left, last = close + 1 == t.length && !p->word_right;
    *at = close + 1;
    if (kind == KAV_EDGE_NONE) return add_alternatives(p, inside, negated);
    if (last) {
        edge->right = (uint8_t)kind;
        if (negated) edge->flags |= KAV_EG_NOT_RIGHT;
        return true;
    }
    if (first) {
        edge->left = (uint8_t)kind;
        return true;
    }
    if (kind != KAV_EDGE_LINE) return add_class(p, inside.text[0], negated);
    return add_atom(
        p, (kav_atom){.kind = KAV_EL_LINE, .flags = negated ? KAV_EL_NOT : 0, .least = 1, .most = negated ? 1 : 2});
}

static bool parse_number(kav_text t, size_t *at, uint16_t *out)
{
    uint32_t value = 0;
    size_t i = *at;
    for (; i < t.length && t.text[i] >= '0' && t.text[i] <= '9' && value <= BRACKET_MAX; i++)
        value = value * 10 + (uint32_t)(t.text[i] - '0');
    bool ok = i > *at && value <= BRACKET_MAX;
    *at = i;
    *out = (uint16_t)value;
    return ok;
}

/* aa[n-m]rest or rest[n-m]aa: cut the single byte off the text and make it a condition on what lies nearby. */
static bool cut_bracket(kav_parse *p, kav_text *t, kav_edge *edge)
{
    const char *open = memchr(t->text, '[', t->length);
    size_t before = (size_t)(open - t->text), i = before + 1;
    uint16_t min, max;
    if (!parse_number(*t, &i, &min)) return fail(p, "unreadable range in square brackets");
    max = min;
    if (i < t->length && t->text[i] == '-' && (i++, !parse_number(*t, &i, &max)))
        return fail(p, "unreadable range in square brackets");
    if (i >= t->length || t->text[i] != ']' || min > max) return fail(p, "unreadable range in square brackets");
    size_t after = t->length - i - 1;
    int side = before == 2 ? 0 : 1;
    if ((side == 1 && after != 2) || edge->near[side].kind) return fail(p, "square brackets need a single byte beside");
    uint8_t pair[2];
    if (!byte_at(p, *t, side ? i + 1 : 0, &pair[0], &pair[1])) return false;
    if (p->nocase && pair[1] == 0xff && is_letter(pair[0])) {
        pair[0] &= 0xdf;
        pair[1] = 0xdf;
    }
    size_t data = kav_buffer_add(&p->tables->data, pair, sizeof pair);
    edge->near[side] = (kav_element){KAV_EL_MASK, 0, 1, (uint32_t)data};
    edge->near_min[side] = min;
    edge->near_max[side] = max;
    *t = side ? (kav_text){t->text, before} : (kav_text){t->text + i + 1, after};
    return true;
}

/* {n} with a short n: n times anything. */
static bool add_skip(kav_parse *p, kav_text t, size_t *at)
{
    uint32_t n = 0;
    /* pattern.c has read this range before: it is well formed, n or n-n, and below 128. */
    for (++*at; t.text[*at] >= '0' && t.text[*at] <= '9'; ++*at) n = n * 10 + (uint32_t)(t.text[*at] - '0');
    while (t.text[*at] != '}' && t.text[*at] != ']') ++*at;
    ++*at;
    while (n--) {
        if (!add_atom(p, (kav_atom){.kind = KAV_EL_MASK, .least = 1, .most = 1})) return false;
    }
    return true;
}

static bool parse_atoms(kav_parse *p, kav_text t, kav_edge *edge)
{
    p->atom_count = 0;
    for (size_t i = 0; i < t.length;) {
        char c = t.text[i];
        uint8_t value, mask;
        if (c == '(' || c == '!') {
            if (!parse_special(p, t, &i, edge)) return false;
        } else if (c == '{' || (c == '[' && (p->wide || p->fullword))) {
            if (!add_skip(p, t, &i)) return false;
        } else {
            if (!byte_at(p, t, i, &value, &mask) || !add_byte(p, value, mask)) return false;
            i += 2;
        }
    }
    return true;
}

/* Which element form an atom that is one byte takes. */
static uint8_t run_kind(const kav_atom *a)
{
    if (a->kind != KAV_EL_MASK) return a->kind;
    if (a->mask == 0) return KAV_EL_ANY;
    if (a->mask != 0xff) return KAV_EL_MASK;
    return a->nocase ? KAV_EL_NOCASE : KAV_EL_BYTES;
}

/* How far a run that begins at atom i goes. Bytes and letters of either case go together as NOCASE. */
static uint32_t run_end(const kav_parse *p, uint32_t i, uint8_t *kind)
{
    *kind = run_kind(&p->atoms[i]);
    uint32_t end = i + 1;
    if (*kind == KAV_EL_SET || *kind == KAV_EL_CHOICE || *kind == KAV_EL_LINE) return end;
    for (; end < p->atom_count; end++) {
        uint8_t next = run_kind(&p->atoms[end]);
        bool both_exact =
            (*kind == KAV_EL_BYTES || *kind == KAV_EL_NOCASE) && (next == KAV_EL_BYTES || next == KAV_EL_NOCASE);
        if (next != *kind && !both_exact) break;
        if (next == KAV_EL_NOCASE) *kind = KAV_EL_NOCASE;
    }
    return end;
}

/* Lower case for NOCASE runs: bytes that are no letters are compared as they are, because upper case letters do not
 * occur in the lower-cased input and no other byte changes. */
static void add_element(kav_parse *p, uint32_t from, uint32_t end, uint8_t kind)
{
    kav_tables *t = p->tables;
    const kav_atom *a = &p->atoms[from];
    kav_element e = {kind, a->flags, (uint16_t)(end - from), a->data};
    if (kind == KAV_EL_CHOICE) e.length = a->count;
    if (kind == KAV_EL_BYTES || kind == KAV_EL_NOCASE || kind == KAV_EL_MASK) {
        e.data = (uint32_t)t->data.length;
        for (uint32_t i = from; i < end; i++) kav_buffer_add(&t->data, &p->atoms[i].value, 1);
        for (uint32_t i = from; kind == KAV_EL_MASK && i < end; i++) kav_buffer_add(&t->data, &p->atoms[i].mask, 1);
    }
    kav_buffer_add(&t->elements, &e, sizeof e);
}

static uint32_t edge_reach(const kav_edge *edge, int side)
{
    uint32_t reach = edge->near[side].kind ? edge->near_max[side] + 1u : 0;
    return reach > 2 ? reach : (side ? edge->right : edge->left) ? 2 : reach;
}

/* Elements, pivot and spans, once the window is chosen. */
static bool layout(kav_parse *p, const kav_window *window, const kav_edge *edge, kav_piece *piece)
{
    kav_tables *t = p->tables;
    uint32_t first = KAV_COUNT(t->elements, kav_element), back = 0, ahead = 0, stretch = 0, stretch_back = 0;
    uint32_t anchor = 0, pivot = KAV_NONE, pivot_back = 0, total = 0;
    for (uint32_t i = 0, end; i < p->atom_count; i = end) {
        uint8_t kind;
        end = run_end(p, i, &kind);
        uint32_t element = KAV_COUNT(t->elements, kav_element) - first;
        uint32_t most = kind == KAV_EL_CHOICE || kind == KAV_EL_LINE ? p->atoms[i].most : end - i;
        bool fixed = p->atoms[i].least == p->atoms[i].most;
        if (!fixed) { /* what follows has no fixed distance from what came before */
            stretch = element + 1;
            stretch_back = total + most;
        }
        for (uint32_t k = i; fixed && k < end; k++) {
            if (k == window->atom) {
                pivot = stretch;
                pivot_back = stretch_back;
                anchor = total + (k - i) - stretch_back + window->length;
            }
        }
        add_element(p, i, end, kind);
        total += most;
    }
    back = pivot_back;
    ahead = total - pivot_back;
    uint32_t count = KAV_COUNT(t->elements, kav_element) - first;
    if (total > KAV_PIECE_SPAN || count > UINT16_MAX) return fail(p, "longer than 60,000 bytes without a gap");
    piece->element = first;
    piece->element_count = (uint16_t)count;
    piece->pivot = (uint16_t)pivot;
    piece->anchor = (uint16_t)anchor;
    piece->back = back + edge_reach(edge, 0);
    piece->ahead = ahead + edge_reach(edge, 1);
    return true;
}

bool kav_piece_parse(kav_parse *p, kav_text t, kav_piece *piece)
{
    kav_edge edge = {0};
    if (t.length == 0) return fail(p, "nothing between two gaps");
    while (!p->wide && !p->fullword && memchr(t.text, '[', t.length)) {
        if (!cut_bracket(p, &t, &edge)) return false;
    }
    if (!parse_atoms(p, t, &edge)) return false;
    if (p->word_left) edge.left = KAV_EDGE_WORD;
    if (p->word_right) edge.right = KAV_EDGE_WORD;
    if (p->wide) edge.flags |= KAV_EG_WIDE;
    kav_window window;
    if (!kav_window_choose(p, &window)) return fail(p, "needs two known bytes side by side");
    if (!layout(p, &window, &edge, piece)) return false;
    kav_buffer_add(&p->windows, &window, sizeof window);
    piece->edge = KAV_NONE;
    if (edge.left || edge.right || edge.near[0].kind || edge.near[1].kind) {
        piece->edge = KAV_COUNT(p->tables->edges, kav_edge);
        kav_buffer_add(&p->tables->edges, &edge, sizeof edge);
    }
    return true;
}
