/* The object cache as the scanner uses it: which layers may be answered from it, what an answer costs, what is learned.
 *
 * Only what was clean, complete and silent is learned: nothing noted inside, nothing lifted by an exception, nothing
 * left closed. So an answer adds no note, and where it could (members that must be named), none is taken.
 */
#include "place.h"
#include "scanner.h"

#include <string.h>

#define SMALL (4u << 10) /* a layer of fewer bytes that nothing opens is matched as fast as it is looked up */

/* What answers depend on besides the layer itself. Where a signature asks what is around, that goes in; where none
 * does, the same content has one answer wherever it lies. */
static void context_of(const kav_known_layer *k, uint8_t context[16])
{
    const kav_object_scanner *s = k->scanner;
    uint8_t formats[2 * KAV_DEPTH_CAP];
    size_t length = 0;
    if (!kav_image_asks_around(s->image)) {
        memcpy(context, s->options.objects_context, 16);
        return;
    }
    for (uint32_t i = 0; i < k->depth; i++) {
        formats[length++] = (uint8_t)(s->around[i].format & 0xff);
        formats[length++] = (uint8_t)(s->around[i].format >> 8);
    }
    kav_siphash_wide(s->options.objects_context, formats, length, context);
}

/* Beginnings and whole contents are keys of different kinds. */
static void key_of(const kav_known_layer *k, enum kav_known_by by, const kav_layer_found *found, uint64_t size,
                   uint8_t key[16])
{
    const kav_object_scanner *s = k->scanner;
    uint8_t context[16];
    context_of(k, context);
    if (by == KAV_BY_BEGINNING) context[0] ^= 0xff;
    kav_objects_key(s->options.objects, context, by == KAV_BY_BEGINNING ? found->beginning : found->fingerprint, size,
                    found->type.format, found->type.target, key);
}

/* Whether the budget that is left would have been enough for scanning it, as it was when this was learned. */
static bool affordable(const kav_known_layer *k, const kav_learned *hit)
{
    const kav_object_scanner *s = k->scanner;
    const kav_budget *b = &s->budget;
    uint64_t unpacked;
    if (b->spent != 0 || __builtin_add_overflow(b->unpacked, hit->unpacked, &unpacked)) return false;
    if (b->limits.max_unpacked != 0 && unpacked > b->limits.max_unpacked) return false;
    uint64_t inside = (uint64_t)hit->members + hit->parts;
    if (inside + b->members + b->parts > b->limits.max_members) return false;
    if (hit->depth == 0) return inside == 0;
    uint32_t deepest = k->depth + hit->depth;
    return deepest <= s->limits.max_depth && deepest <= KAV_DEPTH_CAP &&
           (hit->members == 0 || !(s->limits.switches & KAV_S_ALL_MEMBERS));
}

static bool ask(void *context, enum kav_known_by by, const kav_layer_found *found)
{
    kav_known_layer *k = context;
    kav_learned hit;
    uint8_t key[16];
    uint64_t size = k->source->size;
    bool opened = kav_layers_opens(found->type);
    if (by == KAV_BY_TYPE) return opened || size >= SMALL;
    key_of(k, by, found, size, key);
    if (!kav_objects_find(k->scanner->options.objects, key, opened || size >= KAV_OBJECT_COSTLY, &hit)) return false;
    if (hit.format != found->type.format || hit.target != found->type.target || !affordable(k, &hit)) return false;
    if (by == KAV_BY_CONTENT) k->hit = hit;
    return true;
}

/* Is this layer all that there is to be listed? Pages have forms, which are layers of their own (forms.c). */
static bool is_alone(const kav_learned *hit)
{
    return hit->depth == 0 && !(hit->views & 1u << KAV_T_HTML);
}

/* A layer that an exception could name by digest, or one inside such a layer, has to be looked at itself. */
static bool is_touched(const kav_object_scanner *s, const kav_source *source, uint32_t depth)
{
    if (kav_image_exception_kinds(s->image, source->size) != 0) return true;
    for (uint32_t i = 0; i < depth; i++) {
        const kav_ancestor *a = &s->ancestors[i];
        if (a->digests.have != 0 && kav_image_is_exception(s->image, a->size, &a->digests)) return true;
    }
    return false;
}

