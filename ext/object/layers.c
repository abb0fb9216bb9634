#include "scanner.h"
#include "sfx.h"

#include <errno.h>
#include <string.h>

typedef struct {
    uint16_t format;
    uint32_t switches; /* enum kav_switch: what lets it be opened; 0 = always */
    kav_opener open;
} opening;

static const opening OPENINGS[] = {
    {KAV_FMT_ZIP, KAV_S_ARCHIVES, kav_open_zip},          {KAV_FMT_TAR, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_CPIO, KAV_S_ARCHIVES, kav_open_archive},     {KAV_FMT_AR, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_7Z, KAV_S_ARCHIVES, kav_open_archive},       {KAV_FMT_RAR, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_CAB, KAV_S_ARCHIVES, kav_open_archive},      {KAV_FMT_LHA, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_ISO, KAV_S_ARCHIVES, kav_open_archive},      {KAV_FMT_XAR, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_WARC, KAV_S_ARCHIVES, kav_open_warc},        {KAV_FMT_RPM, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_GZIP, KAV_S_ARCHIVES, kav_open_gzip},        {KAV_FMT_BZIP2, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_XZ, KAV_S_ARCHIVES, kav_open_archive},       {KAV_FMT_LZMA, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_ZSTD, KAV_S_ARCHIVES, kav_open_archive},     {KAV_FMT_LZ4, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_COMPRESS, KAV_S_ARCHIVES, kav_open_archive}, {KAV_FMT_UU, KAV_S_ARCHIVES, kav_open_uu},
    {KAV_FMT_LZIP, KAV_S_ARCHIVES, kav_open_archive},     {KAV_FMT_LZOP, KAV_S_ARCHIVES, kav_open_archive},
    {KAV_FMT_OOXML_WORD, KAV_S_ARCHIVES, kav_open_zip},   {KAV_FMT_OOXML_PPT, KAV_S_ARCHIVES, kav_open_zip},
    {KAV_FMT_OOXML_XL, KAV_S_ARCHIVES, kav_open_zip},     {KAV_FMT_MAIL, KAV_S_MAILPLAIN, kav_open_mail},
    {KAV_FMT_MBOX, KAV_S_MAILBASES, kav_open_mbox},       {KAV_FMT_TNEF, KAV_S_MAILPLAIN, kav_open_tnef},
};

/* Every format that is not in the list may have an archive riding behind it: programs, scripts, pictures. */
static const opening RIDING = {KAV_FMT_UNKNOWN, KAV_S_SFX, kav_open_sfx};

/* A page, whatever its format is called, with data in its own text. */
static const opening IN_PAGES = {KAV_FMT_UNKNOWN, 0, kav_open_inline_data};

/* Formats that have parts and views inside (KAV_M_PART, KAV_M_VIEW), which make no container of them. A format may
 * stand here more than once, and above besides. */
static const opening DOCUMENTS[] = {
    {KAV_FMT_OLE2, 0, kav_open_ole}, {KAV_FMT_RTF, 0, kav_open_rtf},     {KAV_FMT_MACHO_FAT, 0, kav_open_fat},
    {KAV_FMT_PDF, 0, kav_open_pdf},  {KAV_FMT_FLASH, 0, kav_open_flash}, {KAV_FMT_ONENOTE, 0, kav_open_onenote},
};

bool kav_layers_opens(kav_type type)
{
    for (size_t i = 0; i < sizeof OPENINGS / sizeof OPENINGS[0]; i++)
        if (OPENINGS[i].format == type.format) return true;
    for (size_t i = 0; i < sizeof DOCUMENTS / sizeof DOCUMENTS[0]; i++)
        if (DOCUMENTS[i].format == type.format) return true;
    return false;
}

uint32_t kav_layers_tick(kav_object_scanner *s, uint64_t bytes_in_layer)
{
    uint64_t bytes = s->earlier + s->budget.scanned + s->budget.unpacked + bytes_in_layer;
    s->sinks->progress(s->sinks->context, bytes);
    return kav_budget_tick(&s->budget);
}

