/* Sections: signatures that are digests of a part of a PE: of one section, or of its import table.
 *
 * A section is read only when its size stands in a table, so that nearly all files cost nothing. Sections may overlap
 * as a hostile file likes; the clock ends that.
 */
#include "session.h"

#include <stdlib.h>

#define PIECE (128u << 10) /* bytes of a section that are read at once */
#define HITS  64           /* most signatures of one database that name the same digest */

/* Two sections may be alike. */
static bool is_known(const kav_session *s, uint32_t database, uint32_t line)
{
    for (uint32_t i = 0; i < KAV_COUNT(s->truths, kav_true); i++) {
        const kav_true *t = KAV_ITEM(s->truths, const kav_true, i);
        if (t->database == database && t->line == line) return true;
    }
    return false;
}

/* Note what the tables have under a size and digests. */
static void look_up(kav_session *s, const kav_image_set *sets, uint32_t count, uint64_t size,
                    const kav_digests *digests)
{
    for (uint32_t i = 0; i < count; i++) {
        kav_hashset_hit hits[HITS];
        size_t found = kav_hashset_find(&sets[i].set, size, digests, hits, HITS);
        for (size_t k = 0; k < found && k < HITS; k++) {
            if (is_known(s, sets[i].database, hits[k].line)) continue;
            kav_conclude_add(s, (kav_true){(const uint8_t *)hits[k].name, hits[k].name_len, sets[i].database,
                                           hits[k].line, UINT64_MAX, sets[i].official});
        }
    }
}

static uint32_t kinds_of(const kav_image_set *sets, uint32_t count, uint64_t size)
{
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < count; i++) kinds |= kav_hashset_kinds(&sets[i].set, size);
    return kinds;
}

/* 0, or why the digests are not there. */
static uint32_t digest_section(kav_session *s, const kav_section *section, uint32_t kinds, uint8_t *buffer,
                               const kav_layer_options *options, kav_digests *out)
{
    if (kav_digest_start(s->digest, kinds) != 0) return KAV_R_MEMORY;
    for (uint64_t done = 0; done < section->raw_size;) {
        uint64_t left = section->raw_size - done;
        size_t want = left < PIECE ? (size_t)left : PIECE;
        ssize_t n = kav_source_read(s->reader.source, section->raw + done, buffer, want);
        if (n < 0) return KAV_R_UNREADABLE;
        if (n == 0) return KAV_R_CHANGED;
        if (kav_digest_feed(s->digest, buffer, (size_t)n) != 0) return KAV_R_MEMORY;
        done += (uint64_t)n;
        uint32_t late = options->tick ? options->tick(options->tick_context, s->found->size) : 0;
        if (late) return late;
    }
    return kav_digest_finish(s->digest, out) == 0 ? 0 : KAV_R_MEMORY;
}

static uint32_t find_sections(kav_session *s, const kav_exe *exe, const kav_layer_options *options)
{
    const kav_image *m = s->image;
    const kav_section *last = NULL;
    uint8_t *buffer = NULL;
    uint32_t reasons = 0;
    for (uint32_t i = 0; i < exe->section_count && !reasons; i++) {
        const kav_section *section = &exe->sections[i];
        uint64_t size = section->raw_size, room = s->reader.size;
        uint32_t kinds = size ? kinds_of(m->sections, m->section_count, size) : 0;
        if (!kinds || section->raw > room || size > room - section->raw) continue; /* behind the limit: said already */
        if (last && last->raw == section->raw && last->raw_size == size) continue;
        if (!buffer && !(buffer = malloc(PIECE))) return KAV_R_MEMORY;
        kav_digests digests = {.have = 0};
        reasons = digest_section(s, section, kinds, buffer, options, &digests);
        if (!reasons) look_up(s, m->sections, m->section_count, size, &digests);
        last = section;
    }
    free(buffer);
    return reasons;
}

static uint32_t find_imports(kav_session *s, const kav_exe *exe)
{
    const kav_image *m = s->image;
    kav_digests digests = {.have = 0};
    uint32_t size;
    if (kav_digest_start(s->digest, KAV_D_MD5 | KAV_D_SHA1 | KAV_D_SHA256) != 0) return KAV_R_MEMORY;
    switch (kav_exe_imports(exe, s->reader.source, s->digest, &size)) {
    case KAV_IMPORTS_NONE: return 0;
    case KAV_IMPORTS_MANY: return KAV_R_MATCH;
    default: break;
    }
    if (kav_digest_finish(s->digest, &digests) != 0) return KAV_R_MEMORY;
    look_up(s, m->imports, m->import_count, size, &digests);
    return 0;
}

uint32_t kav_sections_find(kav_session *s, const kav_layer_options *options)
{
    const kav_image *m = s->image;
    if (s->target != KAV_T_PE || s->found->reasons & ~(uint32_t)(KAV_R_MATCH | KAV_R_SIZE)) return 0;
    if (!m->section_count && !m->import_count) return 0;
    const kav_exe *exe = kav_session_exe(s);
    uint32_t reasons = 0;
    if (exe->valid && m->section_count) reasons |= find_sections(s, exe, options);
    if (exe->valid && m->import_count && !(reasons & KAV_R_TIME)) reasons |= find_imports(s, exe);
    return reasons;
}
