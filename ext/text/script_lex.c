#include "script_parts.h"

#include <stdlib.h>
#include <string.h>

static const char *const KEYWORDS[] = {
    "abstract",   "boolean",      "break",    "byte",       "case",   "catch",     "char",     "class",  "const",
    "continue",   "debugger",     "default",  "delete",     "do",     "double",    "else",     "enum",   "export",
    "extends",    "false",        "final",    "finally",    "float",  "for",       "function", "goto",   "if",
    "implements", "import",       "in",       "instanceof", "int",    "interface", "long",     "native", "new",
    "null",       "package",      "private",  "protected",  "public", "return",    "short",    "static", "super",
    "switch",     "synchronized", "this",     "throw",      "throws", "transient", "true",     "try",    "typeof",
    "var",        "void",         "volatile", "while",      "with"};

/* Longest first. */
static const char *const OPERATORS[] = {">>>=", ">>>", ">>=", "<<=", "===", "!==", ">>", ">=", "==", "<=", "<<", "/=",
                                        "|=",   "*=",  "-=",  "+=",  "%=",  "||",  "&=", "--", "!=", "++", "^=", "&&"};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool in_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '$' || c == '_';
}

static bool word(kav_token *token, enum kav_token_kind kind, const void *text, size_t len)
{
    token->kind = (uint8_t)kind;
    token->word_len = (uint8_t)len;
    memcpy(token->word, text, len);
    return true;
}

/* ---- strings --------------------------------------------------------------------------------------------------- */

void kav_script_put_code(kav_text_out *out, uint16_t code)
{
    if (code < 0x80) {
        kav_text_put(out, code ? (uint8_t)code : 1); /* never a NUL */
    } else if (code < 0x800) {
        kav_text_put(out, (uint8_t)(0xc0 | code >> 6));
        kav_text_put(out, (uint8_t)(0x80 | (code & 0x3f)));
    } else {
        kav_text_put(out, (uint8_t)(0xe0 | code >> 12));
        kav_text_put(out, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
        kav_text_put(out, (uint8_t)(0x80 | (code & 0x3f)));
    }
}

/* Some hexadecimal digits; of one that is none all but the last count as 0, the last makes all bits 1. */
static unsigned hex_number(const uint8_t *p, int count)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        int digit = kav_hex_digit(p[i]);
        if (digit < 0 && i + 1 < count) digit = 0;
        number = digit < 0 ? -1 : number << 4 | digit;
    }
    return (unsigned)number;
}

/* What the escape behind a backslash at p[0] means. Returns how many bytes it takes, the backslash not counted. */
static size_t put_escape(kav_text_out *out, const uint8_t *p, size_t left)
{
    static const char names[] = "0btnvfr", codes[] = "\1\b\t\n\v\f\r";
    const char *name = p[1] ? strchr(names, p[1]) : NULL;
    if (name) {
        kav_text_put(out, (uint8_t)codes[name - names]);
    } else if (p[1] == 'x') {
        uint8_t c = left > 3 ? (uint8_t)hex_number(p + 2, 2) : '\\';
        kav_text_put(out, c ? c : 1);
        return 3;
    } else if (p[1] == 'u') {
        if (left > 5) kav_script_put_code(out, (uint16_t)hex_number(p + 2, 4));
        else kav_text_put(out, '\\');
        return left > 5 ? 5 : 1;
    } else {
        kav_text_put(out, p[1] ? p[1] : 1);
    }
    return 1;
}

static void put_unescaped(kav_text_out *out, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '\\' && i + 1 < len) i += put_escape(out, p + i, len - i);
        else kav_text_put(out, p[i] ? p[i] : 1);
    }
}

/* From the byte in hand to the quote. A quote behind a backslash is none, whatever stands before the backslash. */
static bool lex_string(kav_script *s, kav_token *token, uint8_t quote, enum kav_lex_state state)
{
    const uint8_t *start = s->in + s->pos, *stop = s->in + s->len, *end = start;
    while ((end = memchr(end, quote, (size_t)(stop - end))) && end > start && end[-1] == '\\') end++;
    put_unescaped(&s->text, start, (size_t)((end ? end : stop) - start));
    s->pos = end ? (size_t)(end + 1 - s->in) : s->len;
    s->state = end ? KAV_LX_BEGIN : state;
    if (!end) return false;
    token->kind = KAV_TK_STRING;
    token->u.text.at = s->begun;
    token->u.text.len = (uint32_t)(s->text.len - s->begun);
    return true;
}

/* ---- numbers, names, operators ---------------------------------------------------------------------------------- */

/* The text of the token in hand as a C string. */
static const char *token_text(kav_script *s)
{
    kav_text_put(&s->text, 0);
    if (s->text.len <= s->begun || s->text.data[s->text.len - 1] != 0) return "";
    s->text.len--;
    return (const char *)s->text.data + s->begun;
}

static bool end_number(kav_script *s, kav_token *token, bool real)
{
    const char *text = token_text(s);
    s->state = KAV_LX_BEGIN;
    token->kind = real ? KAV_TK_FLOAT : KAV_TK_INTEGER;
    if (real) token->u.real = strtod(text, NULL);
    else token->u.integer = (int32_t)strtol(text, NULL, 10);
    s->text.len = s->begun;
    return true;
}

static bool lex_number(kav_script *s, kav_token *token)
{
    bool real = false;
    while (s->pos < s->len) {
        uint8_t c = s->in[s->pos++];
        bool point = c == '.' && !real;
        if (is_digit(c) || point) {
            real |= point;
            kav_text_put(&s->text, c);
            continue;
        }
        if ((c == 'e' || c == 'E') && real) {
            kav_text_put(&s->text, c);
            if (s->pos < s->len) {
                c = s->in[s->pos++];
                if (c == '+' || c == '-' || is_digit(c)) {
                    kav_text_put(&s->text, c);
                    continue;
                }
            }
        }
        s->pos--;
        return end_number(s, token, real);
    }
    s->state = KAV_LX_NUMBER;
    return false;
}

