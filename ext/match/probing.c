#include "probing.h"

#include <stdlib.h>

bool kav_probing_new(kav_probing *p, const kav_image *image)
{
    *p = (kav_probing){.regexp_count = image->probe_count};
    if (!image->probe_count) return true;
    p->regexps = calloc(image->probe_count, sizeof(kav_regexp *));
    p->room = kav_regexp_room_new();
    return p->regexps != NULL && p->room != NULL;
}

void kav_probing_free(kav_probing *p)
{
    for (uint32_t i = 0; p->regexps && i < p->regexp_count; i++) kav_regexp_free(p->regexps[i]);
    free(p->regexps);
    kav_regexp_room_free(p->room);
    free(p->bytes);
    kav_buffer_free(&p->noted);
    *p = (kav_probing){0};
}

void kav_probing_reset(kav_probing *p)
{
    if (p->noted.failed) kav_buffer_free(&p->noted); /* it was the largest */
    p->noted.length = 0;
    p->noted.failed = p->sorted = p->full = false;
    free(p->bytes);
    p->bytes = NULL;
    p->length = 0;
    p->unread = 0;
}

void kav_probing_note(kav_probing *p, kav_noted noted)
{
    if (KAV_COUNT(p->noted, kav_noted) >= KAV_NOTED_MAX) p->full = true;
    else kav_buffer_add(&p->noted, &noted, sizeof noted);
    if (!kav_buffer_ok(&p->noted)) p->full = true;
}

static int compare(const void *a, const void *b)
{
    const kav_noted *x = a, *y = b;
    if (x->body != y->body) return x->body < y->body ? -1 : 1;
    if (x->pattern != y->pattern) return x->pattern < y->pattern ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The first that is not before the one asked for. */
static uint32_t lower(const kav_noted *noted, uint32_t count, kav_noted wanted)
{
    uint32_t from = 0, to = count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (compare(&noted[middle], &wanted) < 0) from = middle + 1;
        else to = middle;
    }
    return from;
}

const kav_noted *kav_probing_places(kav_probing *p, uint32_t body, uint32_t pattern, uint32_t *count)
{
    kav_noted *noted = KAV_ITEM(p->noted, kav_noted, 0);
    uint32_t all = KAV_COUNT(p->noted, kav_noted);
    if (!p->sorted && all > 1) qsort(noted, all, sizeof *noted, compare);
    p->sorted = true;
    uint32_t from = lower(noted, all, (kav_noted){0, body, pattern});
    *count = lower(noted, all, (kav_noted){0, body, pattern + 1}) - from;
    return noted + from;
}

const uint8_t *kav_probing_bytes(kav_probing *p, const kav_source *source, uint64_t length)
{
    if (source->memory) return source->memory;
    if (p->bytes && p->length >= length) return p->bytes;
    free(p->bytes);
    p->length = 0;
    p->bytes = malloc(length + 1);
    p->unread = KAV_R_MATCH; /* no room: it could not be run */
    while (p->bytes && p->length < length) {
        ssize_t got = kav_source_read(source, p->length, p->bytes + p->length, length - p->length);
        p->unread = got < 0 ? KAV_R_UNREADABLE : KAV_R_CHANGED;
        if (got <= 0) break;
        p->length += (uint64_t)got;
    }
    if (p->bytes && p->length == length) return p->bytes;
    free(p->bytes);
    p->bytes = NULL;
    p->length = 0;
    return NULL;
}
