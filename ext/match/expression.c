#include "expression.h"

#include <string.h>

#define DEPTH_MAX 64

typedef struct {
    const char *text;
    size_t length, at;
    kav_buffer *out;
    uint32_t highest;
    const char *why;
} reader;

static void read_row(reader *r, int depth, bool inside);

static bool bad(reader *r, const char *why)
{
    if (!r->why) r->why = why;
    return false;
}

static char peek(const reader *r)
{
    return r->at < r->length ? r->text[r->at] : '\0';
}

static uint32_t read_number(reader *r)
{
    uint64_t value = 0;
    size_t from = r->at;
    for (; peek(r) >= '0' && peek(r) <= '9' && value <= INT32_MAX; r->at++)
        value = value * 10 + (uint64_t)(peek(r) - '0');
    if (r->at == from || value > INT32_MAX) bad(r, "number missing or too large in the logical expression");
    return (uint32_t)value;
}

static void emit(reader *r, kav_code code)
{
    kav_buffer_add(r->out, &code, sizeof code);
}

/* >n, <n, =n, each perhaps with ,m. */
static void read_compare(reader *r, kav_code *code, uint32_t *different)
{
    *different = 0;
    char c = peek(r);
    if (c != '>' && c != '<' && c != '=') return;
    r->at++;
    code->compare = (uint8_t)c;
    code->count = read_number(r);
    if (peek(r) == ',') {
        r->at++;
        *different = read_number(r);
    }
}

/* A subsignature number or a parenthesis, with what it is compared with. */
static void read_term(reader *r, int depth)
{
    kav_code code = {0};
    uint32_t different;
    if (depth > DEPTH_MAX) {
        bad(r, "logical expression nested too deep");
        return;
    }
    if (peek(r) == '(') {
        r->at++;
        size_t before = r->out->length;
        read_row(r, depth + 1, true);
        if (r->why) return;
        if (peek(r) != ')') {
            bad(r, "missing ')' in the logical expression");
            return;
        }
        r->at++;
        code.op = KAV_OP_BLOCK;
        read_compare(r, &code, &different);
        code.value = different;
        if (!code.compare) return;
        /* ClamAV refuses (0)>1: a comparison behind a parenthesis needs an operator inside. */
        if (r->out->length == before + sizeof(kav_code)) bad(r, "nothing to count inside a parenthesis");
        emit(r, code);
        return;
    }
    code.op = KAV_OP_LEAF;
    uint32_t id = read_number(r);
    if (id >= KAV_SUBSIGS_MAX) bad(r, "more than 64 subsignatures");
    if (r->why) return;
    code.index = (uint16_t)id;
    code.value = id;
    if (id > r->highest) r->highest = id;
    read_compare(r, &code, &different);
    emit(r, code);
}

static void emit_operator(reader *r, char c)
{
    emit(r, (kav_code){.op = c == '&' ? KAV_OP_AND : KAV_OP_OR});
}

/* term operator term operator ... A row is joined from the right, t1 & (t2 | (t3 & t4)), but inside parentheses the
 * last operator is the outermost: (t1 & (t2 | t3)) & t4. */
static void read_row(reader *r, int depth, bool inside)
{
    char operators[KAV_SUBSIGS_MAX];
    uint32_t count = 0;
    size_t last = r->out->length;
    read_term(r, depth);
    while (!r->why && (peek(r) == '&' || peek(r) == '|')) {
        if (count == KAV_SUBSIGS_MAX) {
            bad(r, "logical expression too long");
            return;
        }
        operators[count++] = peek(r);
        r->at++;
        last = r->out->length;
        read_term(r, depth);
    }
    if (r->why || count == 0) return;
    uint32_t early = inside ? count - 1 : 0; /* operators that stand before the last term's code */
    size_t tail = r->out->length - last;
    for (uint32_t i = 0; i < early; i++) emit_operator(r, operators[early - 1 - i]);
    if (early && kav_buffer_ok(r->out)) { /* rotate: the last term's code behind the operators just written */
        size_t moved = early * sizeof(kav_code);
        kav_code joined[KAV_SUBSIGS_MAX];
        memcpy(joined, r->out->data + last + tail, moved);
        memmove(r->out->data + last + moved, r->out->data + last, tail);
        memcpy(r->out->data + last, joined, moved);
    }
    for (uint32_t i = count; i > early; i--) emit_operator(r, operators[i - 1]);
}

