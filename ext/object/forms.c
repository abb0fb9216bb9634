#include "scanner.h"
#include "views.h"

enum { FORM_MAX = 21 << 20 }; /* a little more than kav_views_text keeps of one */

typedef struct {
    kav_object_scanner *scanner;
    uint32_t depth;
    kav_noted *noted;
    kav_outcome *outcome;
    kav_stored kept; /* a form, while it is made */
    bool keeps;
} forms;

static int on_tick(void *context)
{
    forms *f = context;
    uint32_t late = kav_layers_tick(f->scanner, 0);
    f->outcome->reasons |= late;
    return late != 0;
}

static uint32_t layer_tick(void *context, uint64_t bytes)
{
    (void)bytes;
    return kav_layers_tick(context, 0);
}

/* What is found in a form is found in the layer. */
static int match_form(forms *f, kav_type type, const kav_source *source)
{
    kav_object_scanner *s = f->scanner;
    kav_layer_found found;
    kav_layer_options options = {.switches = s->limits.switches,
                                 .type = &type,
                                 .view = true,
                                 .plain = type.format == KAV_FMT_TEXT, /* plain.h has made it */
                                 .around = f->scanner->around,
                                 .around_count = f->depth,
                                 .tick = layer_tick,
                                 .tick_context = s};
    bool listed = type.target != KAV_T_TEXT;
    if (listed && s->limits.switches & KAV_S_ALL_DIGESTS) options.digests = KAV_D_MD5 | KAV_D_SHA1 | KAV_D_SHA256;
    s->gist.views |= (uint16_t)(1u << type.target);
    if (kav_layer_scan(s->session, source, &options, &found) != 0) {
        f->outcome->reasons |= KAV_R_MEMORY;
        return 1;
    }
    f->outcome->reasons |= found.reasons;
    if (listed && found.size == source->size) kav_listing_layer(&s->listing, source->size, type.target, &found.digests);
    kav_layers_note_hits(s, &found, true, f->depth, f->noted, f->outcome);
    return found.reasons & KAV_R_TIME || (f->noted->count && !(s->limits.switches & KAV_S_ALL_MATCH));
}

static int on_view(void *context, kav_type type, const uint8_t *bytes, size_t len)
{
    const kav_source source = {.memory = bytes, .fd = -1, .base = 0, .size = len};
    return match_form(context, type, &source);
}

/* A large form lies where members do: no member is unpacked meanwhile. */
static int on_keep(void *context, const uint8_t *bytes, size_t len)
{
    forms *f = context;
    kav_store *store = &f->scanner->store;
    if (!f->keeps) {
        if (kav_store_room(store) < FORM_MAX) return 1;
        f->kept = kav_store_begin(store);
        f->keeps = true;
    }
    return kav_store_append(store, &f->kept, bytes, len);
}

static void give_up(forms *f)
{
    if (f->keeps) kav_store_release(&f->scanner->store, &f->kept);
    f->keeps = false;
}

static int on_view_kept(void *context, kav_type type)
{
    forms *f = context;
    const kav_source source = kav_store_source(&f->scanner->store, &f->kept);
    int rc = match_form(f, type, &source);
    give_up(f);
    return rc;
}

bool kav_forms_scan(kav_object_scanner *s, const kav_source *source, const kav_layer_found *found, uint32_t depth,
                    kav_noted *noted, kav_outcome *outcome)
{
    forms f = {.scanner = s, .depth = depth, .noted = noted, .outcome = outcome};
    const kav_views views = {
        .view = on_view, .tick = on_tick, .context = &f, .keep = on_keep, .view_kept = on_view_kept};
    kav_source seen = *source;
    bool page = found->type.target == KAV_T_HTML, inline_data = false;
    if (found->size < seen.size) seen.size = found->size;
    if (noted->count && !(s->limits.switches & KAV_S_ALL_MATCH)) return false;
    if (!page && found->type.format != KAV_FMT_UNKNOWN && seen.size > KAV_TYPE_HEAD)
        page = kav_views_late_page(&seen, &views);
    int rc = page ? kav_views_page(&seen, &views, &inline_data) : kav_views_text(&seen, &views);
    if (rc != 0) outcome->reasons |= KAV_R_MEMORY;
    give_up(&f);
    return inline_data;
}
