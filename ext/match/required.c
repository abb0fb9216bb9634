#include "required.h"
#include "find.h"

#include <string.h>

typedef struct {
    const char *at, *end;
    kav_required run, *best;
    uint32_t depth; /* of parentheses */
} walk;

static void close_run(walk *w)
{
    if (w->run.length > w->best->length) *w->best = w->run;
    w->run.length = 0;
}

static bool is_among(char c, const char *chars)
{
    return c && strchr(chars, c);
}

/* A quantifier stands here, as PCRE2 sees it or might see it. */
static bool is_repeated(const walk *w)
{
    return w->at < w->end && is_among(*w->at, "*+?{");
}

/* What may be left out, or be there again, ends the run before it; what follows is a run of its own. */
static void add(walk *w, char c)
{
    if (is_repeated(w)) {
        close_run(w);
        return;
    }
    if (w->depth > 0) return;
    if (w->run.length == KAV_REQUIRED_MAX) close_run(w);
    w->run.bytes[w->run.length++] = (uint8_t)c;
}

static bool is_letter(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Behind a backslash. False: this one is not understood. */
static bool escape(walk *w)
{
    if (w->at == w->end) return false;
    char c = *w->at++;
    if (!is_letter(c) && (unsigned char)c < 0x80) {
        add(w, c);
        return true;
    }
    close_run(w);
    return is_among(c, "sSdDwWbB");
}

/* Behind '[': over the whole class. False: it has parts that are not understood, or no end. */
static bool skip_class(walk *w)
{
    if (w->at < w->end && *w->at == '^') w->at++;
    if (w->at < w->end && *w->at == ']') w->at++;
    for (; w->at < w->end && *w->at != ']'; w->at++) {
        if (*w->at == '[') return false; /* perhaps "[:alpha:]" */
        if (*w->at != '\\') continue;
        if (++w->at == w->end || is_among(*w->at, "QE")) return false;
    }
    if (w->at == w->end) return false;
    w->at++;
    close_run(w);
    return true;
}

static bool step(walk *w)
{
    char c = *w->at++;
    switch (c) {
    case '\\': return escape(w);
    case '[': return skip_class(w);
    case '(':
        close_run(w);
        w->depth++;
        return w->at < w->end && *w->at != '?' && *w->at != '*';
    case ')': close_run(w); return w->depth-- > 0;
    case '|': return w->depth > 0;
    case '.':
    case '^':
    case '$':
    case '*':
    case '+':
    case '?': close_run(w); return true;
    case '{': /* a quantifier when it looks like one; anything else is not worth while */
        close_run(w);
        while (w->at < w->end && (*w->at == ',' || (*w->at >= '0' && *w->at <= '9'))) w->at++;
        return w->at < w->end && *w->at++ == '}';
    case '\0': return false;
    default: add(w, c); return true;
    }
}

void kav_required_find(const char *text, size_t length, kav_required *out)
{
    walk w = {.at = text, .end = text + length, .best = out};
    out->length = 0;
    while (w.at < w.end) {
        if (!step(&w)) {
            out->length = 0;
            return;
        }
    }
    close_run(&w);
    if (out->length < KAV_REQUIRED_MIN) out->length = 0;
}

bool kav_required_is_in(const kav_required *required, const uint8_t *subject, size_t length)
{
    return required->length == 0 || kav_find(subject, length, required->bytes, required->length) != NULL;
}
