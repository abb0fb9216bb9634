/* The stream of an object: its filters are tried, and what they make up to the first that fails is a part; of a page's
 * contents the shown text is another; an object stream is kept and taken apart. */
#define _GNU_SOURCE /* memmem */

#include "filter.h"
#include "plain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 << 10, TEXT_CHUNK = 8192 };

/* What the dictionary of the stream says, beyond names. */
typedef struct {
    uint64_t len;
    int64_t first, count; /* of objects inside; count -1: it is no object stream */
    bool early, deciphered;
    uint8_t cipher; /* of /Crypt */
} manner;

/* Bytes that grow, counted against what a document may hold. */
typedef struct {
    uint8_t *bytes;
    size_t len, room;
    bool full;
} heap;

/* Text between brackets, which is what a page shows: ( ... ) behind the first line that begins with [. */
typedef struct {
    enum { OUTSIDE, INSIDE, TEXT } state;
    size_t at;        /* in the chunks of TEXT_CHUNK bytes in which ClamAV reads */
    size_t written;   /* in its buffers, at whose ends it loses a letter */
    bool line, blank; /* at the beginning of a line; the last letter was a blank */
} shown;

typedef struct {
    kav_pdf *pdf;
    const kav_pdf_object *object;
    bool begun, stop, keep, show;
    int error;
    heap kept, text;
    shown shown;
} sink;

static bool heap_add(kav_pdf *p, heap *h, const uint8_t *bytes, size_t len)
{
    if (h->full || len > KAV_PDF_HELD - p->held) {
        kav_unpack_flag(p->unpack, KAV_R_MEMORY);
        h->full = true;
        return true;
    }
    if (len > h->room - h->len) {
        size_t room = h->room ? h->room : 4096;
        while (room - h->len < len) room *= 2;
        uint8_t *grown = realloc(h->bytes, room);
        if (!grown) return false;
        h->bytes = grown;
        h->room = room;
    }
    memcpy(h->bytes + h->len, bytes, len);
    h->len += len;
    p->held += len;
    return true;
}

static void heap_free(kav_pdf *p, heap *h)
{
    p->held -= h->len;
    free(h->bytes);
    *h = (heap){0};
}

static bool show_letter(sink *s, uint8_t c)
{
    uint8_t form[1];
    shown *t = &s->shown;
    if (t->written == TEXT_CHUNK) {
        t->written = 0;
        t->blank = false;
        return true;
    }
    size_t n = kav_plain(&c, 1, form, &t->blank);
    t->written += n;
    return n == 0 || heap_add(s->pdf, &s->text, form, n);
}

static bool show(sink *s, const uint8_t *bytes, size_t len)
{
    shown *t = &s->shown;
    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes[i];
        if (t->at++ % TEXT_CHUNK == 0) t->line = true;
        if (t->state == OUTSIDE) {
            if (t->line && c == '[') t->state = INSIDE;
            t->line = c == '\n';
        } else if (t->state == INSIDE) {
            if (c == '(') t->state = TEXT;
        } else if (c == ')') {
            t->state = INSIDE;
        } else if (!show_letter(s, c)) {
            return false;
        }
    }
    return true;
}

static bool sink_take(void *context, const uint8_t *bytes, size_t len)
{
    sink *s = context;
    if (!s->begun) {
        if (kav_pdf_part_begin(s->pdf, s->object, "") != 0) {
            s->stop = true;
            return false;
        }
        s->begun = true;
    }
    if ((s->keep && !heap_add(s->pdf, &s->kept, bytes, len)) || (s->show && !show(s, bytes, len))) {
        s->error = -ENOMEM;
        return false;
    }
    return kav_unpack_data(s->pdf->unpack, bytes, len) == 0;
}

/* The number behind /Length, which may stand in another object; 0: not known. */
static uint64_t announced(kav_pdf *p, uint32_t object, const uint8_t *dict, size_t len)
{
    uint32_t id;
    size_t at = kav_pdf_value(dict, 0, len, "/Length");
    int64_t value = kav_pdf_number(dict, at, len);
    if (kav_pdf_reference(dict, at, len, &id)) {
        uint32_t other = kav_pdf_object_of(p, object, id);
        uint8_t text[64];
        if (!other) return 0;
        const kav_pdf_object *o = &p->objects[other - 1];
        if (o->packed) {
            const kav_pdf_packed *in = &p->packed[o->packed - 1];
            len = in->len - o->start < sizeof text ? in->len - o->start : sizeof text;
            memcpy(text, in->bytes + o->start, len);
        } else {
            len = kav_pdf_read(&p->bytes, o->start, text, sizeof text);
        }
        value = kav_pdf_number(text, kav_pdf_next(text, 0, len), len);
    }
    return value > 0 ? (uint64_t)value : 0;
}

