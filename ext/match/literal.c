#include "pattern.h"

#include <stdio.h>
#include <string.h>

/* How rare each byte value is, in eighths of a bit, measured over programs, libraries, scripts, HTML and UTF-16 text.
 */
static const uint8_t RARITY[256] = {
    19, 62, 69, 72, 71, 72, 77, 75, 66, 73, 47, 78, 80, 79, 67, 61, 70, 81, 77, 82, 79, 80, 83, 83, 73, 83, 83, 83, 81,
    83, 83, 72, 25, 77, 57, 66, 59, 71, 80, 53, 59, 59, 75, 75, 54, 61, 56, 68, 65, 65, 72, 77, 77, 74, 78, 79, 73, 74,
    63, 72, 77, 63, 75, 77, 72, 62, 71, 69, 63, 64, 72, 73, 53, 65, 82, 77, 62, 73, 68, 71, 68, 83, 70, 66, 66, 73, 78,
    77, 78, 79, 82, 69, 67, 69, 79, 55, 75, 47, 60, 53, 53, 39, 54, 58, 57, 45, 80, 68, 50, 54, 46, 46, 53, 79, 44, 46,
    43, 55, 67, 67, 65, 61, 76, 75, 70, 75, 72, 83, 75, 82, 84, 68, 71, 69, 81, 83, 80, 59, 84, 65, 81, 68, 83, 83, 78,
    84, 84, 84, 83, 84, 84, 84, 83, 84, 84, 85, 84, 84, 85, 84, 81, 85, 84, 84, 84, 85, 84, 85, 83, 85, 84, 85, 84, 85,
    84, 84, 82, 85, 85, 85, 83, 84, 80, 84, 81, 83, 78, 84, 83, 83, 79, 80, 68, 79, 80, 76, 79, 81, 78, 76, 81, 81, 83,
    84, 83, 84, 83, 84, 79, 83, 80, 83, 84, 84, 83, 84, 80, 82, 83, 82, 84, 83, 82, 80, 79, 83, 81, 84, 82, 83, 82, 82,
    65, 71, 82, 79, 80, 81, 81, 78, 80, 83, 82, 82, 83, 83, 78, 81, 78, 82, 80, 81, 79, 79, 74, 49};

uint8_t kav_rarity(uint8_t byte)
{
    return RARITY[byte];
}

#define REPEATED     6 /* a byte like the one before: runs are common */
#define PER_LITERAL  4 /* what each further literal of a window costs */
#define STRONG_SCORE 112
#define LEAST_LENGTH 2

/* The byte values that one position of the piece can have. */
typedef struct {
    uint8_t bits[32];
    uint32_t width;
} kav_values;

static void allow(kav_values *v, uint8_t value, uint8_t mask)
{
    for (int b = 0; b < 256; b++) {
        if ((b & mask) == (value & mask)) v->bits[b >> 3] |= (uint8_t)(1 << (b & 7));
    }
}

/* Byte k of a choice: what any of its strings has there. More than the choice itself allows, which costs only a few
 * useless checks. */
static void allow_choice(const kav_parse *p, const kav_atom *a, uint32_t k, kav_values *v)
{
    const uint8_t *data = p->tables->data.data + a->data;
    for (uint32_t i = 0; i < a->count; i++) {
        uint16_t length;
        memcpy(&length, data, sizeof length);
        const uint8_t *values = data + sizeof(kav_choice);
        allow(v, values[k], values[length + k]);
        size_t next = (size_t)(values + 2 * (size_t)length - p->tables->data.data);
        data = p->tables->data.data + ((next + 1) & ~(size_t)1);
    }
}

static kav_values values_at(const kav_parse *p, const kav_atom *a, uint32_t k)
{
    kav_values v = {0};
    if (a->kind == KAV_EL_LINE || (a->flags & KAV_EL_NOT)) allow(&v, 0, 0);
    else if (a->kind == KAV_EL_SET) memcpy(v.bits, p->tables->data.data + a->data, sizeof v.bits);
    else if (a->kind == KAV_EL_CHOICE) allow_choice(p, a, k, &v);
    else if (a->nocase) allow(&v, a->value, 0xff);
    else allow(&v, a->value, a->mask);
    for (int i = 0; i < 32; i++) v.width += (uint32_t)__builtin_popcount(v.bits[i]);
    return v;
}

/* Width and rarity of a position; false where a window must stop. */
static bool weigh(const kav_parse *p, const kav_atom *a, uint32_t k, uint32_t *width, uint32_t *bits)
{
    if (a->kind == KAV_EL_MASK && a->mask == 0xff) {
        uint8_t lower = RARITY[a->value], upper = a->nocase ? RARITY[a->value & 0xdf] : lower;
        *width = 1;
        *bits = lower < upper ? lower : upper;
        return true;
    }
    if (a->kind == KAV_EL_LINE || (a->flags & KAV_EL_NOT) || (a->kind == KAV_EL_MASK && a->mask == 0)) return false;
    kav_values v = values_at(p, a, k);
    if (v.width == 0 || v.width > KAV_EXPANSIONS) return false;
    uint32_t least = 255, log = 0;
    for (int b = 0; b < 256; b++) {
        if ((v.bits[b >> 3] >> (b & 7) & 1) && RARITY[b] < least) least = RARITY[b];
    }
    while ((2u << log) <= v.width) log++;
    *width = v.width;
    *bits = least > 8 * log ? least - 8 * log : 0;
    return true;
}

