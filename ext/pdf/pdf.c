#include "pdf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADER = 1032 /* bytes within which "%PDF-" stands */ };

int kav_pdf_part_begin(kav_pdf *p, const kav_pdf_object *o, const char *what)
{
    char name[64];
    int len = snprintf(name, sizeof name, "obj %u %u%s", (unsigned)(o->id >> 8), (unsigned)(o->id & 0xff), what);
    return kav_unpack_begin(p->unpack, name, (size_t)len, o->size, KAV_M_PART);
}

int kav_pdf_object_pass(kav_pdf *p, uint32_t object)
{
    enum { CHUNK = 4096 };
    uint8_t chunk[CHUNK];
    kav_pdf_object o = p->objects[object];
    if (o.size == 0) return 0;
    if (kav_pdf_part_begin(p, &o, "") != 0) return 1;
    if (o.packed) {
        kav_unpack_data(p->unpack, p->packed[o.packed - 1].bytes + o.start, o.size);
        return kav_unpack_end(p->unpack, 0);
    }
    for (uint64_t at = 0; at < o.size;) {
        size_t want = o.size - at < CHUNK ? (size_t)(o.size - at) : CHUNK;
        size_t n = kav_pdf_read(&p->bytes, o.start + at, chunk, want);
        if (n == 0 || kav_unpack_data(p->unpack, chunk, n) != 0) break;
        at += n;
    }
    return kav_unpack_end(p->unpack, 0);
}

/* What ClamAV takes out, and streams with filters that it only takes out when something else makes it look. Pictures
 * are passed over: they are what most of a document is. */
static bool is_wanted(const kav_pdf_object *o)
{
    const uint32_t wanted = KAV_PDF_CONTENTS | KAV_PDF_FLATE | KAV_PDF_DCT | KAV_PDF_AHX | KAV_PDF_A85 |
                            KAV_PDF_EMBEDDED | KAV_PDF_SCRIPT | KAV_PDF_ACTION | KAV_PDF_LAUNCH;
    const uint32_t decoded = KAV_PDF_LZW | KAV_PDF_RL | KAV_PDF_CRYPT;
    if (o->flags & KAV_PDF_URI) return false;
    if (o->flags & KAV_PDF_IMAGE && !(o->flags & KAV_PDF_DCT)) return false;
    if (o->flags & wanted) return true;
    return o->flags & KAV_PDF_STREAM && (!(o->flags & KAV_PDF_FILTERED) || o->flags & decoded);
}

/* Non-zero: stop, or -ENOMEM. */
static int pass(kav_pdf *p, uint32_t object)
{
    const kav_pdf_object *o = &p->objects[object];
    if (!is_wanted(o)) return 0;
    if (o->flags & KAV_PDF_STREAM) return kav_pdf_stream_pass(p, object);
    if (o->flags & KAV_PDF_SCRIPT) return kav_pdf_script_pass(p, object);
    return kav_pdf_object_pass(p, object);
}

static int open_document(kav_pdf *p)
{
    int rc = kav_pdf_objects_find(p);
    for (uint32_t i = 0; i < p->count && rc == 0; i++) {
        rc = kav_pdf_names_read(p, i);
        if (i % 256 == 0 && kav_unpack_tick(p->unpack) != 0) return 0;
    }
    if (rc != 0) return rc;
    kav_pdf_lock_read(p);
    if (p->lock.wanted && !p->lock.open) kav_unpack_flag(p->unpack, KAV_R_ENCRYPTED);
    for (uint32_t i = 0; i < p->count && rc == 0; i++) { /* their number grows meanwhile */
        rc = pass(p, i);
        if (rc == 0 && i % 64 == 0 && kav_unpack_tick(p->unpack) != 0) break;
    }
    if (rc == 0 && p->escaped) kav_unpack_suspect(p->unpack, "Heuristics.PDF.ObfuscatedNameObject");
    return rc < 0 ? rc : 0;
}

static void document_free(kav_pdf *p)
{
    for (uint32_t i = 0; i < p->packed_count; i++) free(p->packed[i].bytes);
    free(p->packed);
    free(p->objects);
    free(p->slots);
    free(p->filters);
    free(p->scratch);
    kav_pdf_bytes_close(&p->bytes);
}

int kav_open_pdf(const kav_source *source, kav_type type, kav_unpack *u)
{
    kav_pdf p = {.unpack = u};
    (void)type;
    int rc = kav_pdf_bytes_open(&p.bytes, source, 0, u);
    uint64_t base = rc == 0 ? kav_pdf_find(&p.bytes, 0, HEADER, "%PDF-") : KAV_PDF_NONE;
    kav_pdf_bytes_close(&p.bytes);
    if (rc != 0) return rc;
    if (base == KAV_PDF_NONE) return KAV_OPEN_NOT_MINE;
    rc = kav_pdf_bytes_open(&p.bytes, source, base, u);
    if (rc == 0) rc = open_document(&p);
    document_free(&p);
    return rc;
}
