#include "scanner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void kav_unpack_init(kav_unpack *u, kav_object_scanner *scanner, uint32_t depth)
{
    memset(u, 0, sizeof *u);
    u->scanner = scanner;
    u->depth = depth;
    u->container.status = KAV_CLEAN;
}

int kav_unpack_begin(kav_unpack *u, const char *name, size_t name_len, uint64_t size, uint32_t flags)
{
    kav_object_scanner *s = u->scanner;
    char number[16];
    (void)size; /* announced sizes lie; room is taken as bytes arrive */

    if (u->begun) kav_unpack_end(u, KAV_R_DAMAGED); /* an opener lost its way: nothing it read gets lost */
    uint32_t spent = kav_budget_member(&s->budget, flags & (KAV_M_PART | KAV_M_VIEW));
    if (spent != 0) {
        u->container.reasons |= spent;
        return 1;
    }
    u->count++;
    if (name_len == 0) {
        name_len = (size_t)snprintf(number, sizeof number, "#%u", u->count);
        name = number;
    }
    if (flags & KAV_M_VIEW) { /* what is found in it is found in the layer itself */
        u->mark = s->path.len;
    } else if (kav_member_path_push(&s->path, name, name_len, &u->mark) != 0) {
        u->container.reasons |= KAV_R_MEMORY;
        return 1;
    }
    u->stored = kav_store_begin(&s->store);
    u->reasons = 0;
    u->flags = flags;
    u->begun = true;
    u->typed = false;
    u->told = false;
    if (!(flags & KAV_M_FOLDER)) u->files++;
    u->full = false;
    return 0;
}

void kav_unpack_type(kav_unpack *u, kav_type type)
{
    u->type = type;
    u->typed = true;
}

void kav_unpack_facts(kav_unpack *u, const kav_member_facts *facts)
{
    u->facts = *facts;
    u->told = true;
}

uint32_t kav_unpack_count(const kav_unpack *u, bool files)
{
    return files ? u->files : u->count;
}

bool kav_unpack_password(const kav_unpack *u, uint32_t *at, uint32_t container, const char **text, uint32_t *length)
{
    return kav_image_password(u->scanner->image, at, container, text, length);
}

/* Take len bytes (zeros when bytes is NULL) as far as every limit allows. */
static int take(kav_unpack *u, const void *bytes, uint64_t len)
{
    kav_object_scanner *s = u->scanner;
    uint64_t limit = s->limits.max_member_size;
    if (!u->begun || u->full) return 1;

    uint64_t room = limit == 0 ? UINT64_MAX : limit - u->stored.size;
    uint64_t want = len < room ? len : room;
    if (want < len) u->reasons |= KAV_R_SIZE;
    uint64_t allowed = kav_budget_take(&s->budget, want);
    if (allowed < want) u->reasons |= KAV_R_BYTES;
    int error = kav_store_append(&s->store, &u->stored, bytes, allowed);
    if (error != 0) u->reasons |= KAV_R_MEMORY; /* ENOSPC, EFBIG, EDQUOT, EIO: this member does not fit here */
    u->reasons |= kav_layers_tick(s, 0);
    u->full = u->reasons != 0;
    return u->full;
}

struct kav_inflater **kav_unpack_inflater(kav_unpack *u)
{
    return &u->scanner->inflater;
}

uint64_t kav_unpack_left(const kav_unpack *u)
{
    const kav_object_scanner *s = u->scanner;
    uint64_t limit = s->limits.max_member_size, left = kav_budget_left(&s->budget);
    if (!u->begun || u->full || u->stored.spilled) return 0;
    if (limit != 0 && limit - u->stored.size < left) left = limit - u->stored.size;
    uint64_t room = s->store.arena_size - s->store.arena_used;
    return left < room ? left : room;
}

int kav_unpack_data(kav_unpack *u, const void *bytes, size_t len)
{
    return take(u, bytes, len);
}

int kav_unpack_hole(kav_unpack *u, uint64_t len)
{
    return take(u, NULL, len);
}

