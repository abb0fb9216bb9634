#include "regexp.h"

#include "required.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define PASSED_PER_UNIT 16           /* bytes passed over that cost as much as a callout */
#define UNITS_PER_TICK  (1u << 20)   /* tens of milliseconds */
#define MORE_TICKS      32u          /* for what is given up at first */
#define WIDE_STATES     20000u       /* numbers in the tables of the search that does not backtrack */
#define LONGER          1000u        /* times the first limits */
#define LONGER_HEAP     (256u << 10) /* KiB of memory that this may take */

struct kav_regexp {
    pcre2_code *code;
    kav_required required;
    bool one_meaning; /* whether there is a match does not depend on the order in which ways are tried */
};

struct kav_regexp_room {
    pcre2_match_context *context;
    pcre2_match_data *data; /* for the place of a whole match, and of nothing in it */
};

static uint32_t pcre2_options(uint32_t options)
{
    static const uint32_t by_bit[] = {PCRE2_CASELESS, PCRE2_DOTALL,         PCRE2_MULTILINE, PCRE2_EXTENDED,
                                      PCRE2_ANCHORED, PCRE2_DOLLAR_ENDONLY, PCRE2_UNGREEDY};
    uint32_t out = 0;
    for (size_t i = 0; i < sizeof by_bit / sizeof *by_bit; i++) {
        if (options & 1u << i) out |= by_bit[i];
    }
    return out;
}

/* Some expressions have room for callouts no more: these get one only, where a match may begin. */
static pcre2_code *compile_crowded(const char *text, size_t length, uint32_t options, int *error)
{
    static const char before[] = "(?C)(?:",
                      behind[] = "\n)"; /* a comment ends with its line; without x, none is open */
    size_t head = sizeof before - 1, tail = options & PCRE2_EXTENDED ? 2 : 1, where;
    char *longer = malloc(head + length + tail);
    *error = PCRE2_ERROR_NOMEMORY;
    if (!longer) return NULL;
    memcpy(longer, before, head);
    memcpy(longer + head, text, length);
    memcpy(longer + head + length, behind + 2 - tail, tail);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)longer, head + length + tail, options, error, &where, NULL);
    free(longer);
    return code;
}

static pcre2_code *compile(const char *text, size_t length, uint32_t options, int *error)
{
    PCRE2_SIZE where;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, length, options | PCRE2_AUTO_CALLOUT, error, &where, NULL);
    if (code || *error != PCRE2_ERROR_PATTERN_TOO_LARGE) return code;
    if (length > 1 && text[0] == '(' && text[1] == '*') /* what is said of the whole must stand first */
        return pcre2_compile((PCRE2_SPTR)text, length, options, error, &where, NULL);
    return compile_crowded(text, length, options, error);
}

/* Groups and repetitions that give nothing back, and verbs. Some that are none are taken for one, which does no harm.
 */
static bool has_one_meaning(const char *text, size_t length)
{
    for (size_t i = 0; i + 1 < length; i++) {
        char c = text[i], next = text[i + 1];
        if (next == '+' && strchr("*+?}", c) && c) return false;
        if (c == '(' && (next == '*' || (next == '?' && i + 2 < length && text[i + 2] == '>'))) return false;
    }
    return true;
}

kav_regexp *kav_regexp_new(const char *text, size_t length, uint32_t options, bool *no_memory)
{
    int error = 0;
    kav_regexp *r = calloc(1, sizeof *r);
    *no_memory = true;
    if (!r) return NULL;
    r->code = compile(text, length, pcre2_options(options), &error);
    if (!r->code && error != PCRE2_ERROR_NOMEMORY) *no_memory = false;
    if (!r->code) {
        kav_regexp_free(r);
        return NULL;
    }
    *no_memory = false;
    if (!(options & (KAV_RX_NOCASE | KAV_RX_EXTENDED))) kav_required_find(text, length, &r->required);
    r->one_meaning = has_one_meaning(text, length);
    return r;
}

void kav_regexp_free(kav_regexp *r)
{
    if (!r) return;
    pcre2_code_free(r->code);
    free(r);
}

kav_regexp_room *kav_regexp_room_new(void)
{
    kav_regexp_room *room = calloc(1, sizeof *room);
    if (!room) return NULL;
    room->context = pcre2_match_context_create(NULL);
    room->data = pcre2_match_data_create(1, NULL);
    if (!room->context || !room->data) {
        kav_regexp_room_free(room);
        return NULL;
    }
    pcre2_set_match_limit(room->context, KAV_REGEXP_STEPS);
    pcre2_set_depth_limit(room->context, KAV_REGEXP_DEPTH);
    pcre2_set_heap_limit(room->context, LONGER_HEAP);
    return room;
}

