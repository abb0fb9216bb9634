/* The parts of the markup machine. Not for other files: markup.h is the door. */
#ifndef KAV_MARKUP_STATE_H
#define KAV_MARKUP_STATE_H

#include "markup.h"
#include "pagesteps.h"
#include "screnc.h"

#define KAV_MARKUP_WORD 1024         /* of the name of a tag or an attribute, or of a value, this much is kept */
#define KAV_MARKUP_ARGS (256u << 10) /* of all attributes of one tag, this much is kept */

enum kav_markup_state {
    KAV_MS_BROKEN,
    KAV_MS_TEXT,
    KAV_MS_LETTER, /* inside a character of several bytes */
    KAV_MS_COMMENT,
    KAV_MS_SKIP,  /* white space that means nothing */
    KAV_MS_TRIM,  /* white space that means one blank */
    KAV_MS_TAG,   /* inside a tag's name */
    KAV_MS_ARG,   /* inside an attribute's name */
    KAV_MS_EQUAL, /* behind it */
    KAV_MS_VALUE,
    KAV_MS_TAG_END, /* the tag is complete */
    KAV_MS_REF,     /* behind '&' */
    KAV_MS_ENTITY,
    KAV_MS_NUMBER,
    KAV_MS_LOOK, /* an encoded script is to come, somewhere */
    KAV_MS_ENC,  /* an encoded script is to come here */
    KAV_MS_ENC_LENGTH,
    KAV_MS_ENC_TEXT,
    KAV_MS_DATA_TYPE,
    KAV_MS_DATA_INIT,
    KAV_MS_DATA,
    KAV_MS_DATA_HEX, /* behind '%' */
    KAV_MS_DATA_BYTE,
    KAV_MS_DATA_END
};

enum kav_markup_quote { KAV_MQ_NONE, KAV_MQ_SINGLE, KAV_MQ_DOUBLE };
enum kav_markup_inside { KAV_MI_PAGE, KAV_MI_SCRIPT, KAV_MI_STYLE };

typedef struct {
    size_t len;
    uint8_t text[KAV_MARKUP_WORD];
} kav_markup_word;

typedef struct {
    kav_markup_job *job;
    kav_page_steps steps;
    uint8_t *p; /* the byte in hand, in the step's text */
    enum kav_markup_state state, then;
    enum kav_markup_inside inside;
    bool blank;                    /* words: the last byte was a blank */
    bool binary;                   /* line ends are data */
    uint32_t letter, value_letter; /* bytes of a character so far */

    kav_markup_word tag, arg, value, entity;
    kav_text_out args; /* name NUL value NUL of each attribute; 1 instead of the first NUL: no value */
    enum kav_markup_quote quote;
    bool escape;
    int64_t number; /* of a reference, or of a percent sign */
    bool hex;
    unsigned digits;

    uint8_t *script; /* where the script in this step begins; NULL: with the step */
    bool in_script;
    bool in_data;
    kav_screnc screnc;
    bool encoded; /* the next step goes on with an encoded script */
    bool looking;
    uint8_t *found;              /* KAV_MS_LOOK: where it begins */
    enum kav_markup_state later; /* what then was before the look-out */
} kav_markup;

static inline uint8_t kav_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static inline void kav_markup_go(kav_markup *m, enum kav_markup_state state, enum kav_markup_state then)
{
    m->state = state;
    m->then = then;
}

static inline void kav_markup_page(kav_markup *m, uint8_t c)
{
    if (m->job->page) kav_text_put(m->job->page, c);
}

static inline void kav_markup_words(kav_markup *m, uint8_t c)
{
    if (m->job->words) kav_text_put(m->job->words, c);
}

/* A blank in the words, unless there is one. */
static inline void kav_markup_gap(kav_markup *m)
{
    if (m->blank) return;
    kav_markup_words(m, ' ');
    m->blank = true;
}

static inline void kav_markup_keep(kav_markup_word *word, uint8_t c)
{
    if (word->len < sizeof word->text) word->text[word->len++] = c;
}

/* A full stop of another script, or bytes that stand for one in front of a letter: what phishers write in names. */
bool kav_letter_is_stop(uint32_t letter, uint8_t next);

/* markup_ref.c: one step in KAV_MS_REF, KAV_MS_ENTITY, KAV_MS_NUMBER. */
void kav_markup_ref(kav_markup *m);
void kav_markup_entity(kav_markup *m);
void kav_markup_number(kav_markup *m);
void kav_markup_ref_end(kav_markup *m); /* at the end of the page */

/* markup_arg.c: attributes */
void kav_markup_arg(kav_markup *m);
void kav_markup_equal(kav_markup *m);
void kav_markup_value(kav_markup *m);

/* markup_data.c: RFC 2397 */
void kav_markup_data_type(kav_markup *m);
void kav_markup_data_init(kav_markup *m);
void kav_markup_data(kav_markup *m);
void kav_markup_data_hex(kav_markup *m);
void kav_markup_data_byte(kav_markup *m);
void kav_markup_data_end(kav_markup *m);

/* markup_tag.c: what a complete tag means, and encoded scripts */
void kav_markup_tag_end(kav_markup *m);
void kav_markup_look(kav_markup *m);
void kav_markup_enc(kav_markup *m);
void kav_markup_enc_length(kav_markup *m);
void kav_markup_enc_text(kav_markup *m);

/* Hand on the script's text up to the byte in hand. */
void kav_markup_script(kav_markup *m);

#endif