static uint32_t layer_tick(void *context, uint64_t bytes)
{
    return kav_layers_tick(context, bytes);
}

void kav_layers_note(kav_object_scanner *s, kav_note *note, const char *name, uint32_t name_len)
{
    size_t member_len;
    const char *member = kav_member_path_show(&s->path, &member_len);
    note->name_len = name_len;
    note->member_len = (uint32_t)member_len;
    s->gist.notes++;
    if (s->sinks->note(s->sinks->context, note, name, member) != 0) s->budget.spent |= KAV_R_MEMORY;
}

bool kav_layers_excepted(const kav_object_scanner *s, uint32_t depth)
{
    for (uint32_t i = 0; i <= depth; i++) {
        const kav_ancestor *a = &s->ancestors[i];
        if (a->digests.have != 0 && kav_image_is_exception(s->image, a->size, &a->digests)) return true;
    }
    return false;
}

static bool begins_with(const char *name, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return len >= n && memcmp(name, prefix, n) == 0;
}

uint8_t kav_layers_status(const char *name, size_t len)
{
    if (begins_with(name, len, "PUA.")) return KAV_WARNING;
    if (begins_with(name, len, "Heuristics.")) return KAV_SUSPICIOUS;
    return KAV_INFECTED;
}

/* True when the hit was not noted before; it is now. */
static bool is_news(kav_noted *noted, const kav_hit *hit)
{
    for (uint32_t i = 0; i < noted->count; i++)
        if (noted->hits[i].database == hit->database && noted->hits[i].line == hit->line) return false;
    if (noted->count == sizeof noted->hits / sizeof noted->hits[0]) return true;
    noted->hits[noted->count].database = hit->database;
    noted->hits[noted->count++].line = hit->line;
    return true;
}

void kav_layers_note_hits(kav_object_scanner *s, const kav_layer_found *found, bool view, uint32_t depth,
                          kav_noted *noted, kav_outcome *outcome)
{
    if (found->suppressed) s->gist.flags |= KAV_F_SUPPRESSED;
    if (found->hit_count == 0) return;
    if (kav_layers_excepted(s, depth)) {
        s->gist.flags |= KAV_F_SUPPRESSED;
        return;
    }
    for (size_t i = 0; i < found->hit_count; i++) {
        const kav_hit *hit = &found->hits[i];
        if (!is_news(noted, hit)) continue;
        kav_note note = {.offset = view ? UINT64_MAX : hit->offset, /* a place in a view is none in the layer */
                         .size = noted->size,
                         .reasons = outcome->reasons,
                         .status = kav_layers_status(hit->name, hit->name_len),
                         .engine = KAV_ENGINE_NATIVE};
        outcome->status = kav_graver(outcome->status, note.status);
        kav_layers_note(s, &note, hit->name, hit->name_len);
    }
}

/* Open a layer in one way, when everything allows it. False: it was none such, or it stays closed. */
static bool open_as(kav_object_scanner *s, const kav_source *source, kav_type type, const opening *o, bool document,
                    uint32_t depth, kav_outcome *outcome)
{
    if (o->switches != 0 && !(s->limits.switches & o->switches)) {
        s->gist.flags |= KAV_F_UNOPENED;
        return false;
    }
    if (depth >= s->limits.max_depth || depth >= KAV_DEPTH_CAP) {
        outcome->reasons |= KAV_R_DEPTH;
        return false;
    }
    if (s->gist.tried <= depth) s->gist.tried = (uint16_t)(depth + 1);
    kav_unpack u;
    kav_unpack_init(&u, s, depth + 1);
    int rc = o->open(source, type, &u);
    if (u.begun) kav_unpack_end(&u, KAV_R_DAMAGED);
    if (rc == -ENOMEM) u.container.reasons |= KAV_R_MEMORY;
    if (rc == KAV_OPEN_NOT_MINE) return false;
    if (s->gist.depth <= depth) s->gist.depth = (uint16_t)(depth + 1);
    outcome->reasons |= u.container.reasons;
    outcome->status = kav_graver(outcome->status, u.container.status);
    if (document) return true;
    outcome->container = true;
    if (depth == 0) s->gist.flags |= KAV_F_CONTAINER;
    return true;
}

