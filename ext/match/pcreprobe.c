#define _GNU_SOURCE /* memrchr */
#include "pcreprobe.h"
#include "expression.h"
#include "regexp.h"

#include <string.h>

static const char malformed[] = "regular expression: unreadable";

/* The first ':' that stands between no two slashes; a slash with a backslash before it is part of the expression. */
static const char *find_colon(kav_text t)
{
    bool within = false;
    for (size_t i = 0; i < t.length; i++) {
        if (t.text[i] == ':' && !within) return t.text + i;
        if (t.text[i] == '/' && i > 0 && t.text[i - 1] != '\\') within = !within;
    }
    return NULL;
}

static const char *parse_flags(kav_text t, kav_pcre *out)
{
    static const char letters[] = "ismxAEU", own[] = "gre";
    for (size_t i = 0; i < t.length; i++) {
        const char *option = memchr(letters, t.text[i], sizeof letters - 1);
        const char *flag = memchr(own, t.text[i], sizeof own - 1);
        if (option) out->options |= 1u << (option - letters);
        else if (flag) out->flags |= (uint8_t)(1u << (flag - own));
        else return "regular expression: unknown flag";
    }
    return NULL;
}

static const char *parse_place(kav_text t, kav_pcre *out)
{
    kav_pattern p;
    const char *why = kav_place_parse(t, &p);
    if (why) return why;
    if (p.place == KAV_AT_MACRO) return malformed;
    out->place = p.place;
    out->offset = p.offset;
    out->shift = p.shift;
    out->section = p.section;
    return NULL;
}

static const char *append(kav_buffer *out, kav_pcre head, kav_text trigger, kav_text expression, uint32_t own)
{
    size_t at = kav_buffer_add(out, &head, sizeof head), behind = out->length;
    uint32_t highest = 0;
    const char *why = kav_expression_parse(trigger.text, trigger.length, out, &highest);
    if (why) return why;
    if (highest >= own) return "regular expression: its trigger names no subsignature before it";
    head.code_count = (uint32_t)((out->length - behind) / sizeof(kav_code));
    head.text_length = (uint32_t)expression.length;
    kav_buffer_add(out, expression.text, expression.length);
    if (!kav_buffer_ok(out)) return "out of memory";
    memcpy(out->data + at, &head, sizeof head);
    return NULL;
}

const char *kav_pcre_parse(kav_text text, uint32_t own, kav_buffer *out)
{
    kav_pcre head = {0};
    const char *why = NULL, *colon = find_colon(text), *end = text.text + text.length;
    if (colon) {
        why = parse_place((kav_text){text.text, (size_t)(colon - text.text)}, &head);
        text = (kav_text){colon + 1, (size_t)(end - colon - 1)};
    }
    const char *first = memchr(text.text, '/', text.length), *last = memrchr(text.text, '/', text.length);
    if (why || first == last || first == text.text || last == first + 1) return why ? why : malformed;
    kav_text trigger = {text.text, (size_t)(first - text.text)};
    kav_text expression = {first + 1, (size_t)(last - first - 1)};
    why = parse_flags((kav_text){last + 1, (size_t)(end - last - 1)}, &head);
    if (why) return why;
    bool no_memory;
    kav_regexp *r = kav_regexp_new(expression.text, expression.length, head.options, &no_memory);
    if (!r) return no_memory ? "out of memory" : "regular expression: PCRE2 cannot compile it";
    kav_regexp_free(r);
    return append(out, head, trigger, expression, own);
}

bool kav_pcre_check(const kav_pcre *p, uint64_t length, uint32_t own)
{
    if (length < sizeof *p || p->code_count > (length - sizeof *p) / sizeof(kav_code) ||
        p->text_length > length - sizeof *p - p->code_count * sizeof(kav_code) || p->place > KAV_AT_VERSION ||
        p->options & ~(uint32_t)KAV_RX_KNOWN)
        return false;
    /* Patterns and numbers of subsignatures are the same here. */
    return kav_expression_check(kav_pcre_code(p), p->code_count, own, 0);
}

bool kav_pcre_where(const kav_pcre *p, uint64_t low, uint64_t shift, uint64_t size, kav_pcre_span *out)
{
    bool anywhere = p->place == KAV_AT_ANY || p->place == KAV_AT_VERSION; /* ClamAV has it so */
    if (anywhere) low = shift = 0;
    if (low >= size) return false;
    *out = (kav_pcre_span){low, size, UINT64_MAX, !anywhere && !shift && !(p->flags & KAV_PX_ROLLING)};
    if (!shift) return true;
    if (!(p->flags & KAV_PX_ENCOMPASS)) out->reach = shift;
    else if (shift < size - low) out->end = low + shift;
    return true;
}