void kav_regexp_room_free(kav_regexp_room *room)
{
    if (!room) return;
    pcre2_match_data_free(room->data);
    pcre2_match_context_free(room->context);
    free(room);
}

typedef struct {
    const kav_regexp_subject *subject;
    size_t place, passed; /* place of the last callout; bytes passed over since the last tick */
    uint32_t callouts;
    uint32_t ticks_left; /* 0: as many as the caller allows */
    uint32_t reasons;
} watch;

static int on_callout(pcre2_callout_block *block, void *context)
{
    watch *w = context;
    size_t place = block->current_position;
    w->passed += place > w->place ? place - w->place : w->place - place;
    w->place = place;
    if (++w->callouts + w->passed / PASSED_PER_UNIT < UNITS_PER_TICK) return 0;
    w->callouts = 0;
    w->passed = 0;
    if (w->ticks_left && --w->ticks_left == 0) w->reasons = KAV_R_MATCH;
    else if (w->subject->tick) w->reasons = w->subject->tick(w->subject->tick_context, w->subject->tick_bytes);
    return w->reasons ? PCRE2_ERROR_CALLOUT : 0;
}

/* Errors that say something about the subject, not about our limits: as in ClamAV, then nothing matches. */
static bool is_no_match(int code)
{
    return code == PCRE2_ERROR_NOMATCH || (code <= PCRE2_ERROR_UTF8_ERR1 && code >= PCRE2_ERROR_UTF8_ERR21) ||
           code == PCRE2_ERROR_BADUTFOFFSET;
}

/* Given up for too many steps. Most such expressions have loops inside of loops, which are tried in ever new ways; the
 * search that follows all ways at once needs no more for them than for others. Of several matches it has the longest.
 */
static int search_wide(const kav_regexp *r, kav_regexp_room *room, const kav_regexp_subject *s, uint32_t options)
{
    int *states = malloc(WIDE_STATES * sizeof *states), code = PCRE2_ERROR_NOMEMORY;
    if (states)
        code = pcre2_dfa_match(r->code, s->bytes, s->length, s->from, options, room->data, room->context, states,
                               WIDE_STATES);
    free(states);
    return code;
}

/* What that search does not know (references to what was matched) is tried on and on. PCRE2 keeps with its data the
 * memory that it took, which here is much: so the data are of this search only. */
static int search_longer(const kav_regexp *r, kav_regexp_room *room, const kav_regexp_subject *s, uint32_t options)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data) return PCRE2_ERROR_NOMEMORY;
    pcre2_set_match_limit(room->context, LONGER * KAV_REGEXP_STEPS);
    pcre2_set_depth_limit(room->context, LONGER * KAV_REGEXP_DEPTH);
    int code = pcre2_match(r->code, s->bytes, s->length, s->from, options, data, room->context);
    pcre2_set_match_limit(room->context, KAV_REGEXP_STEPS);
    pcre2_set_depth_limit(room->context, KAV_REGEXP_DEPTH);
    if (code >= 0)
        memcpy(pcre2_get_ovector_pointer(room->data), pcre2_get_ovector_pointer(data), 2 * sizeof(PCRE2_SIZE));
    pcre2_match_data_free(data);
    return code;
}

static bool is_given_up(int code)
{
    return code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT || code == PCRE2_ERROR_HEAPLIMIT;
}

bool kav_regexp_find(const kav_regexp *r, kav_regexp_room *room, const kav_regexp_subject *s, size_t *begin,
                     size_t *end, uint32_t *reasons)
{
    watch w = {.subject = s, .place = s->from};
    uint32_t options = s->here ? PCRE2_ANCHORED : 0;
    *reasons = 0;
    if (!kav_required_is_in(&r->required, s->bytes + s->from, s->length - s->from)) return false;
    pcre2_set_callout(room->context, on_callout, &w);
    int code = pcre2_match(r->code, s->bytes, s->length, s->from, options, room->data, room->context);
    if (is_given_up(code)) {
        w.ticks_left = MORE_TICKS;
        code = r->one_meaning ? search_wide(r, room, s, options) : PCRE2_ERROR_DFA_UITEM;
        if (code < 0 && code != PCRE2_ERROR_NOMATCH && code != PCRE2_ERROR_CALLOUT)
            code = search_longer(r, room, s, options);
    }
    pcre2_set_callout(room->context, NULL, NULL);
    *reasons = w.reasons;
    if (code >= 0) { /* 0: there was more to tell than there is room for */
        const PCRE2_SIZE *places = pcre2_get_ovector_pointer(room->data);
        *begin = places[0];
        *end = places[1];
        return true;
    }
    if (!w.reasons && !is_no_match(code)) *reasons = KAV_R_MATCH;
    return false;
}