/* How much of what stands before "endstream" is the stream: /Length is believed when it takes off two bytes at most. */
static uint64_t true_length(kav_pdf *p, const kav_pdf_object *o, uint64_t length)
{
    uint64_t all = o->stream_size;
    if (length > all) length = all;
    if (all > length + 2 && (length || o->flags & KAV_PDF_FLATE)) return all;
    if (length || o->flags & KAV_PDF_FLATE) return length ? length : all;
    /* ClamAV looks for the end of a line at a place that is counted from the object, not from its stream */
    uint64_t at = o->start + all;
    int last = all ? kav_pdf_byte(&p->bytes, at - 1) : -1;
    if (last == '\n') length = all > 1 && kav_pdf_byte(&p->bytes, at - 2) == '\r' ? all - 2 : all - 1;
    else length = last == '\r' ? all - 1 : all;
    return length ? length : all;
}

static int read_manner(kav_pdf *p, uint32_t object, manner *m)
{
    const kav_pdf_object *o = &p->objects[object];
    size_t len;
    const uint8_t *dict = kav_pdf_load(p, o, &len);
    if (!dict) return -ENOMEM;
    *m = (manner){.count = -1, .early = true};
    uint64_t length = announced(p, object, dict, len);
    if (memmem(dict, len, "/ObjStm", 7)) {
        m->first = kav_pdf_number(dict, kav_pdf_value(dict, 0, len, "/First"), len);
        m->count = kav_pdf_number(dict, kav_pdf_value(dict, 0, len, "/N"), len);
        if (m->first <= 0) m->count = -1;
    }
    int64_t early = kav_pdf_number(dict, kav_pdf_value(dict, 0, len, "/EarlyChange"), len);
    m->early = early != 0;
    m->deciphered = p->lock.open && !(o->flags & KAV_PDF_CRYPT) && !memmem(dict, len, "/XRef", 5);
    m->cipher = p->lock.open ? kav_pdf_lock_named(p, dict, len) : KAV_PDF_PLAIN;
    m->len = true_length(p, o, length);
    return 0;
}

static int add_filter(kav_pdf_chain *c, const kav_pdf *p, const kav_pdf_object *o, const manner *m, uint32_t flag)
{
    kav_pdf_key key;
    switch (flag) {
    case KAV_PDF_AHX: return kav_pdf_chain_add(c, &kav_pdf_hex, NULL);
    case KAV_PDF_A85: return kav_pdf_chain_add(c, &kav_pdf_ascii85, NULL);
    case KAV_PDF_RL: return kav_pdf_chain_add(c, &kav_pdf_runs, NULL);
    case KAV_PDF_FLATE: return kav_pdf_chain_add(c, &kav_pdf_flate, NULL);
    case KAV_PDF_LZW: return kav_pdf_chain_add(c, &kav_pdf_lzw, &m->early);
    default: key = kav_pdf_key_of(&p->lock, o->id, m->cipher); return kav_pdf_chain_add(c, &kav_pdf_decipher, &key);
    }
}

/* How many filters there are before the first that nobody undoes: a picture is a picture. */
static uint32_t undone(const kav_pdf *p, const kav_pdf_object *o)
{
    uint32_t n = 0;
    while (n < o->filter_count && !(1u << p->filters[o->filters_at + n] & (KAV_PDF_DCT | KAV_PDF_JPX | KAV_PDF_FAX)))
        n++;
    return n;
}

