/* The parts of the script normaliser. Not for other files: script.h is the door. */
#ifndef KAV_SCRIPT_PARTS_H
#define KAV_SCRIPT_PARTS_H

#include "script.h"

#define KAV_SCRIPT_TOKENS (1u << 20)
#define KAV_SCRIPT_TEXT   (16u << 20)
#define KAV_SCRIPT_WORD   12 /* bytes of the longest keyword */
#define KAV_SCRIPT_NONE   UINT32_MAX

enum kav_token_kind {
    KAV_TK_WORD, /* a keyword or operator that means nothing here */
    KAV_TK_NAME,
    KAV_TK_MEMBER, /* a name behind a dot */
    KAV_TK_STRING,
    KAV_TK_INTEGER,
    KAV_TK_FLOAT,
    KAV_TK_FUNCTION,
    KAV_TK_FUNCTION_END, /* no token of the script: marks where its scope ends */
    KAV_TK_VAR,
    KAV_TK_PLUS,
    KAV_TK_OPEN, /* ( */
    KAV_TK_CLOSE,
    KAV_TK_BRACE, /* { */
    KAV_TK_BRACE_END,
    KAV_TK_BRACKET, /* [ */
    KAV_TK_BRACKET_END,
    KAV_TK_COMMA,
    KAV_TK_DOT,
    KAV_TK_SEMICOLON
};

typedef struct {
    uint8_t kind, word_len;
    char word[KAV_SCRIPT_WORD + 2]; /* as it is written, of kinds without a value */
    union {
        struct {
            uint32_t at, len; /* MEMBER, STRING: in the text */
        } text;
        uint32_t symbol; /* NAME */
        uint32_t scope;  /* FUNCTION */
        int32_t integer;
        double real;
    } u;
} kav_token;

typedef struct {
    kav_token *at;
    uint32_t count, room;
} kav_tokens;

enum kav_scope_state {
    KAV_SC_BASE,
    KAV_SC_VAR,    /* behind var, or a comma in it */
    KAV_SC_VALUE,  /* behind a declared name */
    KAV_SC_NAME,   /* behind function */
    KAV_SC_PARAMS, /* behind its name */
    KAV_SC_DECLARE /* behind its parenthesis */
};

typedef struct {
    uint32_t parent; /* KAV_SCRIPT_NONE: the outermost */
    uint8_t state, last;
    uint32_t brackets, blocks;
} kav_scope;

typedef struct {
    uint32_t at, len; /* in the text */
    bool declared;    /* in some scope */
} kav_symbol;

typedef struct {
    uint32_t scope, symbol, id; /* scope KAV_SCRIPT_NONE: free */
} kav_declared;

enum kav_lex_state {
    KAV_LX_BEGIN,
    KAV_LX_BLOCK_COMMENT,
    KAV_LX_LINE_COMMENT,
    KAV_LX_NUMBER,
    KAV_LX_DOUBLE,
    KAV_LX_SINGLE,
    KAV_LX_NAME
};

struct kav_script {
    kav_text_out *out;
    bool written; /* a script was written before */
    bool failed;

    enum kav_lex_state state;
    const uint8_t *in; /* the text in hand */
    size_t len, pos;
    uint32_t begun; /* where in the text the token in hand begins */

    kav_text_out text; /* of names and strings */
    kav_tokens tokens;
    kav_scope *scopes;
    uint32_t scope_count, scope_room, current;
    kav_symbol *symbols;
    uint32_t symbol_count, symbol_room;
    uint32_t *symbol_slots, symbol_slot_count;
    kav_declared *declared;
    uint32_t declared_count, declared_slots;
    uint32_t next_id;
};

/* script_lex.c: the next token of the text in hand; false: there is none, or it is not complete. */
bool kav_script_lex(kav_script *s, kav_token *token);

/* script_parse.c: all tokens of a text, with their scopes. */
void kav_script_parse(kav_script *s, const uint8_t *text, size_t len);
bool kav_tokens_add(kav_script *s, const kav_token *token);
bool kav_script_scope(kav_script *s); /* a new one, inside the one in hand */

/* script_names.c */
uint32_t kav_script_intern(kav_script *s, uint32_t at); /* the text from at to its end; which is taken back if known */
void kav_script_declare(kav_script *s, uint32_t symbol);
uint32_t kav_script_id(const kav_script *s, uint32_t scope, uint32_t symbol); /* KAV_SCRIPT_NONE: not declared */
void kav_script_forget(kav_script *s);

/* script_decode.c: unescape, eval, packers */
void kav_script_decode(kav_script *s);

/* script_write.c */
void kav_script_write(kav_script *s);

/* The scope in hand behind this token. False: the token is a mark only. */
bool kav_script_follow(kav_script *s, const kav_token *token);

/* Bytes as "%u20ac" and "%20" mean them, or "\u20ac" in strings. */
void kav_script_put_code(kav_text_out *out, uint16_t code);

static inline int kav_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
