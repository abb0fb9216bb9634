/* What scripts hide from readers, made plain: unescape("..."), eval("..."), dF("...") and the packer that begins with
 * function(p,a,c,k,e,d). The order of steps, and what is left undone, is ClamAV's. */
#include "script_parts.h"

#include <stdlib.h>
#include <string.h>

/* Each hidden script moves all tokens behind it: some are worth that, a thousand are there to cost time. */
enum { DECODED_MAX = 256, WORK_MAX = 64 << 20, PARAMETERS = 6 };

/* Tokens begin .. end give way to those that text holds, or are dropped and these go to the end. */
typedef struct {
    kav_text_out text;
    uint32_t begin, end;
    uint64_t read; /* bytes that were gone through for it */
    bool append;
} decoded;

static bool is_name(const kav_script *s, const kav_token *token, const char *name)
{
    if (token->kind != KAV_TK_NAME) return false;
    const kav_symbol *symbol = &s->symbols[token->u.symbol];
    return symbol->len == strlen(name) && memcmp(s->text.data + symbol->at, name, symbol->len) == 0;
}

static bool is_call(const kav_script *s, uint32_t i, const char *name)
{
    const kav_tokens *t = &s->tokens;
    return i + 2 < t->count && is_name(s, &t->at[i], name) && t->at[i + 1].kind == KAV_TK_OPEN;
}

static void unescape(const uint8_t *p, size_t len, kav_text_out *out)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = p[i];
        int digits[4] = {-1, -1, -1, -1};
        if (c == '%' && i + 5 < len && p[i + 1] == 'u') {
            for (int k = 0; k < 4; k++) digits[k] = kav_hex_digit(p[i + 2 + k]);
            if (digits[0] >= 0 && digits[1] >= 0 && digits[2] >= 0 && digits[3] >= 0) {
                kav_script_put_code(out, (uint16_t)(digits[0] << 12 | digits[1] << 8 | digits[2] << 4 | digits[3]));
                i += 5;
                continue;
            }
        }
        if (c == '%' && i + 2 < len && kav_hex_digit(p[i + 1]) >= 0 && kav_hex_digit(p[i + 2]) >= 0) {
            c = (uint8_t)(kav_hex_digit(p[i + 1]) << 4 | kav_hex_digit(p[i + 2]));
            i += 2;
        }
        kav_text_put(out, c ? c : 1);
    }
}

/* A string of the script; its text moves when text is added, so it is copied first. */
static bool copy_string(kav_script *s, const kav_token *token, kav_text_out *copy)
{
    *copy = (kav_text_out){.limit = 2 * KAV_SCRIPT_TEXT};
    kav_text_write(copy, s->text.data + token->u.text.at, token->u.text.len);
    s->failed |= copy->failed;
    return !copy->failed;
}

/* unescape("...") is the string that it gives; all of them in one go, since each makes the script shorter. */
static void decode_unescape(kav_script *s)
{
    kav_tokens *t = &s->tokens;
    uint32_t to = 0;
    for (uint32_t i = 0; i < t->count; i++, to++) {
        bool call = is_call(s, i, "unescape") && t->at[i + 2].kind == KAV_TK_STRING && i + 4 <= t->count;
        kav_text_out copy;
        if (call && copy_string(s, &t->at[i + 2], &copy)) {
            uint32_t at = (uint32_t)s->text.len;
            unescape(copy.data, copy.len, &s->text);
            kav_text_out_free(&copy);
            t->at[to] = t->at[i + 2];
            t->at[to].u.text.at = at;
            t->at[to].u.text.len = (uint32_t)s->text.len - at;
            i += 3;
        } else {
            t->at[to] = t->at[i];
        }
    }
    t->count = to;
}

/* ---- the packer ---------------------------------------------------------------------------------------------------
 */

/* Text of a token, where ClamAV has one. */
static bool text_of(const kav_script *s, const kav_token *token, const uint8_t **text, size_t *len)
{
    switch (token->kind) {
    case KAV_TK_INTEGER:
    case KAV_TK_FLOAT:
    case KAV_TK_FUNCTION:
    case KAV_TK_FUNCTION_END: return false;
    case KAV_TK_STRING:
    case KAV_TK_MEMBER:
        *text = s->text.data + token->u.text.at;
        *len = token->u.text.len;
        return true;
    case KAV_TK_NAME:
        *text = s->text.data + s->symbols[token->u.symbol].at;
        *len = s->symbols[token->u.symbol].len;
        return true;
    default:
        *text = (const uint8_t *)token->word;
        *len = token->word_len;
        return true;
    }
}

typedef struct {
    const uint8_t *text;
    size_t len;
} packed_word;

