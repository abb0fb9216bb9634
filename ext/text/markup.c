#include "markup_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 16 };

bool kav_letter_is_stop(uint32_t letter, uint8_t next)
{
    if (letter == 0xe38082 || letter == 0xefbc8e || letter == 0xefb992) return true;
    return letter == 0xa1 && (next == 'C' || next == 'D' || next == 'O');
}

/* Some bytes of a character are together, and it ends here. The words get its middle byte twice and never its last: a
 * slip of ClamAV's that its signatures live with. */
static void letter(kav_markup *m)
{
    uint32_t whole = m->letter;
    if (*m->p >= 0x80 && whole < 0x10000) {
        m->letter = whole << 8 | *m->p++;
        return;
    }
    m->letter = 0;
    if (kav_letter_is_stop(whole, *m->p)) {
        kav_markup_page(m, '.');
        kav_markup_words(m, '.');
        if (whole == 0xa1) { /* and the letter behind it belongs to the stop */
            m->p++;
            return;
        }
    } else {
        uint8_t first = (uint8_t)(whole >> 16), second = (uint8_t)(whole >> 8);
        if (first) kav_markup_page(m, first);
        if (first) kav_markup_words(m, first);
        if (first || second) kav_markup_page(m, second);
        if (first || second) kav_markup_words(m, second);
        kav_markup_page(m, (uint8_t)whole);
        kav_markup_words(m, second);
    }
    kav_markup_go(m, m->then, KAV_MS_TEXT);
}

static void plain(kav_markup *m)
{
    uint8_t c = kav_lower(*m->p++);
    if (m->inside != KAV_MI_PAGE) {
        kav_markup_page(m, c == '\'' ? '"' : c);
        return;
    }
    kav_markup_page(m, c);
    if (c < ' ') {
        kav_markup_gap(m);
    } else {
        kav_markup_words(m, c);
        m->blank = false;
    }
}

/* A byte of prose that stands for itself. */
static bool is_prose(uint8_t c)
{
    return c > ' ' && c < 0x80 && c != '<' && c != '&';
}

#ifdef __SSE2__

static inline __m128i is(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

/* A block of prose, to both places: words with one blank between them, a word at its end. False: it is not that. */
static inline bool prose_block(const uint8_t *p, uint8_t *a, uint8_t *b)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)p), space = _mm_set1_epi8(' ');
    __m128i blank = _mm_or_si128(is(bytes, ' '), is(bytes, '\n'));
    __m128i other = _mm_or_si128(_mm_cmplt_epi8(bytes, space), _mm_or_si128(is(bytes, '<'), is(bytes, '&')));
    unsigned blanks = (unsigned)_mm_movemask_epi8(blank);
    if (_mm_movemask_epi8(_mm_andnot_si128(blank, other)) || blanks & (blanks << 1 | 1 | 1u << (BLOCK - 1)))
        return false;
    __m128i letter = _mm_sub_epi8(bytes, _mm_set1_epi8('A'));
    __m128i large = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
    __m128i form = _mm_or_si128(bytes, _mm_and_si128(_mm_or_si128(large, is(bytes, '\n')), space));
    form = _mm_andnot_si128(_mm_and_si128(is(bytes, '\n'), _mm_set1_epi8('\n')), form);
    _mm_storeu_si128((__m128i *)a, form);
    _mm_storeu_si128((__m128i *)b, form);
    return true;
}

#endif