static int feed(kav_pdf *p, const kav_pdf_object *o, const manner *m, kav_pdf_chain *c)
{
    const uint8_t *memory = p->bytes.source->memory ? p->bytes.window + o->stream : NULL;
    uint8_t *buffer = memory ? NULL : malloc(CHUNK);
    if (!memory && !buffer) return -ENOMEM;
    bool whole = memory && kav_pdf_chain_whole(c, memory, m->len);
    for (uint64_t at = 0; !whole && at < m->len && !c->stopped;) {
        size_t n = m->len - at < CHUNK ? (size_t)(m->len - at) : CHUNK;
        if (!memory) n = kav_pdf_read(&p->bytes, o->stream + at, buffer, n);
        if (n == 0) break;
        if (!memory && n == m->len && kav_pdf_chain_whole(c, buffer, n)) break;
        kav_pdf_chain_take(c, memory ? memory + at : buffer, n);
        at += n;
        if (c->count && (c->stages[0]->failed || c->stages[0]->ended)) break;
        if (kav_unpack_tick(p->unpack) != 0) c->stopped = c->late = true;
    }
    kav_pdf_chain_end(c);
    free(buffer);
    return 0;
}

/* Run the stream through its first filters. *good: how many of them made something of it. */
static int run(kav_pdf *p, const kav_pdf_object *o, const manner *m, uint32_t filters, sink *to, uint32_t *good)
{
    kav_pdf_chain c = {.unpack = p->unpack, .take = to ? sink_take : NULL, .context = to};
    int rc = 0;
    uint32_t n = 0;
    if (m->deciphered) {
        uint8_t cipher = o->flags & KAV_PDF_EMBEDDED ? p->lock.files : p->lock.streams;
        kav_pdf_key key = kav_pdf_key_of(&p->lock, o->id, cipher);
        rc = kav_pdf_chain_add(&c, &kav_pdf_decipher, &key);
    }
    uint32_t before = c.count;
    for (uint32_t i = 0; i < filters && rc == 0; i++) rc = add_filter(&c, p, o, m, 1u << p->filters[o->filters_at + i]);
    if (rc == 0) rc = feed(p, o, m, &c);
    while (rc == 0 && n < filters && !c.stages[before + n]->failed && c.stages[before + n]->produced) n++;
    *good = n;
    kav_pdf_chain_free(&c);
    return rc;
}

/* One filter that hands on what it can needs no trial: only when nothing came is the stream taken as it is. */
static bool needs_trial(const kav_pdf *p, const kav_pdf_object *o, uint32_t filters)
{
    uint32_t first = filters ? 1u << p->filters[o->filters_at] : 0;
    return filters > 1 || first & (KAV_PDF_AHX | KAV_PDF_A85 | KAV_PDF_RL);
}

static int decode(kav_pdf *p, const kav_pdf_object *o, const manner *m, sink *to, bool *whole)
{
    uint32_t filters = undone(p, o), good = filters, now;
    int rc = 0;
    if (needs_trial(p, o, filters)) rc = run(p, o, m, filters, NULL, &good);
    *whole = good == filters;
    if (rc == 0) rc = run(p, o, m, good, to, &now);
    if (rc == 0 && !to->begun && !to->stop && good) {
        *whole = false;
        rc = run(p, o, m, 0, to, &now);
    }
    return rc ? rc : to->error;
}

static int pass_text(kav_pdf *p, const kav_pdf_object *o, const heap *text)
{
    if (!text->len) return 0;
    if (kav_pdf_part_begin(p, o, " contents") != 0) return 1;
    kav_unpack_data(p->unpack, text->bytes, text->len);
    return kav_unpack_end(p->unpack, 0);
}

int kav_pdf_stream_pass(kav_pdf *p, uint32_t object)
{
    manner m;
    bool whole;
    if (read_manner(p, object, &m) != 0) return -ENOMEM;
    if (m.len == 0) return 0;
    kav_pdf_object o = p->objects[object];
    sink s = {.pdf = p, .object = &o, .keep = m.count > 0, .show = o.flags & KAV_PDF_CONTENTS};
    int rc = decode(p, &o, &m, &s, &whole);
    if (s.begun && kav_unpack_end(p->unpack, 0) != 0) s.stop = true;
    if (rc == 0 && !s.stop) rc = pass_text(p, &o, &s.text);
    if (rc == 0 && !s.stop && s.keep && whole && s.kept.len && !s.kept.full) {
        rc = kav_pdf_packed_read(p, s.kept.bytes, s.kept.len, m.first, m.count);
        s.kept = (heap){0}; /* the document's now */
    }
    heap_free(p, &s.kept);
    heap_free(p, &s.text);
    return rc ? rc : s.stop;
}
