#include "script_parts.h"

#include <stdlib.h>
#include <string.h>

bool kav_tokens_add(kav_script *s, const kav_token *token)
{
    kav_tokens *t = &s->tokens;
    if (t->count == t->room) {
        uint32_t room = t->room ? 2 * t->room : 256;
        if (room > 4 * KAV_SCRIPT_TOKENS) return false; /* more than any page has */
        kav_token *at = realloc(t->at, room * sizeof *at);
        if (!at) return !(s->failed = true);
        t->at = at;
        t->room = room;
    }
    t->at[t->count++] = *token;
    return true;
}

bool kav_script_scope(kav_script *s)
{
    if (s->scope_count == s->scope_room) {
        uint32_t room = s->scope_room ? 2 * s->scope_room : 16;
        kav_scope *scopes = realloc(s->scopes, room * sizeof *scopes);
        if (!scopes) return !(s->failed = true);
        s->scopes = scopes;
        s->scope_room = room;
    }
    uint32_t parent = s->scope_count ? s->current : KAV_SCRIPT_NONE;
    s->scopes[s->scope_count] = (kav_scope){.parent = parent};
    s->current = s->scope_count++;
    return true;
}

bool kav_script_follow(kav_script *s, const kav_token *token)
{
    if (token->kind == KAV_TK_FUNCTION) s->current = token->u.scope;
    if (token->kind != KAV_TK_FUNCTION_END) return true;
    if (s->scopes[s->current].parent != KAV_SCRIPT_NONE) s->current = s->scopes[s->current].parent;
    return false;
}

static void take_name(kav_script *s, kav_token *token)
{
    kav_scope *scope = &s->scopes[s->current];
    if (scope->last == KAV_TK_DOT) {
        token->kind = KAV_TK_MEMBER;
        token->u.text.at = s->begun;
        token->u.text.len = (uint32_t)(s->text.len - s->begun);
        return;
    }
    token->u.symbol = kav_script_intern(s, s->begun);
    if (token->u.symbol == KAV_SCRIPT_NONE) {
        s->failed = true;
        *token = (kav_token){.kind = KAV_TK_WORD};
        return;
    }
    if (scope->state == KAV_SC_VAR || scope->state == KAV_SC_DECLARE) {
        kav_script_declare(s, token->u.symbol);
        scope->state = KAV_SC_VALUE;
        scope->brackets = 0;
    } else if (scope->state == KAV_SC_NAME) {
        kav_script_declare(s, token->u.symbol);
        scope->state = KAV_SC_PARAMS;
    }
}

/* A brace closes: perhaps a function. Its end is marked behind the brace. */
static void take_brace_end(kav_script *s, kav_token *token)
{
    kav_scope *scope = &s->scopes[s->current];
    if (scope->blocks) scope->blocks--;
    if (scope->blocks || scope->parent == KAV_SCRIPT_NONE) return;
    kav_tokens_add(s, token);
    token->kind = KAV_TK_FUNCTION_END;
    s->current = scope->parent;
}

/* "a" + "b" is one string: the text of both stands together. True: the token is used up. */
static bool joins(kav_script *s, const kav_token *token)
{
    kav_tokens *t = &s->tokens;
    if (t->count < 2 || t->at[t->count - 1].kind != KAV_TK_PLUS) return false;
    kav_token *before = &t->at[t->count - 2];
    if (before->kind != KAV_TK_STRING || before->u.text.at + before->u.text.len != token->u.text.at) return false;
    before->u.text.len += token->u.text.len;
    t->count--;
    return true;
}

/* What a mark does to the scope in hand. */
static void take_mark(kav_script *s, uint8_t kind)
{
    kav_scope *scope = &s->scopes[s->current];
    bool naming = scope->state == KAV_SC_NAME || scope->state == KAV_SC_PARAMS;
    switch (kind) {
    case KAV_TK_VAR: scope->state = KAV_SC_VAR; break;
    case KAV_TK_OPEN:
        if (naming) scope->state = KAV_SC_DECLARE;
        break;
    case KAV_TK_CLOSE:
        if (scope->state == KAV_SC_PARAMS) scope->state = KAV_SC_BASE;
        break;
    case KAV_TK_BRACE:
        if (naming || scope->state == KAV_SC_DECLARE) scope->state = KAV_SC_BASE;
        scope->blocks++;
        break;
    case KAV_TK_BRACKET: scope->brackets++; break;
    case KAV_TK_BRACKET_END: scope->brackets -= scope->brackets > 0; break;
    case KAV_TK_COMMA:
        if (scope->state == KAV_SC_VALUE && !scope->brackets && !scope->blocks) scope->state = KAV_SC_VAR;
        break;
    case KAV_TK_SEMICOLON:
        if (!scope->brackets && !scope->blocks) scope->state = KAV_SC_BASE;
        break;
    default: break;
    }
}

static void take(kav_script *s, kav_token *token)
{
    uint8_t kind = token->kind;
    if (kind == KAV_TK_STRING && joins(s, token)) return;
    if (kind == KAV_TK_NAME) {
        take_name(s, token);
    } else if (kind == KAV_TK_FUNCTION) {
        if (!kav_script_scope(s)) return;
        s->scopes[s->current].state = KAV_SC_NAME;
        token->u.scope = s->current;
    } else if (kind == KAV_TK_BRACE_END) {
        take_brace_end(s, token);
    } else {
        take_mark(s, kind);
    }
    kav_tokens_add(s, token);
    s->scopes[s->current].last = kind;
}

void kav_script_parse(kav_script *s, const uint8_t *text, size_t len)
{
    kav_token token;
    s->in = text;
    s->len = len;
    s->pos = 0;
    for (;;) {
        memset(&token, 0, sizeof token);
        if (s->failed || s->tokens.count > 2 * KAV_SCRIPT_TOKENS || !kav_script_lex(s, &token)) return;
        take(s, &token);
    }
}
