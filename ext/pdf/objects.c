#include "pdf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEAR = 64,    /* blanks and digits of a number that are looked at */
    AROUND = 4096 /* bytes of a trailer */
};

int kav_pdf_grow(void **list, uint32_t count, uint32_t *room, size_t size)
{
    if (count < *room) return 0;
    uint32_t more = *room ? *room * 2 : 64;
    void *grown = more < *room ? NULL : realloc(*list, more * size);
    if (!grown) return -ENOMEM;
    *list = grown;
    *room = more;
    return 0;
}

static uint32_t slot_of(const kav_pdf *p, uint32_t id)
{
    uint32_t at = (id * 2654435761u) >> 7;
    for (;; at++) {
        const kav_pdf_slot *slot = &p->slots[at & (p->slot_room - 1)];
        if (!slot->first || slot->id == id) return at & (p->slot_room - 1);
    }
}

static int slots_grow(kav_pdf *p)
{
    if (p->slot_count < p->slot_room / 2) return 0;
    kav_pdf_slot *old = p->slots;
    uint32_t old_room = p->slot_room, room = old_room ? old_room * 2 : 256;
    kav_pdf_slot *grown = calloc(room, sizeof *grown);
    if (!grown) return -ENOMEM;
    p->slots = grown;
    p->slot_room = room;
    for (uint32_t i = 0; i < old_room; i++)
        if (old[i].first) p->slots[slot_of(p, old[i].id)] = old[i];
    free(old);
    return 0;
}

/* Objects of one id know the one before and one further away, so that even a million of them are passed in some forty
 * steps. */
static void link_to(kav_pdf *p, kav_pdf_object *o, const kav_pdf_slot *slot)
{
    o->before = slot->first ? slot->last : 0;
    if (!o->before) return;
    const kav_pdf_object *last = &p->objects[o->before - 1];
    o->rank = last->rank + 1;
    const kav_pdf_object *far = last->jump ? &p->objects[last->jump - 1] : NULL;
    uint32_t further = far ? far->jump : 0;
    uint32_t behind = further ? p->objects[further - 1].rank : 0;
    o->jump = far && last->rank - far->rank == far->rank - behind && further ? further : o->before;
}

int kav_pdf_object_add(kav_pdf *p, const kav_pdf_object *o)
{
    if (p->count >= KAV_PDF_OBJECTS) {
        kav_unpack_flag(p->unpack, KAV_R_MEMBERS);
        return 0;
    }
    if (kav_pdf_grow((void **)&p->objects, p->count, &p->room, sizeof *o) != 0 || slots_grow(p) != 0) return -ENOMEM;
    kav_pdf_slot *slot = &p->slots[slot_of(p, o->id)];
    p->objects[p->count] = *o;
    link_to(p, &p->objects[p->count], slot);
    p->count++;
    if (!slot->first) {
        *slot = (kav_pdf_slot){.id = o->id, .first = p->count};
        p->slot_count++;
    }
    slot->last = p->count;
    return 0;
}

uint32_t kav_pdf_object_of(const kav_pdf *p, uint32_t from, uint32_t id)
{
    if (!p->slot_room) return 0;
    const kav_pdf_slot *slot = &p->slots[slot_of(p, id)];
    if (!slot->first || slot->last <= from) return slot->first;
    uint32_t at = slot->last;
    for (;;) { /* back to the first behind from */
        const kav_pdf_object *o = &p->objects[at - 1];
        if (o->jump > from) at = o->jump;
        else if (o->before > from) at = o->before;
        else return at;
    }
}

/* The number that ends before `end`: its value and where it begins; false: there is none. */
static bool number_before(kav_pdf_bytes *b, uint64_t start, uint64_t *end, uint32_t *value)
{
    uint64_t at = *end, last;
    for (int i = 0; i < NEAR && at > start && kav_pdf_is_space(kav_pdf_byte(b, at - 1)); i++) at--;
    last = at;
    uint32_t scale = 1;
    *value = 0;
    for (int i = 0; i < NEAR && at > start; i++, at--) {
        int c = kav_pdf_byte(b, at - 1);
        if (c < '0' || c > '9') break;
        *value += (uint32_t)(c - '0') * scale;
        scale *= 10;
    }
    *end = at;
    return at < last;
}

