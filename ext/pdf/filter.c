#include "filter.h"
#include "inflate.h"

#include <errno.h>
#include <stdlib.h>

#define WORK_MAX (4ull << 30) /* bytes that the stages of one chain make together */
#define TICK     (1u << 20)

int kav_pdf_chain_add(kav_pdf_chain *c, const kav_pdf_filter *filter, const void *argument)
{
    kav_pdf_stage *s = malloc(sizeof *s);
    if (!s) return -ENOMEM;
    *s = (kav_pdf_stage){.filter = filter, .chain = c, .state = calloc(1, filter->state)};
    if (!s->state || (filter->begin && filter->begin(s, argument) != 0)) {
        free(s->state);
        free(s);
        return -ENOMEM;
    }
    if (c->count) c->stages[c->count - 1]->next = s;
    c->stages[c->count++] = s;
    return 0;
}

static void stage_take(kav_pdf_chain *c, kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    if (c->stopped || !len) return;
    if (s) {
        if (!s->failed && !s->ended) s->filter->take(s, bytes, len);
    } else if (c->take && !c->take(c->context, bytes, len)) {
        c->stopped = true;
    }
}

void kav_pdf_chain_take(kav_pdf_chain *c, const uint8_t *bytes, size_t len)
{
    stage_take(c, c->count ? c->stages[0] : NULL, bytes, len);
}

/* What came out of a stage, to the next. */
static void hand_on(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    kav_pdf_chain *c = s->chain;
    s->produced += len;
    c->work += len;
    if (c->work > WORK_MAX) {
        kav_unpack_flag(c->unpack, KAV_R_BYTES);
        c->stopped = true;
    }
    if (c->work - c->ticked >= TICK) {
        c->ticked = c->work;
        if (kav_unpack_tick(c->unpack) != 0) c->stopped = c->late = true;
    }
    stage_take(c, s->next, bytes, len);
}

void kav_pdf_flush(kav_pdf_stage *s)
{
    size_t len = s->waiting;
    s->waiting = 0;
    hand_on(s, s->out, len);
}

bool kav_pdf_chain_whole(kav_pdf_chain *c, const uint8_t *bytes, uint64_t len)
{
    size_t made, n;
    kav_pdf_stage *s = c->stages[0];
    if (!c->count || s->filter != &kav_pdf_flate) return false;
    const uint8_t *out = kav_inflate_whole(c->unpack, KAV_INFLATE_ZLIB, bytes, len, &made);
    if (!out || !made) return false;
    for (size_t at = 0; at < made && !c->stopped; at += n) {
        n = made - at < sizeof s->out ? made - at : sizeof s->out;
        hand_on(s, out + at, n);
    }
    s->ended = true;
    return true;
}

void kav_pdf_fail(kav_pdf_stage *s)
{
    s->failed = true;
}

void kav_pdf_chain_end(kav_pdf_chain *c)
{
    for (uint32_t i = 0; i < c->count && !c->stopped; i++) {
        kav_pdf_stage *s = c->stages[i];
        if (!s->failed && !s->ended && s->filter->end) s->filter->end(s);
        kav_pdf_flush(s);
    }
}

void kav_pdf_chain_free(kav_pdf_chain *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        kav_pdf_stage *s = c->stages[i];
        if (s->filter->free) s->filter->free(s);
        free(s->state);
        free(s);
    }
    c->count = 0;
}