const char *kav_expression_parse(const char *text, size_t length, kav_buffer *out, uint32_t *highest)
{
    reader r = {.text = text, .length = length, .out = out};
    size_t from = out->length;
    read_row(&r, 0, false);
    if (!r.why && r.at != length) r.why = "unreadable logical expression";
    if (!r.why && !kav_buffer_ok(out)) r.why = "out of memory";
    uint32_t count = (uint32_t)((out->length - from) / sizeof(kav_code));
    if (!r.why && !kav_expression_check((const kav_code *)(const void *)(out->data + from), count, KAV_SUBSIGS_MAX, 0))
        r.why = "logical expression too long";
    if (r.why) out->length = from;
    *highest = r.highest;
    return r.why;
}

uint32_t kav_expression_cap(const kav_code *code, uint32_t count)
{
    uint32_t cap = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (code[i].compare && code[i].count >= cap) cap = code[i].count + 1;
    }
    return cap;
}

typedef struct {
    uint64_t count, subsigs; /* matches together; which subsignatures */
    uint64_t possible;       /* subsignatures that these may become at most */
    uint8_t truth;
    bool known; /* count and subsigs are final */
} value;

static enum kav_truth compare(const kav_code *c, uint64_t count)
{
    switch (c->compare) {
    case '=': return count == c->count ? KAV_TRUE : KAV_FALSE;
    case '<': return count < c->count ? KAV_TRUE : KAV_FALSE;
    case '>': return count > c->count ? KAV_TRUE : KAV_FALSE;
    default: return count ? KAV_TRUE : KAV_FALSE;
    }
}

static value eval_leaf(const kav_code *c, uint32_t count)
{
    uint64_t bit = (uint64_t)1 << c->index;
    if (count == KAV_ANY_COUNT) return (value){.possible = bit, .truth = KAV_PERHAPS};
    if (compare(c, count) == KAV_FALSE) return (value){.truth = KAV_FALSE, .known = true};
    return (value){count, bit, bit, KAV_TRUE, true};
}

static value eval_pair(const kav_code *c, value a, value b)
{
    uint8_t truth = KAV_PERHAPS;
    uint8_t deciding = c->op == KAV_OP_AND ? KAV_FALSE : KAV_TRUE; /* one side alone decides */
    if (a.truth == deciding || b.truth == deciding) truth = deciding;
    else if (a.truth != KAV_PERHAPS && b.truth != KAV_PERHAPS) truth = a.truth;
    if (truth == KAV_FALSE) return (value){.truth = KAV_FALSE, .known = true};
    return (value){a.count + b.count, a.subsigs | b.subsigs, a.possible | b.possible, truth, a.known && b.known};
}

static value eval_block(const kav_code *c, value a)
{
    if (a.truth == KAV_FALSE) a = (value){.truth = KAV_FALSE, .known = true};
    if (!a.known && c->value && (uint32_t)__builtin_popcountll(a.possible) < c->value)
        return (value){.truth = KAV_FALSE, .known = true};
    if (!a.known) return (value){.truth = KAV_PERHAPS};
    bool holds = compare(c, a.count) == KAV_TRUE;
    if (holds && c->value && (uint32_t)__builtin_popcountll(a.subsigs) < c->value) holds = false;
    /* The subsignatures of a compared parenthesis do not count for a ",m" further out. */
    return holds ? (value){a.count, 0, 0, KAV_TRUE, true} : (value){.truth = KAV_FALSE, .known = true};
}

enum kav_truth kav_expression_eval(const kav_code *code, uint32_t count, kav_leaf_count leaf, const void *context)
{
    value stack[KAV_CODE_DEPTH];
    uint32_t top = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kav_code *c = &code[i];
        switch (c->op) {
        case KAV_OP_LEAF:
        case KAV_OP_PROBE: stack[top++] = eval_leaf(c, leaf(context, c)); break;
        case KAV_OP_BLOCK: stack[top - 1] = eval_block(c, stack[top - 1]); break;
        default: top--; stack[top - 1] = eval_pair(c, stack[top - 1], stack[top]);
        }
    }
    return stack[0].truth;
}

bool kav_expression_check(const kav_code *code, uint32_t count, uint32_t patterns, uint32_t probes)
{
    uint32_t top = 0;
    for (uint32_t i = 0; i < count; i++) {
        const kav_code *c = &code[i];
        if (c->compare && c->compare != '=' && c->compare != '<' && c->compare != '>') return false;
        switch (c->op) {
        case KAV_OP_LEAF:
        case KAV_OP_PROBE:
            if (c->index >= KAV_SUBSIGS_MAX || top == KAV_CODE_DEPTH) return false;
            if (c->value >= (c->op == KAV_OP_LEAF ? patterns : probes)) return false;
            top++;
            break;
        case KAV_OP_AND:
        case KAV_OP_OR:
            if (top < 2) return false;
            top--;
            break;
        case KAV_OP_BLOCK:
            if (top < 1) return false;
            break;
        default: return false;
        }
    }
    return top == 1;
}
