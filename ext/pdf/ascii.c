/* Filters of letters, and of runs. All or nothing: one wrong letter, and the stream counts as not filtered. */
#include "filter.h"

typedef struct {
    int high;     /* first digit of a pair, or -1 */
    uint32_t odd; /* letters since the first wrong one; a few at the very end are allowed */
} hex_state;

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_begin(kav_pdf_stage *s, const void *argument)
{
    (void)argument;
    ((hex_state *)s->state)->high = -1;
    return 0;
}

static void hex_take(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    hex_state *h = s->state;
    for (size_t i = 0; i < len && !s->chain->stopped; i++) {
        int value = digit(bytes[i]);
        if (h->odd) {
            if (++h->odd >= 4) return kav_pdf_fail(s);
        } else if (value >= 0) {
            if (h->high >= 0) kav_pdf_put(s, (uint8_t)(h->high << 4 | value));
            h->high = h->high >= 0 ? -1 : value;
        } else if (bytes[i] == '>') {
            s->ended = true;
            return;
        } else if (!kav_pdf_is_space(bytes[i])) {
            h->odd = 1;
        }
    }
}

const kav_pdf_filter kav_pdf_hex = {sizeof(hex_state), hex_begin, hex_take, NULL, NULL};

typedef struct {
    uint64_t sum;
    int letters; /* of a group of five */
    bool tilde;
} ascii85_state;

static void group(kav_pdf_stage *s, uint64_t sum, int bytes)
{
    for (int i = 0; i < bytes; i++) kav_pdf_put(s, (uint8_t)(sum >> (24 - 8 * i)));
}

/* "~>": what is left of a group makes one byte less than it has letters. */
static void ascii85_close(kav_pdf_stage *s, ascii85_state *a)
{
    s->ended = true;
    if (a->letters == 1) return kav_pdf_fail(s);
    if (a->letters == 0) return;
    uint64_t sum = a->sum;
    for (int i = a->letters; i < 5; i++) sum *= 85;
    sum += 0xffffffu >> ((a->letters - 2) * 8);
    group(s, sum, a->letters - 1);
}

static void ascii85_take(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    ascii85_state *a = s->state;
    for (size_t i = 0; i < len && !s->chain->stopped; i++) {
        uint8_t c = bytes[i];
        if (a->tilde) {
            if (c != '>') return kav_pdf_fail(s);
            return ascii85_close(s, a);
        }
        if (c >= '!' && c <= 'u') {
            a->sum = a->sum * 85 + (uint64_t)(c - '!');
            if (++a->letters < 5) continue;
            group(s, a->sum, 4);
            a->letters = 0;
            a->sum = 0;
        } else if (c == 'z' && a->letters == 0) {
            group(s, 0, 4);
        } else if (c == '~') {
            a->tilde = true;
        } else if (c != ' ' && (c < '\t' || c > '\r')) {
            return kav_pdf_fail(s);
        }
    }
}

static void ascii85_end(kav_pdf_stage *s)
{
    if (((ascii85_state *)s->state)->tilde) kav_pdf_fail(s);
}

const kav_pdf_filter kav_pdf_ascii85 = {sizeof(ascii85_state), NULL, ascii85_take, ascii85_end, NULL};

typedef struct {
    uint32_t copy, repeat; /* bytes that are still to come */
} runs_state;

static void runs_take(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    runs_state *r = s->state;
    for (size_t i = 0; i < len && !s->chain->stopped; i++) {
        uint8_t c = bytes[i];
        if (r->copy) {
            kav_pdf_put(s, c);
            r->copy--;
        } else if (r->repeat) {
            for (; r->repeat; r->repeat--) kav_pdf_put(s, c);
        } else if (c == 128) {
            s->ended = true;
            return;
        } else if (c < 128) {
            r->copy = c + 1u;
        } else {
            r->repeat = 257u - c;
        }
    }
}

static void runs_end(kav_pdf_stage *s)
{
    runs_state *r = s->state;
    if (r->copy || r->repeat) kav_pdf_fail(s);
}

const kav_pdf_filter kav_pdf_runs = {sizeof(runs_state), NULL, runs_take, runs_end, NULL};