/* The words of a list that '|' separates. */
static packed_word *split(const uint8_t *list, size_t len, uint32_t *count)
{
    *count = 1;
    for (size_t i = 0; i < len; i++) *count += list[i] == '|';
    packed_word *words = malloc(*count * sizeof *words);
    if (!words) return NULL;
    for (uint32_t i = 0; i < *count; i++) {
        const uint8_t *bar = len ? memchr(list, '|', len) : NULL;
        size_t n = bar ? (size_t)(bar - list) : len;
        words[i] = (packed_word){list, n};
        list += bar ? n + 1 : n;
        len -= bar ? n + 1 : n;
    }
    return words;
}

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static uint32_t digit_value(uint8_t c)
{
    if (c >= 'a') return 10 + (uint32_t)(c - 'a');
    return c >= 'A' ? 36 + (uint32_t)(c - 'A') : (uint32_t)(c - '0');
}

/* Each number in the text, in the packer's base, stands for a word of the list. */
static void unpack(const uint8_t *p, size_t len, int64_t base, const packed_word *words, uint32_t count,
                   kav_text_out *out)
{
    size_t i = 0;
    while (i < len) {
        if (!is_letter_or_digit(p[i])) {
            if (p[i] == '\\' && i + 1 < len && (p[i + 1] == '\'' || p[i + 1] == '"')) i++;
            else kav_text_put(out, p[i++]);
            continue;
        }
        size_t from = i;
        uint32_t value = 0;
        for (; i < len && is_letter_or_digit(p[i]); i++) value = (uint32_t)((int64_t)value * base + digit_value(p[i]));
        if (value < count && words[value].len) kav_text_write(out, words[value].text, words[value].len);
        else kav_text_write(out, p + from, i - from);
    }
}

static void unpack_call(kav_script *s, const uint32_t parameters[PARAMETERS], decoded *d)
{
    const kav_token *t = s->tokens.at, *base = &t[parameters[1]], *list = &t[parameters[3]];
    const uint8_t *text, *words_text;
    size_t len, words_len;
    if (list->kind != KAV_TK_STRING && list->kind != KAV_TK_MEMBER) return;
    if (!text_of(s, &t[parameters[0]], &text, &len) || !text_of(s, list, &words_text, &words_len)) return;
    uint32_t count;
    d->read += len + words_len;
    packed_word *words = split(words_text, words_len, &count);
    if (!words) {
        s->failed = true;
        return;
    }
    unpack(text, len, base->kind == KAV_TK_INTEGER ? base->u.integer : -1, words, count, &d->text);
    free(words);
}

/* The first tokens of six parameters from i on. Returns where they end, 0 when there are not so many. */
static uint32_t find_parameters(const kav_tokens *t, uint32_t i, uint32_t parameters[PARAMETERS])
{
    for (int j = 0; j < PARAMETERS; j++) {
        if (i >= t->count) return 0;
        parameters[j] = i++;
        uint8_t stop = j + 1 < PARAMETERS ? KAV_TK_COMMA : KAV_TK_CLOSE;
        while (i < t->count && t->at[i].kind != stop) i++;
        i++;
    }
    return i;
}

/* Where the function ends that begins before i; 0: nowhere. */
static uint32_t function_end(const kav_tokens *t, uint32_t i)
{
    for (uint32_t nesting = 1; i < t->count; i++) {
        if (t->at[i].kind == KAV_TK_FUNCTION) nesting++;
        else if (t->at[i].kind == KAV_TK_FUNCTION_END && --nesting == 0) return i;
    }
    return 0;
}

static void decode_packer(kav_script *s, uint32_t start, const kav_token *name, decoded *d)
{
    const kav_tokens *t = &s->tokens;
    uint32_t i = function_end(t, start), parameters[PARAMETERS], first = KAV_SCRIPT_NONE, last = 0, next;
    if (i == 0) return;
    for (; i + 2 < t->count; i = name ? i + 1 : t->count) {
        if (name &&
            (t->at[i].kind != KAV_TK_NAME || t->at[i].u.symbol != name->u.symbol || t->at[i + 1].kind != KAV_TK_OPEN))
            continue;
        while (i < t->count && t->at[i].kind != KAV_TK_OPEN) i++;
        next = find_parameters(t, i + 1, parameters);
        if (next == 0) break;
        if (first == KAV_SCRIPT_NONE) first = parameters[0];
        last = parameters[PARAMETERS - 1];
        unpack_call(s, parameters, d);
        i = next;
    }
    if (first == KAV_SCRIPT_NONE) return;
    d->begin = first;
    d->end = last + 1;
    bool object = d->end + 2 < t->count && t->at[d->end].kind == KAV_TK_BRACKET &&
                  t->at[d->end + 1].kind == KAV_TK_BRACKET_END && t->at[d->end + 2].kind == KAV_TK_CLOSE;
    if (object) d->end += 3;
    else if (d->end < t->count) d->end++;
}

