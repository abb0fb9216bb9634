/* Regexp: one regular expression by PCRE2, matched under limits.
 *
 * The limits on backtracking are ClamAV's. Where it gives up and says nothing, the expression is asked once more, by
 * PCRE2's search that does not backtrack; where that cannot answer either, the search says so. The limits do not bound
 * time: a step may pass over the whole subject. So every expression is compiled with callouts between its elements, in
 * which the work done is counted and the caller is asked whether to go on (this costs up to half of the speed, and
 * PCRE2 counts the same steps with them as without). No JIT: it has other limits, and makes memory executable that it
 * wrote, which a worker is to be kept from.
 */
#ifndef KAV_REGEXP_H
#define KAV_REGEXP_H

#include "layer.h"

#define KAV_REGEXP_STEPS 100000u /* from one place at which a match could begin */
#define KAV_REGEXP_DEPTH 2000u   /* of nested backtracking */

typedef struct kav_regexp kav_regexp;

/* What a search needs to move in: some 20 KiB, and what PCRE2 has ever taken more. One is enough for all expressions
 * that are searched one after the other. */
typedef struct kav_regexp_room kav_regexp_room;

enum kav_regexp_option {
    KAV_RX_NOCASE = 1u << 0,      /* i */
    KAV_RX_DOT_ALL = 1u << 1,     /* s */
    KAV_RX_LINES = 1u << 2,       /* m: ^ and $ at every line */
    KAV_RX_EXTENDED = 1u << 3,    /* x */
    KAV_RX_ANCHORED = 1u << 4,    /* A */
    KAV_RX_END_ONLY = 1u << 5,    /* E: $ only at the very end */
    KAV_RX_NOT_GREEDY = 1u << 6,  /* U */
    KAV_RX_KNOWN = (1u << 7) - 1u /* all of them */
};

/* NULL: it does not compile, or *no_memory. The text is not kept. */
kav_regexp *kav_regexp_new(const char *text, size_t length, uint32_t options, bool *no_memory);
void kav_regexp_free(kav_regexp *r);

/* NULL: out of memory. */
kav_regexp_room *kav_regexp_room_new(void);
void kav_regexp_room_free(kav_regexp_room *room);

typedef struct {
    const uint8_t *bytes; /* not NULL, even where there are none */
    size_t length;
    size_t from;   /* no match begins before */
    bool here;     /* and none after */
    kav_tick tick; /* may be NULL */
    void *tick_context;
    uint64_t tick_bytes; /* what it is told */
} kav_regexp_subject;

/* What became of a search: *reasons are KAV_R_* bits, not 0 when it was given up. */
bool kav_regexp_find(const kav_regexp *r, kav_regexp_room *room, const kav_regexp_subject *subject, size_t *begin,
                     size_t *end, uint32_t *reasons);

#endif