/* "N G" before a word "obj" at `word`; false: it is no object. */
static bool identify(kav_pdf_bytes *b, uint64_t start, uint64_t word, uint32_t *id)
{
    uint64_t at = word;
    uint32_t generation, number;
    if (!number_before(b, start, &at, &generation)) return false;
    if (at == start || !kav_pdf_is_space(kav_pdf_byte(b, at - 1))) return false;
    if (!number_before(b, start, &at, &number)) return false;
    *id = number << 8 | (generation & 0xff);
    if (at == start) return true;
    int c = kav_pdf_byte(b, at - 1);
    return kav_pdf_is_space(c) || c == '+' || (at >= 5 && c == 'F' && kav_pdf_find(b, at - 5, at, "%%EOF") == at - 5);
}

static void find_stream(kav_pdf_bytes *b, kav_pdf_object *o)
{
    uint64_t end = o->start + o->size, at = kav_pdf_find(b, o->start, end, "stream");
    if (at == KAV_PDF_NONE) return;
    at += 6;
    if (at + 1 < end && kav_pdf_byte(b, at) == '\r' && kav_pdf_byte(b, at + 1) == '\n') {
        at += 2;
        if (at + 1 < end && kav_pdf_byte(b, at) == '\n') at++;
    } else if (at < end && kav_pdf_byte(b, at) == '\n') {
        at++;
    }
    uint64_t stop = kav_pdf_find(b, at, end, "endstream");
    o->flags |= KAV_PDF_STREAM;
    o->stream = at;
    o->stream_size = (stop == KAV_PDF_NONE ? end : stop) - at;
}

/* A trailer between objects says whether the document is encrypted; the last one counts. */
static void look_for_trailer(kav_pdf *p, uint64_t from, uint64_t to)
{
    uint64_t at = kav_pdf_find(&p->bytes, from, to, "/Encrypt");
    if (at == KAV_PDF_NONE) return;
    p->trailer = at - from > AROUND ? at - AROUND : from;
    p->trailer_len = to - p->trailer < 2 * AROUND ? to - p->trailer : 2 * AROUND;
}

/* The next word "obj" with a blank before it. */
static uint64_t next_word(kav_pdf_bytes *b, uint64_t from)
{
    uint64_t word = kav_pdf_find(b, from, b->size, "obj");
    while (word != KAV_PDF_NONE && (word == from || !kav_pdf_is_space(kav_pdf_byte(b, word - 1))))
        word = kav_pdf_find(b, word + 3, b->size, "obj");
    return word;
}

int kav_pdf_objects_find(kav_pdf *p)
{
    kav_pdf_bytes *b = &p->bytes;
    uint64_t start = 0, gap = 0, word;
    while ((word = next_word(b, start)) != KAV_PDF_NONE) {
        kav_pdf_object o = {.start = word + 3};
        if (!identify(b, start, word, &o.id)) {
            start = o.start;
            continue;
        }
        look_for_trailer(p, gap, word);
        uint64_t end = kav_pdf_find(b, o.start, b->size, "endobj");
        o.size = (end == KAV_PDF_NONE ? b->size : end) - o.start;
        find_stream(b, &o);
        if (kav_pdf_object_add(p, &o) != 0) return -ENOMEM;
        if (end == KAV_PDF_NONE || b->late || p->count >= KAV_PDF_OBJECTS) return 0;
        start = gap = end + 6;
    }
    look_for_trailer(p, gap, b->size);
    return 0;
}

const uint8_t *kav_pdf_load(kav_pdf *p, const kav_pdf_object *o, size_t *len)
{
    uint64_t size = o->flags & KAV_PDF_STREAM ? o->stream - o->start : o->size;
    if (size > KAV_PDF_LOAD) kav_unpack_flag(p->unpack, KAV_R_SIZE);
    *len = size > KAV_PDF_LOAD ? KAV_PDF_LOAD : (size_t)size;
    if (o->packed) return p->packed[o->packed - 1].bytes + o->start;
    if (p->bytes.source->memory) return p->bytes.window + o->start;
    if (*len > p->scratch_room || !p->scratch) {
        size_t room = *len < 4096 ? 4096 : *len;
        uint8_t *scratch = realloc(p->scratch, room);
        if (!scratch) return NULL;
        p->scratch = scratch;
        p->scratch_room = room;
    }
    *len = kav_pdf_read(&p->bytes, o->start, p->scratch, *len);
    return p->scratch;
}