/* The line about a member itself, when there is something to say. */
static void note_member(kav_unpack *u, const kav_outcome *outcome, uint64_t size)
{
    kav_object_scanner *s = u->scanner;
    if (u->flags & KAV_M_VIEW) return; /* the layer's own line says it */
    bool named = s->limits.switches & KAV_S_ALL_MEMBERS && !(u->flags & KAV_M_PART);
    if (outcome->status == KAV_CLEAN && !outcome->container && !named) return;
    kav_note note = {.offset = UINT64_MAX,
                     .size = size,
                     .reasons = outcome->reasons,
                     .status = outcome->status,
                     .engine = KAV_ENGINE_NATIVE,
                     .is_container = outcome->container};
    kav_layers_note(s, &note, NULL, 0);
}

/* What became of the member in hand. */
static int finish(kav_unpack *u, const kav_outcome *outcome, uint64_t size)
{
    kav_object_scanner *s = u->scanner;
    note_member(u, outcome, size);
    kav_store_release(&s->store, &u->stored);
    kav_member_path_pop(&s->path, u->mark);
    u->begun = false;
    u->container.reasons |= outcome->reasons;
    u->container.status = kav_graver(u->container.status, outcome->status);
    return s->budget.spent != 0;
}

int kav_unpack_end(kav_unpack *u, uint32_t reasons)
{
    kav_object_scanner *s = u->scanner;
    kav_outcome outcome = {.reasons = reasons | u->reasons, .status = KAV_CLEAN, .container = false};
    if (!u->begun) return s->budget.spent != 0;
    if (u->flags & KAV_M_MAILPART) /* ClamAV measures what came out, and does not count */
        kav_unpack_facts(u, &(kav_member_facts){.packed = u->stored.size, .unpacked = u->stored.size});
    uint8_t said = u->told ? kav_said_scan(u, outcome.reasons) : KAV_CLEAN;

    if (!(u->flags & KAV_M_FOLDER) || u->stored.size > 0) {
        kav_layer_found found;
        kav_source source = kav_store_source(&s->store, &u->stored);
        kav_manner manner = {.type = u->typed ? &u->type : NULL, .view = u->flags & KAV_M_VIEW};
        kav_layers_scan(s, &source, manner, u->depth, outcome.reasons, &found, &outcome);
    } else {
        outcome.status = kav_status_of_reasons(outcome.reasons);
    }
    outcome.status = kav_graver(outcome.status, said);
    return finish(u, &outcome, u->stored.size);
}

int kav_unpack_span(kav_unpack *u, const char *name, const kav_source *source, kav_span span)
{
    kav_object_scanner *s = u->scanner;
    if (kav_unpack_begin(u, name, strlen(name), span.size, KAV_M_PART) != 0) return 1;
    const uint8_t *memory = source->memory ? source->memory + span.offset : NULL;
    kav_source part = {memory, source->fd, source->base + span.offset, span.size};
    kav_outcome outcome = {.status = KAV_CLEAN};
    if (kav_budget_take(&s->budget, span.size) < span.size) {
        outcome.reasons = KAV_R_BYTES;
        outcome.status = kav_status_of_reasons(outcome.reasons);
    } else {
        kav_layer_found found;
        kav_manner manner = {.type = span.type, .span = span.type != NULL};
        kav_layers_scan(s, &part, manner, u->depth, 0, &found, &outcome);
    }
    return finish(u, &outcome, span.size);
}

void kav_unpack_flag(kav_unpack *u, uint32_t reasons)
{
    u->container.reasons |= reasons;
}

void kav_unpack_elsewhere(kav_unpack *u)
{
    u->scanner->gist.flags |= KAV_F_ELSEWHERE;
}

void kav_unpack_suspect(kav_unpack *u, const char *name)
{
    kav_object_scanner *s = u->scanner;
    const kav_hit hit = {
        .name = name, .name_len = (uint32_t)strlen(name), .database = UINT32_MAX, .offset = UINT64_MAX};
    const kav_layer_found found = {.hits = &hit, .hit_count = 1};
    kav_noted noted = {.size = s->ancestors[u->depth - 1].size};
    if (s->limits.switches & KAV_S_HEURISTIC)
        kav_layers_note_hits(s, &found, true, u->depth - 1, &noted, &u->container);
}

int kav_unpack_tick(kav_unpack *u)
{
    uint32_t late = kav_layers_tick(u->scanner, 0);
    u->container.reasons |= late;
    return late != 0;
}
