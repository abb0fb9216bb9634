#include "markup_state.h"

#include <string.h>

static bool tag_is(const kav_markup *m, const char *name)
{
    return m->tag.len == strlen(name) && memcmp(m->tag.text, name, m->tag.len) == 0;
}

/* Keep the attribute for whoever looks at the complete tag: few tags are looked at. */
static void add(kav_markup *m, bool with_value)
{
    if (!tag_is(m, "a") && !tag_is(m, "img") && !tag_is(m, "script") && !tag_is(m, "%@")) return;
    const uint8_t *value = m->value.text;
    const uint8_t *nul = memchr(value, 0, m->value.len);
    size_t len = nul ? (size_t)(nul - value) : m->value.len;
    if (len && *value == '"') { /* without its quotes; the last byte is taken for one */
        value++;
        len -= len > 1 ? 2 : 1;
    }
    size_t all = m->arg.len + len + 2;
    if (m->args.len + all > m->args.limit || memchr(m->arg.text, 1, m->arg.len)) return;
    if (!kav_text_out_reserve(&m->args, all)) return; /* all of it or nothing: it is read back */
    kav_text_write(&m->args, m->arg.text, m->arg.len);
    kav_text_put(&m->args, with_value ? 0 : 1);
    if (with_value) kav_text_write(&m->args, value, len);
    kav_text_put(&m->args, 0);
}

static void begin_value(kav_markup *m)
{
    kav_markup_page(m, '=');
    m->p++;
    m->escape = false;
    m->quote = KAV_MQ_NONE;
    m->value.len = 0;
    kav_markup_go(m, KAV_MS_SKIP, KAV_MS_VALUE);
}

void kav_markup_arg(kav_markup *m)
{
    uint8_t c = *m->p;
    if (c == '=') {
        begin_value(m);
    } else if (kav_is_space(c)) {
        m->p++;
        kav_markup_go(m, KAV_MS_SKIP, KAV_MS_EQUAL);
    } else if (c == '>') {
        kav_markup_page(m, '>');
        if (m->arg.len) add(m, false);
        m->p++;
        kav_markup_go(m, KAV_MS_TAG_END, KAV_MS_BROKEN);
    } else {
        if (m->arg.len == 0) kav_markup_page(m, ' ');
        kav_markup_page(m, kav_lower(c));
        kav_markup_keep(&m->arg, kav_lower(c));
        m->p++;
    }
}

void kav_markup_equal(kav_markup *m)
{
    if (*m->p == '=') {
        begin_value(m);
        return;
    }
    if (m->arg.len) add(m, false);
    m->arg.len = 0;
    kav_markup_go(m, KAV_MS_ARG, KAV_MS_BROKEN);
}

static void end_value(kav_markup *m)
{
    add(m, true);
    m->arg.len = 0;
    kav_markup_go(m, KAV_MS_SKIP, KAV_MS_ARG);
}

static void quote(kav_markup *m, enum kav_markup_quote kind)
{
    bool first = m->value.len == 0, last = !first && !m->escape && m->quote == kind;
    if (first) m->quote = kind;
    kav_markup_page(m, '"');
    kav_markup_keep(&m->value, '"');
    m->p++;
    if (last) end_value(m);
}

/* White space or '>'. One of them ends the value's protection by its quote: what follows is read as without. */
static void white(kav_markup *m)
{
    if (m->quote == KAV_MQ_NONE) {
        end_value(m);
        return;
    }
    kav_markup_page(m, *m->p);
    kav_markup_keep(&m->value, *m->p == '>' ? '>' : ' ');
    m->p++;
    m->quote = KAV_MQ_NONE;
    kav_markup_go(m, KAV_MS_SKIP, KAV_MS_VALUE);
}

static void put_letter(kav_markup *m, uint32_t letter)
{
    for (int shift = 16; shift >= 0; shift -= 8) {
        if (shift && !(letter >> shift)) continue;
        kav_markup_page(m, (uint8_t)(letter >> shift));
        kav_markup_keep(&m->value, (uint8_t)(letter >> shift));
    }
}

/* Any other byte. True: it belonged to a full stop and nothing else is to be done. */
static bool other(kav_markup *m)
{
    uint8_t c = *m->p;
    uint32_t letter = m->value_letter;
    if (letter && (c < 0x80 || letter >= 0x10000)) {
        m->value_letter = 0;
        if (kav_letter_is_stop(letter, c)) {
            kav_markup_page(m, '.');
            kav_markup_keep(&m->value, '.');
            if (letter == 0xa1) {
                m->p++;
                return true;
            }
        } else {
            put_letter(m, letter);
        }
    }
    if (c >= 0x80) {
        m->value_letter = m->value_letter << 8 | c;
    } else {
        kav_markup_page(m, kav_lower(c));
        kav_markup_keep(&m->value, c);
    }
    m->p++;
    return false;
}

/* "data:" or "\"data:" is all that was read of the value: the colon gives way to the quote. */
static bool begins_data(kav_markup *m)
{
    const kav_markup_word *v = &m->value;
    bool bare = v->len == 5 && memcmp(v->text, "data:", 5) == 0;
    if (!bare && !(v->len == 6 && memcmp(v->text, "\"data:", 6) == 0)) return false;
    if (m->job->page && m->job->page->len) m->job->page->len--;
    if (m->quote != KAV_MQ_NONE) kav_markup_page(m, '"');
    m->value.len = 0;
    kav_markup_go(m, KAV_MS_DATA_TYPE, KAV_MS_ARG);
    return true;
}

void kav_markup_value(kav_markup *m)
{
    uint8_t c = *m->p;
    if (begins_data(m)) {
        /* the byte in hand is the first of its type */
    } else if (c == '&') {
        m->p++;
        kav_markup_go(m, KAV_MS_REF, KAV_MS_VALUE);
    } else if (c == '\'') {
        quote(m, KAV_MQ_SINGLE);
    } else if (c == '"') {
        quote(m, KAV_MQ_DOUBLE);
    } else if (kav_is_space(c) || c == '>') {
        white(m);
    } else if (other(m)) {
        return;
    }
    m->escape = *m->p == '\\';
}
