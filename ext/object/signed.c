/* Signed: programs with a signature (authenticode.h) and what rules for certificates make of them. */
#include "authenticode.h"
#include "exe.h"
#include "numbers.h"
#include "scanner.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DIRECTORY = 4,     /* of certificates: the only one whose address is a place in the file */
    HEADER = 8,        /* of a certificate: length, revision, kind */
    REVISION = 0x0200, /* the second one */
    PKCS7 = 2,
    FILE_HEADER = 24,
    CHECKSUM = 64, /* in the optional header */
    OPTIONAL_32 = 96,
    OPTIONAL_64 = 112,
    PIECE = 64 << 10,
    SIGNATURE_MAX = 4 << 20
};

/* Where in the file the signature lies, and what is not signed. */
typedef struct {
    uint64_t checksum, directory; /* 4 and 8 bytes */
    uint64_t table, size;
} places;

typedef struct {
    kav_object_scanner *scanner;
    const kav_source *source;
    places at;
    uint32_t depth;
    kav_noted noted;
    kav_outcome *outcome;
} program;

static bool find_table(const kav_source *source, kav_type type, places *p)
{
    uint8_t header[HEADER];
    kav_exe exe;
    if (kav_exe_read(&exe, source, type) != 0) return false;
    uint64_t optional = exe.header + FILE_HEADER;
    bool good = exe.valid;
    p->checksum = optional + CHECKSUM;
    p->directory = optional + (exe.wide ? OPTIONAL_64 : OPTIONAL_32) + DIRECTORY * sizeof(kav_exe_directory);
    p->table = exe.directories[DIRECTORY].rva;
    p->size = exe.directories[DIRECTORY].size;
    good = good && p->directory + sizeof(kav_exe_directory) <= exe.header_size;
    kav_exe_free(&exe);
    if (!good || p->size < HEADER || p->table + p->size != source->size) return false; /* it is the end of the file */
    if (p->directory + sizeof(kav_exe_directory) > p->table) return false;
    if (kav_source_read(source, p->table, header, sizeof header) != sizeof header) return false;
    return kav_le16(header + 4) == REVISION && kav_le16(header + 6) == PKCS7;
}

static bool feed_span(program *p, kav_hasher *hasher, uint64_t from, uint64_t to, uint8_t *buffer)
{
    while (from < to) {
        size_t want = to - from < PIECE ? (size_t)(to - from) : PIECE;
        ssize_t n = kav_source_read(p->source, from, buffer, want);
        if (n <= 0) p->outcome->reasons |= n < 0 ? KAV_R_UNREADABLE : KAV_R_CHANGED;
        if (n <= 0 || !kav_hasher_feed(hasher, buffer, (size_t)n)) return false;
        from += (uint64_t)n;
        uint32_t late = kav_layers_tick(p->scanner, from);
        p->outcome->reasons |= late;
        if (late) return false;
    }
    return true;
}

/* All but the checksum, the entry of the table and the table. */
static bool feed(void *context, kav_hasher *hasher)
{
    program *p = context;
    const places *at = &p->at;
    uint8_t *buffer = malloc(PIECE);
    if (!buffer) p->outcome->reasons |= KAV_R_MEMORY;
    bool good = buffer && feed_span(p, hasher, 0, at->checksum, buffer) &&
                feed_span(p, hasher, at->checksum + 4, at->directory, buffer) &&
                feed_span(p, hasher, at->directory + sizeof(kav_exe_directory), at->table, buffer);
    free(buffer);
    return good;
}

static void on_blocked(void *context, const kav_trust_rule *rule)
{
    program *p = context;
    const kav_hit hit = {rule->name, rule->name_len, UINT32_MAX - rule->part, rule->line, UINT64_MAX};
    const kav_layer_found found = {.hits = &hit, .hit_count = 1};
    bool all = p->scanner->limits.switches & KAV_S_ALL_MATCH;
    if (all || p->noted.count == 0) kav_layers_note_hits(p->scanner, &found, true, p->depth, &p->noted, p->outcome);
}

/* Read as much as the signature says that it has, and judge it. */
static bool judge(program *p, const kav_authenticode *a)
{
    uint64_t at = p->at.table + HEADER, size = p->at.size - HEADER;
    uint8_t head[6], tag;
    ssize_t n = kav_source_read(p->source, at, head, size < sizeof head ? (size_t)size : sizeof head);
    if (n < 2) return false;
    /* Its length may be told by what stands in front. */
    size_t count = head[1] & 0x80 ? head[1] & 0x7f : 0;
    if (count > 4 || (size_t)n < 2 + count) return false;
    uint64_t length = count ? 0 : head[1];
    for (size_t i = 0; i < count; i++) length = length << 8 | head[2 + i];
    length += 2 + count;
    tag = head[0];
    if (tag != KAV_DER_SEQUENCE || length > size) return false;
    if (length > SIGNATURE_MAX) {
        p->outcome->reasons |= KAV_R_MATCH;
        return false;
    }
    uint8_t *bytes = malloc((size_t)length);
    bool trusted = false;
    if (!bytes) p->outcome->reasons |= KAV_R_MEMORY;
    else if (kav_source_read(p->source, at, bytes, (size_t)length) == (ssize_t)length)
        trusted = kav_authenticode_judge(a, bytes, (size_t)length);
    free(bytes);
    return trusted;
}

enum kav_signed kav_signed_judge(kav_object_scanner *s, const kav_source *source, const kav_layer_found *found,
                                 uint32_t depth, kav_outcome *outcome)
{
    const uint32_t short_of = KAV_R_TIME | KAV_R_UNREADABLE | KAV_R_SIZE | KAV_R_CHANGED;
    program p = {.scanner = s, .source = source, .depth = depth, .noted = {.size = found->size}, .outcome = outcome};
    uint32_t count = found->type.target == KAV_T_PE ? kav_image_trust_count(s->image) : 0;
    if (count == 0 || s->limits.switches & KAV_S_NO_CERTIFICATES || found->reasons & short_of) return KAV_SIGNED_NOT;
    if (!find_table(source, found->type, &p.at)) return KAV_SIGNED_NOT;
    kav_trust_rule *rules = calloc(count, sizeof *rules);
    if (!rules) {
        outcome->reasons |= KAV_R_MEMORY;
        return KAV_SIGNED_NOT;
    }
    const kav_authenticode a = {rules, kav_image_trust_rules(s->image, rules), time(NULL), on_blocked, feed, &p};
    bool trusted = judge(&p, &a);
    free(rules);
    if (p.noted.count && !(s->limits.switches & KAV_S_ALL_MATCH)) return KAV_SIGNED_BLOCKED;
    return trusted ? KAV_SIGNED_TRUSTED : KAV_SIGNED_NOT;
}