void kav_known_begin(kav_object_scanner *s, const kav_source *source, bool view, uint32_t depth, uint32_t known,
                     kav_known_layer *k, kav_layer_options *options)
{
    k->before = s->gist;
    k->scanned = s->budget.scanned;
    k->unpacked = s->budget.unpacked;
    k->members = s->budget.members;
    k->parts = s->budget.parts;
    k->view = view;
    k->depth = depth;
    k->scanner = s;
    k->source = source;
    memset(&s->gist, 0, sizeof s->gist);
    if (view) return; /* not opened, as the same bytes would be that are no view */
    if (s->fingerprint == NULL || s->delta || known != 0 || s->budget.spent != 0) return;
    if (s->limits.switches & KAV_S_ALL_DIGESTS || (depth == 0 && s->limits.switches & KAV_S_DIGEST)) return;
    if (is_touched(s, source, depth)) return;
    options->fingerprint = s->fingerprint;
    options->ask = ask;
    options->ask_context = k;
}

void kav_known_use(kav_known_layer *k, const kav_layer_found *found, kav_outcome *outcome)
{
    kav_object_scanner *s = k->scanner;
    const kav_learned *hit = &k->hit;
    s->known++;
    s->budget.scanned += hit->scanned;
    s->budget.unpacked += hit->unpacked;
    s->budget.members += hit->members;
    s->budget.parts += hit->parts;
    s->gist.views |= hit->views;
    outcome->container = hit->depth > 0 && !(hit->traits & KAV_L_DOCUMENT);
    if (hit->traits & KAV_L_ELSEWHERE) s->gist.flags |= KAV_F_ELSEWHERE;
    if (hit->depth > 0) {
        s->gist.depth = s->gist.tried = (uint16_t)(k->depth + hit->depth);
        if (k->depth == 0 && outcome->container) s->gist.flags |= KAV_F_CONTAINER;
    }
    if (is_alone(hit)) kav_listing_layer(&s->listing, found->size, found->type.target, &found->digests);
    else kav_listing_gap(&s->listing); /* what lies in it is not known one by one */
    if (k->depth == 0) s->gist.flags |= KAV_F_CACHED;
    kav_layers_tick(s, 0);
}

static bool is_worth_it(const kav_known_layer *k, const kav_layer_found *found, const kav_outcome *outcome)
{
    const kav_object_scanner *s = k->scanner;
    const kav_gist *g = &s->gist;
    return s->fingerprint != NULL && !k->view && found->fingerprinted && !found->known &&
           outcome->status == KAV_CLEAN && outcome->reasons == 0 && s->budget.spent == 0 && g->notes == 0 &&
           g->depth == g->tried && !(g->flags & (KAV_F_SUPPRESSED | KAV_F_UNOPENED));
}

static void learn(const kav_known_layer *k, const kav_layer_found *found, bool container)
{
    kav_object_scanner *s = k->scanner;
    kav_learned learned = {.scanned = s->budget.scanned - k->scanned,
                           .unpacked = s->budget.unpacked - k->unpacked,
                           .members = s->budget.members - k->members,
                           .format = found->type.format,
                           .views = s->gist.views,
                           .depth = (uint8_t)(s->gist.depth > k->depth ? s->gist.depth - k->depth : 0),
                           .target = found->type.target,
                           .reread = k->depth == 0 && k->source->memory == NULL,
                           .traits = (uint8_t)((s->gist.depth > k->depth && !container ? KAV_L_DOCUMENT : 0) |
                                               (s->gist.flags & KAV_F_ELSEWHERE ? KAV_L_ELSEWHERE : 0)),
                           .parts = s->budget.parts - k->parts};
    key_of(k, KAV_BY_CONTENT, found, k->source->size, learned.key);
    kav_listing_learn(&s->listing, &learned, k->depth == 0);
    if (!found->begun) return;
    key_of(k, KAV_BY_BEGINNING, found, k->source->size, learned.key);
    kav_listing_learn(&s->listing, &learned, k->depth == 0);
}

void kav_known_end(kav_known_layer *k, const kav_layer_found *found, const kav_outcome *outcome)
{
    kav_gist *g = &k->scanner->gist;
    if (is_worth_it(k, found, outcome)) learn(k, found, outcome->container);
    g->flags |= k->before.flags;
    g->views |= k->before.views;
    g->notes += k->before.notes;
    if (g->depth < k->before.depth) g->depth = k->before.depth;
    if (g->tried < k->before.tried) g->tried = k->before.tried;
}