/* Open a layer in every way that its format knows. */
static void open_layer(kav_object_scanner *s, const kav_source *source, kav_type type, bool inline_data, bool span,
                       uint32_t depth, kav_outcome *outcome)
{
    bool archive = false;
    for (size_t i = 0; i < sizeof OPENINGS / sizeof OPENINGS[0]; i++) {
        if (OPENINGS[i].format != type.format) continue;
        archive = true;
        open_as(s, source, type, &OPENINGS[i], false, depth, outcome);
    }
    for (size_t i = 0; i < sizeof DOCUMENTS / sizeof DOCUMENTS[0]; i++)
        if (DOCUMENTS[i].format == type.format) open_as(s, source, type, &DOCUMENTS[i], true, depth, outcome);
    if (inline_data) open_as(s, source, type, &IN_PAGES, true, depth, outcome);
    if (!archive && !span && kav_sfx_present(source)) open_as(s, source, type, &RIDING, false, depth, outcome);
}

/* What was matched is seen, and remembered as such. */
static void list_layer(kav_object_scanner *s, const kav_source *source, const kav_layer_found *found, uint32_t depth)
{
    kav_ancestor *self = &s->ancestors[depth];
    self->size = source->size;
    self->digests = found->digests;
    s->around[depth] = found->type;
    if (found->size != source->size) self->digests.have = 0; /* digests of a part are nobody's exception */
    s->gist.views |= (uint16_t)(1u << found->type.target);
    if (found->size != source->size) kav_listing_gap(&s->listing);
    else kav_listing_layer(&s->listing, source->size, found->type.target, &found->digests);
}

/* A zip behind something else is opened with that already. */
static bool is_opened(const kav_object_scanner *s, const kav_source *source, kav_type type, uint32_t depth)
{
    return type.format == KAV_FMT_ZIP && s->limits.switches & KAV_S_SFX && !kav_layers_opens(s->around[depth - 1]) &&
           kav_sfx_present(source);
}

/* A signature says that the layer is of another type besides: match and open it as such. What is found is found in the
 * layer itself. */
static void scan_again(kav_object_scanner *s, const kav_source *source, kav_type type, kav_noted *noted, uint32_t depth,
                       kav_outcome *outcome)
{
    kav_layer_found found;
    kav_outcome inner;
    if (s->delta) s->gist.flags |= KAV_F_SUPPRESSED; /* other signatures than the new ones have a word in this */
    if (depth >= s->limits.max_depth || depth >= KAV_DEPTH_CAP) {
        outcome->reasons |= KAV_R_DEPTH;
        return;
    }
    uint32_t spent = kav_budget_member(&s->budget, true);
    outcome->reasons |= spent;
    if (spent) return;
    if (s->gist.tried <= depth) s->gist.tried = (uint16_t)(depth + 1);
    if (s->gist.depth <= depth) s->gist.depth = (uint16_t)(depth + 1);
    kav_layers_scan(s, source, (kav_manner){.type = &type, .span = true, .again = noted}, depth + 1, 0, &found, &inner);
    outcome->reasons |= inner.reasons;
    outcome->status = kav_graver(outcome->status, inner.status);
    outcome->container |= inner.container;
}

