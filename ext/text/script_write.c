#include "script_parts.h"

#include <stdio.h>
#include <string.h>

/* ClamAV writes its file in blocks, and looks for the end tag only in the last one. */
enum { BLOCK = 65536 };

typedef struct {
    kav_script *s;
    uint32_t fill;   /* of the block in hand */
    uint8_t last;    /* the last byte of the last token; letters and digits may stand for any of them */
    uint8_t tail[9]; /* the last bytes */
} writer;

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static void put(writer *w, uint8_t c)
{
    memmove(w->tail, w->tail + 1, sizeof w->tail - 1);
    w->tail[sizeof w->tail - 1] = c;
    kav_text_put(w->s->out, c);
}

/* One byte of our own. */
static void put_mark(writer *w, uint8_t c)
{
    if (w->fill >= BLOCK) w->fill = 0;
    w->fill++;
    put(w, c);
}

/* Bytes of the script: small letters, any white space a blank. */
static void put_text(writer *w, const void *text, size_t len)
{
    const uint8_t *p = text;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = p[i];
        if (c >= 'A' && c <= 'Z') c |= 0x20;
        if (c >= '\t' && c <= '\r') c = ' ';
        if (w->fill >= BLOCK) w->fill = 0;
        put(w, c);
        w->fill++;
    }
    if (len && w->fill >= BLOCK) w->fill = 0;
}

static void begin(writer *w, uint8_t first)
{
    if (is_word(w->last) && is_word(first)) put_mark(w, ' ');
}

static void write_text_token(writer *w, const void *text, size_t len)
{
    const uint8_t *p = text;
    begin(w, len ? p[0] : 0);
    put_text(w, text, len);
    w->last = len ? p[len - 1] : 0;
}

static void write_string(writer *w, const kav_token *token)
{
    put_mark(w, '"');
    put_text(w, w->s->text.data + token->u.text.at, token->u.text.len);
    put_mark(w, '"');
    w->last = '"';
}

static void write_number(writer *w, const kav_token *token)
{
    char number[32];
    int n = token->kind == KAV_TK_INTEGER ? snprintf(number, sizeof number, "%d", token->u.integer)
                                          : snprintf(number, sizeof number, "%g", token->u.real);
    begin(w, '0');
    put_text(w, number, (size_t)n);
    w->last = '0';
}

static void write_name(writer *w, const kav_token *token)
{
    const kav_script *s = w->s;
    const kav_symbol *symbol = &s->symbols[token->u.symbol];
    uint32_t id = kav_script_id(s, s->current, token->u.symbol);
    char number[16];
    begin(w, 'a');
    if (id == KAV_SCRIPT_NONE) put_text(w, s->text.data + symbol->at, symbol->len);
    else put_text(w, number, (size_t)snprintf(number, sizeof number, "n%03u", id));
    w->last = 'a';
}

static void write_token(writer *w, const kav_token *token)
{
    const kav_script *s = w->s;
    switch (token->kind) {
    case KAV_TK_STRING: write_string(w, token); break;
    case KAV_TK_INTEGER:
    case KAV_TK_FLOAT: write_number(w, token); break;
    case KAV_TK_NAME: write_name(w, token); break;
    case KAV_TK_MEMBER: write_text_token(w, s->text.data + token->u.text.at, token->u.text.len); break;
    default: write_text_token(w, token->word, token->word_len); break;
    }
}

void kav_script_write(kav_script *s)
{
    static const char open[] = "<script>", close[] = "</script>";
    writer w = {.s = s};
    if (s->written) put_mark(&w, '\n');
    s->written = true;
    put_text(&w, open, sizeof open - 1);
    s->current = 0;
    for (uint32_t i = 0; i < s->tokens.count; i++)
        if (kav_script_follow(s, &s->tokens.at[i])) write_token(&w, &s->tokens.at[i]);
    if (w.fill < 9 || memcmp(w.tail, close, 9) != 0) put_text(&w, close, 9);
}
