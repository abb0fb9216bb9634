#include "markup_state.h"

#include <string.h>
#include <strings.h>

static bool tag_is(const kav_markup *m, const char *name)
{
    return m->tag.len == strlen(name) && memcmp(m->tag.text, name, m->tag.len) == 0;
}

/* An attribute as it was kept; the next one stands behind its value. */
typedef struct {
    const char *name, *value; /* value NULL: none */
    size_t name_len, value_len;
} argument;

static bool next_argument(const kav_markup *m, size_t *at, argument *a)
{
    const uint8_t *p = m->args.data + *at, *end = m->args.data + m->args.len;
    if (*at >= m->args.len) return false;
    a->name = (const char *)p;
    while (*p > 1) p++;
    a->name_len = (size_t)(p - (const uint8_t *)a->name);
    a->value = *p++ == 0 ? (const char *)p : NULL;
    const uint8_t *nul = memchr(p, 0, (size_t)(end - p));
    a->value_len = (size_t)(nul - p);
    *at = (size_t)(nul + 1 - m->args.data);
    return true;
}

/* The value of the first attribute of that name. */
static const char *value_of(const kav_markup *m, const char *name)
{
    argument a;
    for (size_t at = 0; next_argument(m, &at, &a);)
        if (a.name_len == strlen(name) && memcmp(a.name, name, a.name_len) == 0) return a.value;
    return NULL;
}

/* The language that an encoded script has behind its code; NULL: it is not encoded. */
static const char *encoded_language(const kav_markup *m)
{
    const char *language = value_of(m, "language");
    if (!language) return NULL;
    if (strcasecmp(language, "jscript.encode") == 0) return "javascript";
    return strcasecmp(language, "vbscript.encode") == 0 ? "vbscript" : NULL;
}

static void write_text(kav_markup *m, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) kav_markup_page(m, kav_lower((uint8_t)text[i]));
}

/* The tag of an encoded script once more, as if it were not encoded. */
static void write_tag(kav_markup *m, const char *language)
{
    argument a;
    bool first = true;
    write_text(m, "<script", 7);
    for (size_t at = 0; next_argument(m, &at, &a);) {
        if (first && a.name_len == 8 && memcmp(a.name, "language", 8) == 0) {
            first = false;
            a.value = language;
            a.value_len = strlen(language);
        }
        write_text(m, " ", 1);
        write_text(m, a.name, a.name_len);
        if (!a.value) continue;
        write_text(m, "=\"", 2);
        write_text(m, a.value, a.value_len);
        write_text(m, "\"", 1);
    }
    write_text(m, ">", 1);
}

void kav_markup_script(kav_markup *m)
{
    uint8_t *from = m->script ? m->script : m->steps.text;
    if (m->job->script && m->p > from) m->job->script(m->job->context, from, (size_t)(m->p - from));
    m->script = NULL;
}

static void end_tag(kav_markup *m)
{
    if (tag_is(m, "/script")) {
        m->inside = KAV_MI_PAGE;
        if (!m->in_script) return;
        kav_markup_script(m);
        if (m->job->script_end) m->job->script_end(m->job->context);
        m->in_script = false;
    } else if (tag_is(m, "/style") && m->inside == KAV_MI_STYLE) {
        m->inside = KAV_MI_PAGE;
    }
}

static void begin_script(kav_markup *m)
{
    const char *language = encoded_language(m);
    if (language) {
        m->then = KAV_MS_ENC;
        write_tag(m, language);
    }
    m->inside = KAV_MI_SCRIPT;
    if (m->in_script) return;
    m->in_script = true;
    m->script = m->p;
}

/* The place that a link or an image names is a word. */
static void write_place(kav_markup *m, const char *name)
{
    const char *place = value_of(m, name);
    if (!place || !*place) return;
    while (*place) kav_markup_words(m, (uint8_t)*place++);
    kav_markup_words(m, ' ');
    m->blank = true;
}

void kav_markup_tag_end(kav_markup *m)
{
    kav_markup_go(m, KAV_MS_SKIP, KAV_MS_TEXT);
    if (m->tag.len && m->tag.text[0] == '/') {
        end_tag(m);
    } else if (tag_is(m, "script")) {
        begin_script(m);
    } else if (tag_is(m, "style")) {
        m->inside = KAV_MI_STYLE;
    } else if (tag_is(m, "%@")) {
        if (encoded_language(m)) {
            m->later = m->then;
            m->looking = false;
            kav_markup_go(m, KAV_MS_LOOK, m->state);
        }
    } else if (tag_is(m, "a")) {
        write_place(m, "href");
    } else if (tag_is(m, "img")) {
        write_place(m, "src");
    }
    m->args.len = 0;
}

/* The mark that begins an encoded script becomes the beginning of a comment, for whoever reads the script. */
static const char MARK[] = "#@~^";

void kav_markup_look(kav_markup *m)
{
    m->looking = true;
    m->found = (uint8_t *)strstr((char *)m->p, MARK);
    if (m->found) {
        memcpy(m->found, "//", 2);
        m->found += 4;
    }
    kav_markup_go(m, m->then, m->later);
}

void kav_markup_enc(kav_markup *m)
{
    if (strncmp((char *)m->p, MARK, 4) == 0) {
        memcpy(m->p, "//", 2);
        m->p += 4;
        kav_markup_go(m, KAV_MS_ENC_LENGTH, KAV_MS_BROKEN);
    } else {
        kav_markup_page(m, kav_lower(*m->p++));
    }
}

void kav_markup_enc_length(kav_markup *m)
{
    if (strlen((char *)m->p) < 8) {
        kav_markup_go(m, KAV_MS_TEXT, KAV_MS_BROKEN);
        return;
    }
    kav_screnc_start(&m->screnc, m->p);
    m->encoded = true;
    m->p[7] = '\n'; /* ends the comment */
    m->p += 8;
    kav_markup_go(m, KAV_MS_ENC_TEXT, KAV_MS_BROKEN);
}

void kav_markup_enc_text(kav_markup *m)
{
    kav_screnc_decode(&m->screnc, m->p);
    if (m->screnc.left == 0) m->encoded = false;
    kav_markup_go(m, KAV_MS_TEXT, KAV_MS_BROKEN);
}