static bool end_name(kav_script *s, kav_token *token)
{
    const char *text = (const char *)s->text.data + s->begun;
    size_t len = s->text.len - s->begun;
    s->state = KAV_LX_BEGIN;
    for (size_t i = 0; len <= KAV_SCRIPT_WORD && i < sizeof KEYWORDS / sizeof *KEYWORDS; i++) {
        if (strlen(KEYWORDS[i]) != len || memcmp(KEYWORDS[i], text, len) != 0) continue;
        enum kav_token_kind kind = KAV_TK_WORD;
        if (strcmp(KEYWORDS[i], "function") == 0) kind = KAV_TK_FUNCTION;
        else if (strcmp(KEYWORDS[i], "var") == 0) kind = KAV_TK_VAR;
        s->text.len = s->begun;
        return word(token, kind, KEYWORDS[i], len);
    }
    token->kind = KAV_TK_NAME; /* its text is that from begun on */
    return true;
}

/* A backslash is in a name only when an u follows, which is left out. Else it ends the name; at the end of the text
 * with the byte behind it. */
static bool lex_name(kav_script *s, kav_token *token)
{
    while (s->pos < s->len) {
        uint8_t c = s->in[s->pos++];
        if (in_name(c)) {
            kav_text_put(&s->text, c);
            continue;
        }
        if (c != '\\') {
            s->pos--;
        } else if (s->pos < s->len) {
            if (s->in[s->pos++] == 'u') {
                kav_text_put(&s->text, c);
                continue;
            }
            if (s->pos < s->len) s->pos--;
        }
        return end_name(s, token);
    }
    s->state = KAV_LX_NAME;
    return false;
}

static bool lex_operator(kav_script *s, kav_token *token)
{
    const uint8_t *p = s->in + s->pos;
    size_t left = s->len - s->pos, len = 1;
    for (size_t i = 0; i < sizeof OPERATORS / sizeof *OPERATORS && len == 1; i++) {
        size_t n = strlen(OPERATORS[i]);
        if (n <= left && memcmp(OPERATORS[i], p, n) == 0) len = n;
    }
    s->pos += len;
    return word(token, len == 1 && *p == '+' ? KAV_TK_PLUS : KAV_TK_WORD, p, len);
}

static bool lex_mark(kav_script *s, kav_token *token, uint8_t c)
{
    static const char marks[] = "(){}[],.;";
    static const uint8_t kinds[] = {KAV_TK_OPEN,        KAV_TK_CLOSE, KAV_TK_BRACE, KAV_TK_BRACE_END, KAV_TK_BRACKET,
                                    KAV_TK_BRACKET_END, KAV_TK_COMMA, KAV_TK_DOT,   KAV_TK_SEMICOLON};
    s->pos++;
    return word(token, kinds[strchr(marks, c) - marks], &c, 1);
}

/* ---- comments, and what a token begins with --------------------------------------------------------------------- */

static void skip_block_comment(kav_script *s)
{
    while (s->pos + 1 < s->len) {
        if (s->in[s->pos] == '*' && s->in[s->pos + 1] == '/') {
            s->state = KAV_LX_BEGIN;
            s->pos++;
            break;
        }
        s->pos++;
    }
    s->pos++;
}

/* It ends with a blank: in a page line ends have become blanks. */
static void skip_line_comment(kav_script *s)
{
    while (s->pos < s->len && s->in[s->pos] != '\n' && s->in[s->pos] != ' ') s->pos++;
    s->state = KAV_LX_BEGIN;
}

/* The token that begins with the byte in hand; false: none does, or it is not complete. */
static bool lex_begin(kav_script *s, kav_token *token)
{
    uint8_t c = s->in[s->pos], next = s->pos + 1 < s->len ? s->in[s->pos + 1] : 0;
    s->begun = (uint32_t)s->text.len;
    if (c == '/' && (next == '*' || next == '/')) {
        s->state = next == '*' ? KAV_LX_BLOCK_COMMENT : KAV_LX_LINE_COMMENT;
        s->pos += 2;
        return false;
    }
    if (c == '"' || c == '\'') {
        s->pos++;
        return lex_string(s, token, c, c == '"' ? KAV_LX_DOUBLE : KAV_LX_SINGLE);
    }
    if (is_digit(c)) return lex_number(s, token);
    if (in_name(c) || c == '\\') return lex_name(s, token);
    if (c && strchr("(){}[],.;", c)) return lex_mark(s, token, c);
    if (c && strchr("/!%&*+-:<=>?^|~", c)) return lex_operator(s, token);
    s->pos++; /* white space, and what is no script */
    return false;
}

bool kav_script_lex(kav_script *s, kav_token *token)
{
    bool found = false;
    while (!found && s->pos < s->len) {
        switch (s->state) {
        case KAV_LX_BEGIN: found = lex_begin(s, token); break;
        case KAV_LX_DOUBLE: found = lex_string(s, token, '"', KAV_LX_DOUBLE); break;
        case KAV_LX_SINGLE: found = lex_string(s, token, '\'', KAV_LX_SINGLE); break;
        case KAV_LX_NAME: found = lex_name(s, token); break;
        case KAV_LX_NUMBER: found = lex_number(s, token); break;
        case KAV_LX_BLOCK_COMMENT: skip_block_comment(s); break;
        case KAV_LX_LINE_COMMENT: skip_line_comment(s); break;
        }
    }
    return found;
}
