#include "layer.h"
#include "listed.h"
#include "session.h"

#include <errno.h>
#include <string.h>

uint32_t kav_layer_kinds(const kav_session *s, uint64_t size)
{
    const kav_image *m = s->image;
    uint32_t kinds = kav_image_exception_kinds(m, size);
    for (uint32_t i = 0; i < m->hash_count; i++) kinds |= kav_hashset_kinds(&m->hashes[i].set, size);
    return kinds;
}

/* Which signatures are looked for besides those for any. Those for texts and pages are made for their normal forms,
 * which are layers of their own (views); only a page that begins as one is matched as it is, too. */
static uint8_t matched_as(kav_type type, bool view, const uint8_t *head, size_t length)
{
    if (type.target >= KAV_TARGET_COUNT) return KAV_T_ANY;
    if (view) return type.target;
    if (type.target == KAV_T_HTML && kav_type_page(head, length) == KAV_PAGE_NEAR) return KAV_T_HTML;
    return type.target == KAV_T_TEXT || type.target == KAV_T_HTML ? KAV_T_ANY : type.target;
}

/* Read the beginning, say what it is. */
static void detect(kav_session *s, uint64_t size, const kav_layer_options *options)
{
    kav_reader *r = &s->reader;
    uint64_t head = (uint64_t)s->window + s->image->ahead;
    kav_reader_need(r, 0, head > KAV_TYPE_HEAD ? head : KAV_TYPE_HEAD);
    size_t length = r->end < KAV_TYPE_HEAD ? (size_t)r->end : KAV_TYPE_HEAD;
    s->found->type = options->type ? *options->type
                                   : kav_listed_type(s->image, r->data, length, kav_type_detect(r->data, length, size));
    s->target = matched_as(s->found->type, options->view, r->data, length);
}

static uint32_t why_short(const kav_session *s, const kav_source *source, uint64_t wanted)
{
    const kav_reader *r = &s->reader;
    uint32_t reasons = 0;
    if (r->error) reasons |= KAV_R_UNREADABLE;
    else if (r->shrunk || r->size < wanted) reasons |= KAV_R_CHANGED;
    if (wanted < source->size) reasons |= KAV_R_SIZE;
    return reasons;
}

static void finish_digests(kav_session *s, uint32_t needed, uint32_t wanted)
{
    kav_layer_found *found = s->found;
    const kav_digests *given = s->options->given;
    uint32_t known = given ? wanted & given->have : 0;
    bool whole = !(found->reasons & ~(uint32_t)(KAV_R_CHANGED | KAV_R_MATCH));
    if (!wanted) return;
    if (whole && (known == wanted || (s->kinds && kav_digest_finish(s->digest, &found->digests) == 0))) {
        if (known) memcpy(found->digests.md5, given->md5, sizeof given->md5);
        found->digests.have |= known;
        return;
    }
    found->digests.have = 0;
    /* A signature by digest could not be asked. Where the layer is cut short, that is said already. */
    if (whole && needed) found->reasons |= KAV_R_MATCH;
}

int kav_layer_scan(kav_session *s, const kav_source *source, const kav_layer_options *options, kav_layer_found *found)
{
    kav_reader *r = &s->reader;
    uint64_t size = options->limit && options->limit < source->size ? options->limit : source->size;
    kav_session_reset(s);
    memset(found, 0, sizeof *found);
    s->found = found;
    s->options = options;
    s->layer_size = source->size;
    s->around = options->around;
    s->around_count = options->around_count;
    kav_reader_start(r, source, size);
    detect(s, source->size, options);
    if (kav_recall(s, options)) return 0;
    /* ClamAV digests the forms of a page, but not that of a text. */
    bool hashed = !(options->view && s->target == KAV_T_TEXT);
    uint32_t needed = hashed ? kav_layer_kinds(s, r->size) : 0;
    uint32_t wanted = options->digests | needed;
    uint32_t fed = options->given ? wanted & ~options->given->have : wanted;
    s->kinds = fed && kav_digest_start(s->digest, fed) == 0 ? fed : 0;
    uint32_t met = kav_scan_pass(s, false, options); /* which may add to found->reasons itself */
    found->reasons |= met;
    uint32_t stop = ~(uint32_t)KAV_R_MATCH;
    met = 0;
    if (r->size && !(found->reasons & stop) && kav_waiting_needs_pass(s, &met)) met |= kav_scan_pass(s, true, options);
    found->reasons |= met;
    found->reasons |= why_short(s, source, size);
    found->error = r->error;
    finish_digests(s, needed, wanted);
    found->reasons |= kav_sections_find(s, options);
    if (s->fingerprint && !found->reasons)
        found->fingerprinted = kav_fingerprint_finish(s->fingerprint, found->fingerprint) == 0;
    bool concluded = kav_conclude(s, options);
    if (found->reasons) found->fingerprinted = false; /* a probe was given up: this is not all about it */
    return concluded ? 0 : -ENOMEM;
}