static bool may_begin_with_nul(const kav_parse *p, const kav_atom *a)
{
    if (a->kind == KAV_EL_MASK && a->mask == 0xff) return a->value == 0;
    return values_at(p, a, 0).bits[0] & 1;
}

typedef struct {
    uint32_t atom, length, score;
    bool strong, found;
} kav_best;

/* Look at every window that begins at this atom. */
static void try_from(const kav_parse *p, uint32_t first, kav_best *best)
{
    uint32_t product = 1, score = 0, length = 0;
    bool nul_first = may_begin_with_nul(p, &p->atoms[first]);
    for (uint32_t i = first; i < p->atom_count && length < KAV_LITERAL_MAX; i++) {
        const kav_atom *a = &p->atoms[i], *before = i > first ? a - 1 : NULL;
        for (uint32_t k = 0; k < a->least && length < KAV_LITERAL_MAX; k++) {
            uint32_t width, bits;
            if (!weigh(p, a, k, &width, &bits) || product * width > KAV_EXPANSIONS) return;
            product *= width;
            bool repeated = before && a->kind == KAV_EL_MASK && before->kind == KAV_EL_MASK && a->mask == 0xff &&
                            before->mask == 0xff && a->value == before->value;
            score += repeated ? REPEATED : bits;
            length++;
            if (length < LEAST_LENGTH) continue;
            uint32_t cost = (product - 1) * PER_LITERAL, net = score > cost ? score - cost : 0;
            /* The call for pure literals takes one that begins with NUL for an empty string. */
            bool strong = net >= STRONG_SCORE && !nul_first;
            bool better = !best->found || strong > best->strong || (strong == best->strong && net > best->score);
            if (better) *best = (kav_best){first, length, net, strong, true};
        }
        if (a->least != a->most) return; /* a choice of several lengths: only its beginning has a place */
    }
}

/* Write out the literals of a window: every combination of the values of its positions. */
static void expand(const kav_parse *p, kav_window *w)
{
    kav_values values[KAV_LITERAL_MAX];
    uint32_t n = 0;
    for (uint32_t i = w->atom; n < w->length; i++) {
        for (uint32_t k = 0; k < p->atoms[i].least && n < w->length; k++) values[n++] = values_at(p, &p->atoms[i], k);
    }
    uint8_t at[KAV_LITERAL_MAX];
    uint32_t product = 1;
    for (uint32_t i = 0; i < n; i++) product *= values[i].width;
    w->count = 0;
    for (uint32_t combination = 0; combination < product; combination++) {
        uint32_t rest = combination;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t wanted = rest % values[i].width;
            rest /= values[i].width;
            for (int b = 0; b < 256; b++) {
                if ((values[i].bits[b >> 3] >> (b & 7) & 1) && wanted-- == 0) at[i] = (uint8_t)b;
            }
            if ((w->flags & KAV_LF_NOCASE) && at[i] >= 'A' && at[i] <= 'Z') at[i] |= 0x20;
        }
        bool known = false;
        for (uint32_t i = 0; i < w->count; i++) known |= !memcmp(w->bytes[i], at, n);
        if (!known) memcpy(w->bytes[w->count++], at, n);
    }
}

/* One place as an expression: a byte, anything, or a class. Classes list what is in them, never what is not: with
 * letters in either case the latter would leave out too much. */
static void write_place(kav_buffer *out, const kav_values *v)
{
    char text[16];
    if (v->width == 256) {
        kav_buffer_add(out, ".", 1);
        return;
    }
    if (v->width > 1) kav_buffer_add(out, "[", 1);
    for (int b = 0, end; b < 256; b = end + 1) {
        end = b;
        if (!(v->bits[b >> 3] >> (b & 7) & 1)) continue;
        while (end < 255 && (v->bits[(end + 1) >> 3] >> ((end + 1) & 7) & 1)) end++;
        int n = end > b ? snprintf(text, sizeof text, "\\x%02x-\\x%02x", b, end)
                        : snprintf(text, sizeof text, "\\x%02x", b);
        kav_buffer_add(out, text, (size_t)n);
    }
    if (v->width > 1) kav_buffer_add(out, "]", 1);
}

/* A weak window as a regular expression, with the places around it that have a fixed distance: Vectorscan then reports
 * little that is not a match. Moves the window's beginning and sets its length. */