/* Most of a page: words with one blank between them, without a state for each byte. */
static void prose(kav_markup *m)
{
    kav_text_out *page = m->job->page, *words = m->job->words;
    const uint8_t *end = m->steps.text + m->steps.len;
    uint8_t *p = m->p;
    if (!page || !words || !kav_text_out_reserve(page, KAV_PAGE_STEP) || !kav_text_out_reserve(words, KAV_PAGE_STEP))
        return;
    uint8_t *a = page->data + page->len, *b = words->data + words->len;
    bool blank = m->blank;
    for (;; p++) {
#ifdef __SSE2__
        while (end - p >= BLOCK && prose_block(p, a, b)) {
            p += BLOCK;
            a += BLOCK;
            b += BLOCK;
            blank = false;
        }
#endif
        if (is_prose(*p)) {
            *b++ = *a++ = kav_lower(*p);
            blank = false;
        } else if ((*p == ' ' || *p == '\n') && is_prose(p[1])) {
            *a++ = ' ';
            if (!blank) *b++ = ' ';
            blank = true;
        } else {
            break;
        }
    }
    page->len = (size_t)(a - page->data);
    words->len = (size_t)(b - words->data);
    m->blank = blank;
    m->p = p;
}

static void text(kav_markup *m)
{
    if (m->inside == KAV_MI_PAGE && is_prose(*m->p)) {
        prose(m);
        if (!*m->p || *m->p == '\r' || *m->p == '\n') return;
    }
    uint8_t c = *m->p;
    if (c == '<') {
        kav_markup_page(m, '<');
        if (m->inside == KAV_MI_PAGE) kav_markup_gap(m);
        m->tag.len = 0;
        m->p++;
        kav_markup_go(m, KAV_MS_SKIP, KAV_MS_TAG);
    } else if (kav_is_space(c)) {
        if (m->inside == KAV_MI_PAGE) kav_markup_gap(m);
        kav_markup_go(m, KAV_MS_TRIM, KAV_MS_TEXT);
    } else if (c == '&') {
        if (m->inside == KAV_MI_PAGE) kav_markup_gap(m);
        m->p++;
        kav_markup_go(m, KAV_MS_REF, KAV_MS_TEXT);
    } else if (c >= 0x80) {
        m->letter = c;
        m->p++;
        kav_markup_go(m, KAV_MS_LETTER, KAV_MS_TEXT);
    } else {
        plain(m);
    }
}

static void white(kav_markup *m)
{
    if (kav_is_space(*m->p)) {
        m->p++;
        return;
    }
    if (m->state == KAV_MS_TRIM && m->inside == KAV_MI_PAGE) kav_markup_page(m, ' ');
    kav_markup_go(m, m->then, KAV_MS_BROKEN);
}

static void tag(kav_markup *m)
{
    uint8_t c = *m->p;
    if (m->tag.len == 0 && c == '!') {
        if (m->inside != KAV_MI_PAGE) kav_markup_page(m, '!');
        else if (m->job->page && m->job->page->len) m->job->page->len--; /* of a comment not even the "<" */
        m->p++;
        kav_markup_go(m, KAV_MS_COMMENT, KAV_MS_BROKEN);
    } else if (c == '>') {
        kav_markup_page(m, '>');
        m->p++;
        kav_markup_go(m, KAV_MS_SKIP, KAV_MS_TAG_END);
    } else if (!kav_is_space(c)) {
        kav_markup_page(m, kav_lower(c));
        if (m->inside != KAV_MI_PAGE && m->tag.len == 0 && c != '/') m->state = KAV_MS_TEXT; /* "a < b" in a script */
        kav_markup_keep(&m->tag, kav_lower(c));
        m->p++;
    } else {
        m->arg.len = 0;
        kav_markup_go(m, KAV_MS_SKIP, m->inside == KAV_MI_PAGE ? KAV_MS_ARG : KAV_MS_TAG_END);
    }
}

static void comment(kav_markup *m)
{
    uint8_t c = *m->p++;
    if (m->inside != KAV_MI_PAGE && !kav_is_space(c)) kav_markup_page(m, c == '\'' ? '"' : kav_lower(c));
    if (c == '>') kav_markup_go(m, KAV_MS_SKIP, KAV_MS_TEXT);
}

