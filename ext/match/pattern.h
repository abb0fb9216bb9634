/* Pattern: ClamAV's hexadecimal pattern text turned into chains, pieces and elements.
 *
 *     pattern  deadbeef??(61|62){2-10}cafebabe*0000aabb  at an offset, with modifiers
 *     piece    what lies between far gaps ({n-m}, * and {n} from 128 on); a gap is kept with the piece behind it
 *     element  a run of bytes, of anything, of half-known bytes, or a choice
 *
 * Semantics are ClamAV's, quirks included where verdicts depend on them; pattern.c and piece.c say which.
 */
#ifndef KAV_PATTERN_H
#define KAV_PATTERN_H

#include "intern.h"
#include "tables.h"

/* One byte position (or one choice) of the piece in hand: what elements and literals are made from. */
typedef struct {
    uint8_t kind; /* KAV_EL_MASK: one byte; KAV_EL_SET, KAV_EL_CHOICE, KAV_EL_LINE */
    uint8_t value, mask;
    uint8_t nocase;       /* a letter in either case; value is lower case */
    uint8_t flags;        /* KAV_EL_NOT */
    uint16_t least, most; /* bytes that it takes */
    uint16_t count;       /* CHOICE: strings */
    uint32_t data;        /* SET, CHOICE: in DATA */
} kav_atom;

#define KAV_EXPANSIONS 16 /* most literals for one piece */

/* The literals or the expression by which a piece is found: where one ends, the piece is looked at. */
typedef struct {
    uint8_t bytes[KAV_EXPANSIONS][KAV_LITERAL_MAX]; /* strong: count literals of this length */
    uint32_t count;
    uint32_t text, text_length; /* weak: a regular expression, in DATA */
    uint32_t atom;              /* the window's first atom; it begins there */
    uint32_t score;             /* how rare, in eighths of a bit */
    uint16_t length;            /* bytes */
    uint8_t flags;              /* KAV_LF_NOCASE */
    bool strong;                /* rare enough for the fast database, and no NUL first */
} kav_window;

typedef struct {
    const char *text;
    size_t length;
} kav_text;

typedef struct {
    kav_tables *tables;
    kav_intern *literals; /* over tables->literals */
    const char *why;      /* set on failure: one short line, static */
    kav_buffer windows;   /* kav_window per piece of the pattern in hand */
    kav_atom *atoms;      /* KAV_PIECE_SPAN of them */
    uint32_t atom_count;
    bool nocase, wide, fullword, ascii; /* modifiers */
    bool word_left, word_right;         /* what fullword means for the piece in hand */
    kav_pattern pattern;
} kav_parse;

/* Append the pattern to the tables. Returns its index, or KAV_NONE with parse->why set and the tables as before. */
uint32_t kav_pattern_parse(kav_parse *parse, kav_text hex, kav_text offset, kav_text modifiers);

/* An offset alone: place, offset, shift and section of out. NULL, or why it cannot be taken. */
const char *kav_place_parse(kav_text offset, kav_pattern *out);

/* piece.c: append the elements of a piece and fill it in; chain, index and gap are the caller's. False: parse->why. */
bool kav_piece_parse(kav_parse *parse, kav_text text, kav_piece *piece);

/* literal.c: how rare a byte is in files of all kinds, in eighths of a bit. */
uint8_t kav_rarity(uint8_t byte);

/* literal.c: the best window over the atoms of the piece in hand. False when not even two bytes are known. */
bool kav_window_choose(const kav_parse *parse, kav_window *out);

/* literal.c: add the window's literals and post the piece under them. */
void kav_window_post(kav_parse *parse, const kav_window *window, uint32_t piece, bool weak);

/* literal.c: the literal of the weak database that finds what this one finds. */
uint32_t kav_literal_weaken(kav_parse *parse, uint32_t literal);

#endif