static void open_and_judge(kav_object_scanner *s, const kav_source *source, kav_manner manner, const kav_seek *seek,
                           uint32_t depth, kav_layer_found *found, kav_outcome *outcome)
{
    bool view = manner.view;
    s->budget.scanned += found->size;
    outcome->reasons |= found->reasons;
    list_layer(s, source, found, depth);
    enum kav_signed is_signed = view ? KAV_SIGNED_NOT : kav_signed_judge(s, source, found, depth, outcome);
    if (is_signed == KAV_SIGNED_TRUSTED) {
        s->gist.flags |= KAV_F_SUPPRESSED; /* it may be trusted until a certain day: nothing to be remembered */
        outcome->status = kav_graver(outcome->status, kav_status_of_reasons(outcome->reasons));
        return;
    }
    if (found->elsewhere || kav_layer_is_foreign(source, found->type)) s->gist.flags |= KAV_F_ELSEWHERE;
    kav_noted own = {.size = found->size}, *noted = manner.again ? manner.again : &own;
    if (is_signed == KAV_SIGNED_NOT) kav_layers_note_hits(s, found, view, depth, noted, outcome);
    found->hits = NULL; /* the session's; gone with the first member */
    found->hit_count = 0;
    bool inline_data = false;
    if (!view && (found->type.target == KAV_T_TEXT || found->type.target == KAV_T_HTML) &&
        !(found->reasons & (KAV_R_TIME | KAV_R_UNREADABLE)))
        inline_data = kav_forms_scan(s, source, found, depth, noted, outcome);
    /* Of a file over its limit only the beginning is looked at, and that is no container any more. */
    if (!view && !(found->reasons & (KAV_R_TIME | KAV_R_UNREADABLE | KAV_R_SIZE))) {
        if (!manner.again || !is_opened(s, source, found->type, depth))
            open_layer(s, source, found->type, inline_data, manner.span, depth, outcome);
        kav_embedded_scan(s, source, found->type, seek, depth, outcome);
        if (found->handled) scan_again(s, source, found->handler, noted, depth, outcome);
    }
    outcome->status = kav_graver(outcome->status, kav_status_of_reasons(outcome->reasons));
}

static uint32_t wanted_digests(const kav_object_scanner *s, const kav_source *source, uint32_t depth)
{
    if (s->limits.switches & KAV_S_ALL_DIGESTS) return KAV_D_MD5 | KAV_D_SHA1 | KAV_D_SHA256;
    uint32_t kinds = kav_image_exception_kinds(s->image, source->size);
    return depth == 0 && s->limits.switches & KAV_S_DIGEST ? kinds | KAV_D_SHA256 : kinds;
}

void kav_layers_scan(kav_object_scanner *s, const kav_source *source, kav_manner manner, uint32_t depth, uint32_t known,
                     kav_layer_found *found, kav_outcome *outcome)
{
    kav_layer_options options = {.switches = s->limits.switches,
                                 .digests = wanted_digests(s, source, depth),
                                 .given = depth == 0 ? s->given : NULL,
                                 .limit = depth == 0 ? s->limits.max_file_size : 0,
                                 .type = manner.type,
                                 .view = manner.view,
                                 .again = manner.again != NULL,
                                 .around = s->around,
                                 .around_count = manner.view && depth ? depth - 1 : depth,
                                 .tick = layer_tick,
                                 .tick_context = s};
    kav_known_layer layer;
    kav_seek seek;
    memset(seek.count, 0, sizeof seek.count);
    memset(seek.more, 0, sizeof seek.more);
    if (!manner.view && !manner.span) options.seek = &seek;
    *outcome = (kav_outcome){.reasons = known, .status = KAV_CLEAN, .container = false};
    kav_known_begin(s, source, manner.view || manner.span, depth, known, &layer, &options);
    if (kav_layer_scan(s->session, source, &options, found) != 0) {
        memset(found, 0, sizeof *found);
        kav_listing_gap(&s->listing);
        outcome->reasons |= KAV_R_MEMORY;
        outcome->status = kav_status_of_reasons(outcome->reasons);
    } else if (found->known) {
        kav_known_use(&layer, found, outcome);
    } else {
        open_and_judge(s, source, manner, &seek, depth, found, outcome);
    }
    kav_known_end(&layer, found, outcome);
}