/* One move of the machine; most take one byte, some only change the state. False: it stands still for good. */
static bool move(kav_markup *m)
{
    if (!m->binary) {
        if (*m->p == '\r') {
            m->p++;
            return true;
        }
        if (*m->p == '\n') *m->p = ' ';
    }
    switch (m->state) {
    case KAV_MS_TEXT: text(m); break;
    case KAV_MS_LETTER: letter(m); break;
    case KAV_MS_COMMENT: comment(m); break;
    case KAV_MS_SKIP:
    case KAV_MS_TRIM: white(m); break;
    case KAV_MS_TAG: tag(m); break;
    case KAV_MS_ARG: kav_markup_arg(m); break;
    case KAV_MS_EQUAL: kav_markup_equal(m); break;
    case KAV_MS_VALUE: kav_markup_value(m); break;
    case KAV_MS_TAG_END: kav_markup_tag_end(m); break;
    case KAV_MS_REF: kav_markup_ref(m); break;
    case KAV_MS_ENTITY: kav_markup_entity(m); break;
    case KAV_MS_NUMBER: kav_markup_number(m); break;
    case KAV_MS_LOOK: kav_markup_look(m); break;
    case KAV_MS_ENC: kav_markup_enc(m); break;
    case KAV_MS_ENC_LENGTH: kav_markup_enc_length(m); break;
    case KAV_MS_ENC_TEXT: kav_markup_enc_text(m); break;
    case KAV_MS_DATA_TYPE: kav_markup_data_type(m); break;
    case KAV_MS_DATA_INIT: kav_markup_data_init(m); break;
    case KAV_MS_DATA: kav_markup_data(m); break;
    case KAV_MS_DATA_HEX: kav_markup_data_hex(m); break;
    case KAV_MS_DATA_BYTE: kav_markup_data_byte(m); break;
    case KAV_MS_DATA_END: kav_markup_data_end(m); break;
    default: return false;
    }
    return true;
}

/* From the byte in hand to the end of the step. */
static bool step(kav_markup *m)
{
    while (kav_is_space(*m->p)) m->p++;
    while (*m->p)
        if (!move(m)) return false;
    if (m->in_script) kav_markup_script(m);
    return true;
}

/* Between two steps. */
static void resume(kav_markup *m)
{
    if (m->encoded) {
        kav_markup_go(m, KAV_MS_ENC_TEXT, KAV_MS_BROKEN);
    } else if (m->looking && !m->found && m->state != KAV_MS_LOOK) {
        m->later = m->then;
        kav_markup_go(m, KAV_MS_LOOK, m->state);
    }
    if (m->then == m->state) m->then = KAV_MS_BROKEN;
}

static void run(kav_markup *m)
{
    bool more = kav_page_steps_next(&m->steps);
    m->p = m->steps.text;
    while (more) {
        if (m->job->tick && m->job->tick(m->job->context) != 0) return;
        if (!step(m)) return;
        if (m->looking && m->found) { /* what stands before it is done */
            m->p = m->found;
            m->found = NULL;
            kav_markup_go(m, KAV_MS_ENC_LENGTH, KAV_MS_BROKEN);
            continue;
        }
        more = kav_page_steps_next(&m->steps);
        m->p = m->steps.text;
        resume(m);
    }
    kav_markup_ref_end(m);
}

int kav_markup_run(const kav_source *source, kav_markup_job *job)
{
    kav_markup *m = calloc(1, sizeof *m);
    if (!m) return -ENOMEM;
    m->job = job;
    m->state = KAV_MS_TEXT;
    m->args.limit = KAV_MARKUP_ARGS;
    int rc = kav_page_steps_start(&m->steps, source, job->utf16);
    if (rc == 0) {
        run(m);
        if (m->in_script && job->script_end) job->script_end(job->context);
        if (m->in_data && job->data_end) job->data_end(job->context);
    }
    if (m->args.failed) rc = -ENOMEM;
    kav_page_steps_free(&m->steps);
    kav_text_out_free(&m->args);
    free(m);
    return rc;
}