/* "(p,a,c,k,e,d)" or "(p,a,c,k,e,r)" */
static bool has_packer_parameters(const kav_script *s, uint32_t i)
{
    static const char *const names[] = {"p", "a", "c", "k", "e"};
    const kav_tokens *t = &s->tokens;
    if (i + 12 >= t->count || t->at[i].kind != KAV_TK_OPEN) return false;
    for (int k = 0; k < 5; k++)
        if (!is_name(s, &t->at[i + 1 + 2 * k], names[k]) || t->at[i + 2 + 2 * k].kind != KAV_TK_COMMA) return false;
    return (is_name(s, &t->at[i + 11], "d") || is_name(s, &t->at[i + 11], "r")) && t->at[i + 12].kind == KAV_TK_CLOSE;
}

/* ---- one decoder after the other ----------------------------------------------------------------------------------
 */

/* Twice escaped, each byte raised by the last digit in between. */
static void decode_df(kav_script *s, uint32_t start, decoded *d)
{
    const kav_token *token = &s->tokens.at[start];
    if (token->kind != KAV_TK_STRING || token->u.text.len == 0) return;
    const uint8_t *text = s->text.data + token->u.text.at;
    size_t len = token->u.text.len - 1;
    uint8_t raised = (uint8_t)(text[len] - '0');
    kav_text_out once = {.limit = KAV_SCRIPT_TEXT};
    unescape(text, len, &once);
    for (size_t i = 0; i < once.len; i++) once.data[i] = (uint8_t)(once.data[i] - raised);
    const uint8_t *nul = once.len ? memchr(once.data, 0, once.len) : NULL;
    unescape(once.data, nul ? (size_t)(nul - once.data) : once.len, &d->text);
    s->failed |= once.failed;
    kav_text_out_free(&once);
    d->begin = start - 2;
    d->end = start + 2;
    d->append = true;
}

static void decode_eval(kav_script *s, uint32_t start, decoded *d)
{
    const kav_tokens *t = &s->tokens;
    const kav_token *token = &t->at[start];
    if (start + 1 >= t->count || t->at[start + 1].kind != KAV_TK_CLOSE) return;
    if (token->kind != KAV_TK_STRING && token->kind != KAV_TK_MEMBER) return;
    kav_text_write(&d->text, s->text.data + token->u.text.at, token->u.text.len);
    d->begin = start - 2;
    d->end = start + 2;
}

static void replace(kav_script *s, const decoded *d, const kav_tokens *with)
{
    kav_tokens *t = &s->tokens;
    uint32_t count = d->append ? 0 : with->count;
    bool fits = d->begin < t->count && d->end <= t->count;
    if (fits) {
        kav_tokens rest = {t->at + d->end, t->count - d->end, 0};
        kav_token *kept = malloc((rest.count + 1) * sizeof *kept);
        if (!kept) {
            s->failed = true;
            return;
        }
        memcpy(kept, rest.at, rest.count * sizeof *kept);
        uint32_t kept_count = rest.count;
        t->count = d->begin;
        for (uint32_t i = 0; i < count; i++) kav_tokens_add(s, &with->at[i]);
        for (uint32_t i = 0; i < kept_count; i++) kav_tokens_add(s, &kept[i]);
        free(kept);
    }
    for (uint32_t i = 0; d->append && i < with->count; i++) kav_tokens_add(s, &with->at[i]);
}

static void use(kav_script *s, decoded *d)
{
    kav_tokens outer = s->tokens;
    if (d->end < outer.count && outer.at[d->end].kind == KAV_TK_SEMICOLON) d->end++;
    s->tokens = (kav_tokens){NULL, 0, 0};
    kav_script_parse(s, d->text.data, d->text.len);
    kav_tokens inner = s->tokens;
    s->tokens = outer;
    replace(s, d, &inner);
    free(inner.at);
}

void kav_script_decode(kav_script *s)
{
    decode_unescape(s);
    unsigned used = 0;
    uint64_t work = 0;
    for (uint32_t i = 0; i < s->tokens.count && used < DECODED_MAX && work < WORK_MAX && !s->failed; i++) {
        const kav_tokens *t = &s->tokens;
        decoded d = {.text = {.limit = KAV_SCRIPT_TEXT}};
        bool function = t->at[i].kind == KAV_TK_FUNCTION || t->at[i].kind == KAV_TK_FUNCTION_END;
        if (function && i + 13 < t->count) { /* what calls itself behind a function's end is not looked at, either */
            kav_token name = t->at[++i];
            if (name.kind == KAV_TK_NAME) i++;
            if (has_packer_parameters(s, i)) {
                decode_packer(s, i, name.kind == KAV_TK_NAME ? &name : NULL, &d);
                work += s->tokens.count + d.read;
                used++;
            }
        } else if (is_call(s, i, "dF")) {
            decode_df(s, i + 2, &d);
        } else if (is_call(s, i, "eval")) {
            decode_eval(s, i + 2, &d);
        }
        if (d.end > d.begin) {
            work += s->tokens.count + d.text.len;
            used++;
            use(s, &d);
        }
        s->failed |= d.text.failed;
        kav_text_out_free(&d.text);
        if (i < s->tokens.count) kav_script_follow(s, &s->tokens.at[i]);
    }
}
