/* Before a layer is matched: is it known?
 *
 * What stands in the reader's window, or in memory, is fingerprinted at once: a miss costs that alone. A longer file
 * would have to be read twice, so that is done only where its beginning is known.
 */
#include "session.h"

static bool take(kav_fingerprint *f, const uint8_t *bytes, uint64_t length, uint8_t *out)
{
    return kav_fingerprint_start(f) == 0 && kav_fingerprint_feed(f, bytes, (size_t)length) == 0 &&
           kav_fingerprint_finish(f, out) == 0;
}

/* Pass all of the layer through the reader, which is rewound for the scan afterwards. */
static bool take_all(kav_session *s, const kav_layer_options *options)
{
    kav_reader *r = &s->reader;
    kav_fingerprint *f = options->fingerprint;
    uint64_t pos = 0;
    if (kav_fingerprint_start(f) != 0) return false;
    while (pos < r->size) {
        if (pos >= r->end) kav_reader_need(r, pos, pos + s->window);
        if (r->shrunk || r->error || r->end <= pos) return false;
        if (kav_fingerprint_feed(f, r->data + (pos - r->base), (size_t)(r->end - pos)) != 0) return false;
        pos = r->end;
        if (options->tick && options->tick(options->tick_context, pos)) return false;
    }
    return kav_fingerprint_finish(f, s->found->fingerprint) == 0;
}

static bool is_known(kav_session *s, const kav_layer_options *options)
{
    kav_layer_found *found = s->found;
    kav_reader *r = &s->reader;
    uint8_t *out = r->end < r->size ? found->beginning : found->fingerprint;
    if (!take(options->fingerprint, r->data, r->end, out)) return false;
    if (r->end < r->size) {
        found->begun = true;
        if (!options->ask(options->ask_context, KAV_BY_BEGINNING, found)) return false;
        if (kav_source_next_hole(r->source, 0) < r->size || !take_all(s, options)) return false; /* never read holes */
        return options->ask(options->ask_context, KAV_BY_CONTENT, found);
    }
    found->fingerprinted = true;
    return options->ask(options->ask_context, KAV_BY_CONTENT, found);
}

bool kav_recall(kav_session *s, const kav_layer_options *options)
{
    kav_layer_found *found = s->found;
    s->fingerprint = NULL;
    /* Of nothing there is nothing to be known, and of what is not all there or not read to its end neither. */
    if (!options->fingerprint || s->reader.size == 0 || s->reader.size < s->layer_size || s->reader.shrunk ||
        s->reader.error || !options->ask(options->ask_context, KAV_BY_TYPE, found))
        return false;
    if (is_known(s, options)) {
        found->size = s->layer_size;
        found->fingerprinted = found->known = true;
        return true;
    }
    if (!found->fingerprinted && kav_fingerprint_start(options->fingerprint) == 0)
        s->fingerprint = options->fingerprint;
    return false;
}
