#include "script_parts.h"

#include <stdlib.h>
#include <string.h>

kav_script *kav_script_new(kav_text_out *out)
{
    kav_script *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->out = out;
    s->text.limit = 2 * KAV_SCRIPT_TEXT; /* what decoding makes has room as well */
    if (!kav_text_out_grow(&s->text) || !kav_script_scope(s)) {
        kav_script_free(s);
        return NULL;
    }
    return s;
}

void kav_script_free(kav_script *s)
{
    if (!s) return;
    kav_text_out_free(&s->text);
    free(s->tokens.at);
    free(s->scopes);
    free(s->symbols);
    free(s->symbol_slots);
    free(s->declared);
    free(s);
}

void kav_script_feed(kav_script *s, const uint8_t *text, size_t len)
{
    kav_script_parse(s, text, len);
    if (s->tokens.count > KAV_SCRIPT_TOKENS || s->text.len > KAV_SCRIPT_TEXT) kav_script_end(s);
}

static void close_open_ends(kav_script *s)
{
    uint64_t open = 0;
    if (s->state == KAV_LX_DOUBLE) kav_script_parse(s, (const uint8_t *)"\"", 1);
    else if (s->state == KAV_LX_SINGLE) kav_script_parse(s, (const uint8_t *)"'", 1);
    for (uint32_t i = 0; i < s->tokens.count; i++) {
        if (s->tokens.at[i].kind == KAV_TK_OPEN) open++;
        else if (s->tokens.at[i].kind == KAV_TK_CLOSE && open) open--;
    }
    const kav_token close = {.kind = KAV_TK_CLOSE, .word_len = 1, .word = ")"};
    while (open-- && kav_tokens_add(s, &close)) continue;
}

void kav_script_end(kav_script *s)
{
    close_open_ends(s);
    kav_script_decode(s);
    kav_script_write(s);
    kav_script_forget(s);
    s->state = KAV_LX_BEGIN;
    s->text.len = 0;
    s->tokens.count = 0;
    s->scope_count = 0;
    s->begun = 0;
    kav_script_scope(s); /* there is room for one */
}

bool kav_script_failed(const kav_script *s)
{
    return s->failed || s->text.failed;
}
