#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is left out by the class that sees an object first and might be seen by another. */
#define ASK_ON (KAV_R_METHOD | KAV_R_WORKER)

static const char *const names[KAV_ENGINE_COUNT] = {
    [KAV_ENGINE_NATIVE] = "native",
    [KAV_ENGINE_CLAMAV] = "clamav",
    [KAV_ENGINE_CLAMD] = "clamd",
    [KAV_ENGINE_YARA] = "yara",
};

static uint8_t graver(uint8_t a, uint8_t b)
{
    return kav_status_rank(b) > kav_status_rank(a) ? b : a;
}

uint8_t kav_merge_first(const kav_dispatch *d)
{
    for (uint8_t engine = 0; engine < KAV_ENGINE_COUNT; engine++)
        if (d->options.classes[engine].when == KAV_WHEN_EVERY) return engine;
    return KAV_ENGINE_NATIVE;
}

int kav_merge_next(const kav_dispatch *d, const kav_item *item, const kav_result *result)
{
    uint32_t reasons = result->reasons, flags = result->flags;
    uint8_t status = result->status;
    if (item->earlier) {
        reasons |= item->earlier->result.reasons;
        flags |= item->earlier->result.flags;
        status = graver(status, item->earlier->result.status);
    }
    if (flags & KAV_F_DELTA || reasons & KAV_R_UNREADABLE) return -1;
    if (status == KAV_INFECTED && !d->options.all_match) return -1;
    bool elsewhere = flags & KAV_F_ELSEWHERE || reasons & ASK_ON;
    for (int engine = item->engine + 1; engine < KAV_ENGINE_COUNT; engine++) {
        uint32_t when = d->options.classes[engine].when;
        if (when == KAV_WHEN_EVERY || (when == KAV_WHEN_ELSEWHERE && elsewhere)) return engine;
    }
    return -1;
}

bool kav_merge_names(const kav_item *item, const kav_result *result)
{
    return item->engine != KAV_ENGINE_NATIVE && result->reasons;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static bool same_file(const kav_result *a, const kav_result *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns &&
           a->ctime_ns == b->ctime_ns;
}

static void merge_flags(kav_result *all, const kav_result *more)
{
    const uint32_t both = KAV_F_STABLE | KAV_F_CACHED; /* hold only where they hold for each */
    const uint32_t any = KAV_F_CONTAINER | KAV_F_SUPPRESSED | KAV_F_UNOPENED | KAV_F_ELSEWHERE;
    if (!(all->flags & KAV_F_SHA256) && more->flags & KAV_F_SHA256) {
        memcpy(all->sha256, more->sha256, sizeof all->sha256);
        all->flags |= KAV_F_SHA256;
    }
    all->flags &= ~both | more->flags;
    all->flags |= more->flags & any;
}

static void merge_result(kav_result *all, const kav_result *more)
{
    bool other = !same_file(all, more);
    merge_flags(all, more);
    all->reasons |= more->reasons;
    all->status = graver(all->status, more->status);
    if (other) { /* what was shown to one may not be what was shown to the other */
        all->reasons |= KAV_R_CHANGED;
        all->flags &= ~(uint32_t)(KAV_F_STABLE | KAV_F_SHA256);
    }
    all->status = graver(all->status, kav_status_of_reasons(all->reasons));
    if (!all->format && !all->target) {
        all->format = more->format;
        all->target = more->target;
    }
    if (__builtin_add_overflow(all->scanned, more->scanned, &all->scanned)) all->scanned = UINT64_MAX;
    if (all->members < more->members) all->members = more->members;
    if (all->depth < more->depth) all->depth = more->depth;
    all->views |= more->views;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

/* "earlier; clamav: why". Returns the length; to may be NULL. */
static size_t put_text(uint8_t *to, const kav_item *item, const kav_said *said)
{
    const kav_earlier *before = item->earlier;
    const char *name = kav_merge_names(item, said->result) ? names[item->engine] : "";
    const struct {
        const void *at;
        size_t len;
    } parts[] = {
        {before ? before->bytes + before->layers_len : NULL, before ? before->text_len : 0},
        {"; ", before && before->text_len && (*name || said->text_len) ? 2 : 0},
        {name, strlen(name)},
        {": ", *name && said->text_len ? 2 : 0},
        {said->text, said->text_len},
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (to && parts[i].len) memcpy(to + len, parts[i].at, parts[i].len);
        len += parts[i].len;
    }
    return len;
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

int kav_merge_add(kav_item *item, const kav_said *said)
{
    if (kav_item_add_notes(item, said->notes, said->notes_len, said->result->notes)) return -ENOMEM;
    kav_item_keep_notes(item);
    const kav_earlier *before = item->earlier;
    const uint8_t *layers = before ? before->bytes : said->layers;
    uint32_t layers_len = before ? before->layers_len : said->layers ? said->result->layers_len : 0;
    size_t text_len = put_text(NULL, item, said);
    kav_earlier *all = malloc(sizeof *all + layers_len + text_len);
    if (!all) return -ENOMEM;
    if (layers_len) memcpy(all->bytes, layers, layers_len);
    put_text(all->bytes + layers_len, item, said);
    all->layers_len = layers_len;
    all->text_len = (uint32_t)text_len;
    all->result = before ? before->result : *said->result;
    if (before) merge_result(&all->result, said->result);
    all->result.notes = all->result.learned = 0;
    all->result.layers_len = layers_len;
    if (!layers_len) all->result.layers = 0;
    free(item->earlier);
    item->earlier = all;
    return 0;
}

kav_said kav_merge_said(const kav_item *item)
{
    const kav_earlier *all = item->earlier;
    return (kav_said){
        .result = &all->result,
        .layers = all->layers_len ? all->bytes : NULL,
        .text = all->bytes + all->layers_len,
        .text_len = all->text_len,
    };
}