static void write_context(const kav_parse *p, kav_window *w)
{
    kav_buffer *data = &p->tables->data;
    uint32_t first = w->atom, before = 0, places = 0, known_end = 0, limit = 0;
    size_t known = 0;
    while (first > 0 && p->atoms[first - 1].least == p->atoms[first - 1].most &&
           before + p->atoms[first - 1].most <= KAV_CONTEXT)
        before += p->atoms[--first].most;
    while (p->atoms[first].kind == KAV_EL_MASK && p->atoms[first].mask == 0) first++, before--;
    limit = before + w->length + KAV_CONTEXT;
    w->text = (uint32_t)data->length;
    for (uint32_t i = first; i < p->atom_count && places < limit; i++) {
        const kav_atom *a = &p->atoms[i];
        for (uint32_t k = 0; k < a->least && places < limit; k++) {
            kav_values v = values_at(p, a, k);
            write_place(data, &v);
            places++;
            if (v.width == 256) continue;
            known = data->length; /* what is anything at the end is cut off again */
            known_end = places;
        }
        if (a->least != a->most) break;
    }
    data->length = known;
    w->text_length = (uint32_t)(known - w->text);
    w->atom = first;
    w->length = (uint16_t)known_end;
}

bool kav_window_choose(const kav_parse *p, kav_window *out)
{
    kav_best best = {0};
    uint32_t run = 0, longest = 0;
    for (uint32_t i = 0; i < p->atom_count; i++) {
        bool exact = p->atoms[i].kind == KAV_EL_MASK && p->atoms[i].mask == 0xff;
        run = exact ? run + 1 : 0;
        if (run > longest) longest = run;
        try_from(p, i, &best);
    }
    /* ClamAV takes no piece without two known bytes side by side; so neither do we, and best is always set. */
    if (longest < LEAST_LENGTH || !best.found) return false;
    memset(out, 0, sizeof *out);
    out->length = (uint16_t)best.length;
    out->flags = p->nocase ? KAV_LF_NOCASE : 0;
    out->strong = best.strong;
    out->atom = best.atom;
    out->score = best.score;
    if (best.strong) expand(p, out);
    else write_context(p, out);
    return kav_buffer_ok(&p->tables->data);
}

static bool same_literal(const void *context, uint32_t index, const void *key)
{
    const kav_tables *t = context;
    const kav_literal *a = KAV_ITEM(t->literals, const kav_literal, index), *b = key;
    return a->length == b->length && a->flags == b->flags && !memcmp(a->bytes, b->bytes, sizeof a->bytes) &&
           a->text_length == b->text_length && !memcmp(t->data.data + a->text, t->data.data + b->text, a->text_length);
}

/* The literal's index, new or known. */
static uint32_t intern_literal(kav_parse *p, const kav_literal *literal)
{
    kav_tables *t = p->tables;
    uint64_t hash = literal->text_length ? kav_intern_hash(t->data.data + literal->text, literal->text_length)
                                         : kav_intern_hash(literal->bytes, sizeof literal->bytes);
    uint32_t index = kav_intern_find(p->literals, hash, same_literal, t, literal);
    if (index != KAV_NONE) return index;
    index = KAV_COUNT(t->literals, kav_literal);
    kav_buffer_add(&t->literals, literal, sizeof *literal);
    if (!kav_buffer_ok(&t->literals) || !kav_intern_add(p->literals, hash, index)) t->literals.failed = true;
    return index;
}

static void post(kav_parse *p, const kav_literal *literal, uint32_t piece)
{
    kav_build_posting posting = {intern_literal(p, literal), piece};
    kav_buffer_add(&p->tables->postings, &posting, sizeof posting);
}

/* Bytes as an expression: the weak database takes expressions only. */
static void write_bytes(kav_parse *p, kav_literal *literal, const uint8_t *bytes, uint32_t length)
{
    kav_buffer *data = &p->tables->data;
    literal->text = (uint32_t)data->length;
    for (uint32_t k = 0; k < length; k++) {
        kav_values v = {.width = 1};
        v.bits[bytes[k] >> 3] = (uint8_t)(1 << (bytes[k] & 7));
        write_place(data, &v);
    }
    literal->text_length = (uint32_t)(data->length - literal->text);
}

uint32_t kav_literal_weaken(kav_parse *p, uint32_t literal)
{
    kav_literal strong = *KAV_ITEM(p->tables->literals, const kav_literal, literal);
    kav_literal weak = {.flags = strong.flags | KAV_LF_WEAK};
    size_t before = p->tables->data.length;
    write_bytes(p, &weak, strong.bytes, strong.length);
    if (!kav_buffer_ok(&p->tables->data)) return literal;
    uint32_t count = KAV_COUNT(p->tables->literals, kav_literal), index = intern_literal(p, &weak);
    if (index < count) p->tables->data.length = before; /* known: its text stands there already */
    return index;
}

void kav_window_post(kav_parse *p, const kav_window *w, uint32_t piece, bool weak)
{
    kav_literal literal = {.flags = (uint8_t)(w->flags | (weak ? KAV_LF_WEAK : 0))};
    if (!w->strong) {
        literal.text = w->text;
        literal.text_length = w->text_length;
        post(p, &literal, piece);
        return;
    }
    for (uint32_t i = 0; i < w->count; i++) {
        if (weak) {
            write_bytes(p, &literal, w->bytes[i], w->length);
            if (p->tables->data.failed) return;
        } else {
            literal.length = (uint8_t)w->length;
            memcpy(literal.bytes, w->bytes[i], w->length);
        }
        post(p, &literal, piece);
    }
}
