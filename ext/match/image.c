#include "image.h"
#include "listed.h"
#include "part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LARGE_PAGE ((size_t)2 << 20)

/* What stands around the one line that kav_image_open gives back. */
typedef struct {
    kav_image *image;
    char *why;
    size_t why_len;
} opener;

static int refuse(opener *o, int code, size_t part, const char *what)
{
    snprintf(o->why, o->why_len, "part %zu of the image: %s", part + 1, what);
    return code;
}

/* Pages are read while mapping: checking the checksum touches all of them anyway. */
static void *map_at(void *place, const kav_part *part, int how)
{
    return mmap(place, part->length, PROT_READ, MAP_SHARED | MAP_POPULATE | how, part->fd, (off_t)part->offset);
}

/* A large part lies a page off where its bytes would lie at the same places of large pages as in the file. There the
 * kernel would map it by large pages, if that is how the file was written, and who looks at one row has 2 MiB more. */
static void *map(const kav_part *part)
{
    if (part->length < LARGE_PAGE) return map_at(NULL, part, 0);
    size_t length = (part->length + KAV_PAGE - 1) / KAV_PAGE * KAV_PAGE, room = length + LARGE_PAGE;
    uint8_t *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return at;
    size_t before = (part->offset + KAV_PAGE - (uintptr_t)at) % LARGE_PAGE;
    void *mapped = map_at(at + before, part, MAP_FIXED);
    int error = errno;
    if (before) munmap(at, before);
    munmap(at + before + length, room - before - length);
    if (mapped == MAP_FAILED) munmap(at + before, length);
    errno = error;
    return mapped;
}

static int map_part(opener *o, const kav_part *part, size_t i)
{
    struct stat st;
    kav_mapping *m = &o->image->mappings[i];
    if (part->length < sizeof(kav_part_header) || part->offset % KAV_PAGE || part->length > SIZE_MAX / 2)
        return refuse(o, KAV_IMAGE_DAMAGED, i, "impossible offset or length");
    if (fstat(part->fd, &st) != 0) return refuse(o, KAV_IMAGE_SYSTEM, i, strerror(errno));
    if (st.st_size < 0 || part->offset > (uint64_t)st.st_size || part->length > (uint64_t)st.st_size - part->offset)
        return refuse(o, KAV_IMAGE_DAMAGED, i, "cut short");
    void *at = map(part);
    if (at == MAP_FAILED) return refuse(o, KAV_IMAGE_SYSTEM, i, strerror(errno));
    *m = (kav_mapping){at, part->length};
    o->image->mapping_count++;
    bool foreign;
    const char *why = kav_part_check(at, part->length, &foreign);
    return why ? refuse(o, foreign ? KAV_IMAGE_FOREIGN : KAV_IMAGE_DAMAGED, i, why) : KAV_IMAGE_OK;
}

static bool asks_around(const kav_body *b)
{
    for (uint32_t i = 0; i < b->condition_count; i++) {
        if (b->conditions[i].flags & (KAV_CO_OUTMOST | KAV_CO_CHAIN)) return true;
    }
    return false;
}

static int open_body(opener *o, const uint8_t *part, size_t i)
{
    kav_image *m = o->image;
    kav_image_body *b = &m->bodies[m->body_count];
    if (!kav_body_open(&b->body, part)) return refuse(o, KAV_IMAGE_DAMAGED, i, "an index points outside");
    uint64_t patterns = (uint64_t)m->pattern_count + b->body.pattern_count;
    uint64_t signatures = (uint64_t)m->signature_count + b->body.signature_count;
    uint64_t tracks = (uint64_t)m->track_count + b->body.totals->tracks;
    uint64_t probes = (uint64_t)m->probe_count + b->body.probe_count;
    if (probes > INT32_MAX || patterns > INT32_MAX || signatures > INT32_MAX || tracks > INT32_MAX)
        return refuse(o, KAV_IMAGE_SYSTEM, i, "too many signatures");
    b->database = m->database_count;
    b->official = kav_part_of(part)->flags & KAV_PF_OFFICIAL;
    b->patterns = m->pattern_count;
    b->signatures = m->signature_count;
    b->tracks = m->track_count;
    b->probes = m->probe_count;
    m->probe_count = (uint32_t)probes;
    m->pattern_count = (uint32_t)patterns;
    m->signature_count = (uint32_t)signatures;
    m->track_count = (uint32_t)tracks;
    if (b->body.totals->back > m->back) m->back = b->body.totals->back;
    if (b->body.totals->ahead > m->ahead) m->ahead = b->body.totals->ahead;
    if (b->body.totals->zeros > m->zeros) m->zeros = b->body.totals->zeros;
    m->asks_around |= asks_around(&b->body);
    m->databases[m->database_count++] = part;
    m->body_count++;
    return KAV_IMAGE_OK;
}

static int open_set(opener *o, const uint8_t *part, size_t i, kav_image_set *set)
{
    uint64_t length = kav_part_of(part)->tables[KAV_TAB_SET].length;
    if (kav_hashset_open(&set->set, kav_part_data(part, KAV_TAB_SET), length) != 0)
        return refuse(o, KAV_IMAGE_DAMAGED, i, "hash table damaged");
    set->part = part;
    set->official = kav_part_of(part)->flags & KAV_PF_OFFICIAL;
    return KAV_IMAGE_OK;
}

/* Sets that find something have a number among the databases. */
static int open_detection(opener *o, const uint8_t *part, size_t i, kav_image_set *sets, uint32_t *count)
{
    kav_image *m = o->image;
    kav_image_set *set = &sets[(*count)++];
    set->database = m->database_count;
    m->databases[m->database_count++] = part;
    return open_set(o, part, i, set);
}

static int compare_text(const uint8_t *a, uint32_t a_len, const uint8_t *b, uint32_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int open_ignore(opener *o, const uint8_t *part, size_t i)
{
    kav_image_ignore *g = &o->image->ignores[o->image->ignore_count++];
    uint64_t length = kav_part_of(part)->tables[KAV_TAB_IGNORED_TEXT].length;
    g->names = kav_part_data(part, KAV_TAB_IGNORED);
    g->count = kav_part_count(part, KAV_TAB_IGNORED, sizeof *g->names);
    g->text = kav_part_data(part, KAV_TAB_IGNORED_TEXT);
    for (uint32_t k = 0; k < g->count; k++) {
        const kav_ignored *n = &g->names[k];
        if (n->text > length || n->length > length - n->text) return refuse(o, KAV_IMAGE_DAMAGED, i, "name outside");
    }
    return KAV_IMAGE_OK;
}

static int open_listed(opener *o, const uint8_t *part, size_t i)
{
    bool memory;
    if (kav_listed_open(&o->image->listed[o->image->listed_count++], part, &memory)) return KAV_IMAGE_OK;
    if (memory) return refuse(o, KAV_IMAGE_SYSTEM, i, "out of memory");
    return refuse(o, KAV_IMAGE_DAMAGED, i, "an index points outside");
}

static bool is_member(const uint8_t *part, const kav_member *member)
{
    const kav_part_header *h = kav_part_of(part);
    return h->checksum == member->checksum && !memcmp(h->source, member->source, sizeof h->source);
}

/* Tie the one or two parts before this one into one database file. */
static int open_patch(opener *o, const uint8_t *part, size_t i)
{
    kav_image *m = o->image;
    const kav_member *members = kav_part_data(part, KAV_TAB_PATCHED);
    uint32_t count = kav_part_count(part, KAV_TAB_PATCHED, sizeof *members);
    kav_moved moved = {kav_part_data(part, KAV_TAB_MOVED), kav_part_count(part, KAV_TAB_MOVED, sizeof *moved.now)};
    if (count < 1 || count > 2 || i < count) return refuse(o, KAV_IMAGE_DAMAGED, i, "a patch of nothing");
    const uint8_t *base = m->mappings[i - count].address, *last = m->mappings[i - 1].address;
    uint32_t kind = kav_part_of(base)->kind;
    if (!is_member(base, &members[0]) || !is_member(last, &members[count - 1]) || kav_part_of(last)->kind != kind)
        return refuse(o, KAV_IMAGE_DAMAGED, i, "a patch that does not stand behind what it was made for");
    if (kind == KAV_P_BODY) {
        kav_image_body *body = &m->bodies[m->body_count - count];
        body->moved = moved;
        body[count - 1].database = body->database;
    } else if (kav_part_is_set(base) && kind != KAV_P_EXCEPTION) {
        kav_image_set *set = kind == KAV_P_HASH       ? &m->hashes[m->hash_count - count]
                             : kind == KAV_P_SECTIONS ? &m->sections[m->section_count - count]
                                                      : &m->imports[m->import_count - count];
        set->set.moved = moved;
        set[count - 1].database = set->database;
    } else {
        return refuse(o, KAV_IMAGE_DAMAGED, i, "a patch of another kind");
    }
    m->database_count -= count - 1;
    return KAV_IMAGE_OK;
}

static int open_part(opener *o, size_t i)
{
    kav_image *m = o->image;
    const uint8_t *part = m->mappings[i].address;
    switch (kav_part_of(part)->kind) {
    case KAV_P_BODY: return open_body(o, part, i);
    case KAV_P_HASH: return open_detection(o, part, i, m->hashes, &m->hash_count);
    case KAV_P_SECTIONS: return open_detection(o, part, i, m->sections, &m->section_count);
    case KAV_P_IMPORTS: return open_detection(o, part, i, m->imports, &m->import_count);
    case KAV_P_EXCEPTION: return open_set(o, part, i, &m->exceptions[m->exception_count++]);
    case KAV_P_IGNORE: return open_ignore(o, part, i);
    case KAV_P_PATCH: return open_patch(o, part, i);
    case KAV_P_TRUST:
    case KAV_P_METADATA: m->databases[m->database_count++] = part; return open_listed(o, part, i);
    case KAV_P_PASSWORDS:
    case KAV_P_ICONS:
    case KAV_P_TYPES: return open_listed(o, part, i);
    default: return KAV_IMAGE_OK; /* groups come last: they name the others */
    }
}

/* Find the bodies that a group was built over. Each must be there, and in no other group: its signatures would count
 * twice. */
static int bind_group(opener *o, kav_image_group *g, size_t part)
{
    kav_image *m = o->image;
    g->bodies = calloc(g->group.member_count + 1u, sizeof *g->bodies);
    if (!g->bodies) return refuse(o, KAV_IMAGE_SYSTEM, part, "out of memory");
    for (uint32_t k = 0; k < g->group.member_count; k++) {
        uint32_t found = 0;
        for (; found < m->body_count; found++) {
            if (!m->bodies[found].grouped && is_member(m->bodies[found].body.part, &g->group.members[k])) break;
        }
        if (found == m->body_count) return refuse(o, KAV_IMAGE_DAMAGED, part, "built over a segment that is not here");
        m->bodies[found].grouped = true;
        g->bodies[k] = found;
    }
    for (uint32_t k = 0; k < g->group.posting_count; k++) {
        const kav_posting *p = &g->group.postings[k];
        if ((p->piece & ~KAV_POSTING_GATE) >= m->bodies[g->bodies[p->member]].body.piece_count)
            return refuse(o, KAV_IMAGE_DAMAGED, part, "an index points outside");
    }
    return KAV_IMAGE_OK;
}

static int open_group(opener *o, size_t i)
{
    kav_image_group *g = &o->image->groups[o->image->group_count];
    switch (kav_group_open(&g->group, o->image->mappings[i].address)) {
    case KAV_GROUP_OK: break;
    case KAV_GROUP_DAMAGED: return refuse(o, KAV_IMAGE_DAMAGED, i, "an index points outside");
    case KAV_GROUP_FOREIGN: return refuse(o, KAV_IMAGE_FOREIGN, i, "made for another Vectorscan or CPU");
    default: return refuse(o, KAV_IMAGE_SYSTEM, i, "out of memory");
    }
    o->image->group_count++;
    return bind_group(o, g, i);
}

void kav_image_let_go(const kav_image *m)
{
    for (uint32_t i = 0; i < m->mapping_count; i++)
        madvise(m->mappings[i].address, m->mappings[i].length, MADV_DONTNEED);
}

/* Lists of the signatures that every layer of a type must ask for. */
static bool list_rest(kav_image *m)
{
    for (int t = 0; t < KAV_TARGET_COUNT; t++) {
        for (int fill = 0; fill < 2; fill++) {
            uint32_t n = 0;
            for (uint32_t i = 0; i < m->body_count; i++) {
                const kav_body *b = &m->bodies[i].body;
                for (uint32_t k = 0; k < b->rest_count; k++) {
                    uint8_t target = b->signatures[b->rest[k]].target;
                    if (target != KAV_T_ANY && target != t) continue;
                    if (fill) m->rest[t][n] = (kav_signature_ref){i, b->rest[k]};
                    n++;
                }
            }
            if (!fill && !(m->rest[t] = calloc(n + 1u, sizeof *m->rest[t]))) return false;
            m->rest_count[t] = n;
        }
    }
    return true;
}

static bool allocate(kav_image *m, size_t count)
{
    size_t n = count + 1;
    m->mappings = calloc(n, sizeof *m->mappings);
    m->bodies = calloc(n, sizeof *m->bodies);
    m->hashes = calloc(n, sizeof *m->hashes);
    m->exceptions = calloc(n, sizeof *m->exceptions);
    m->sections = calloc(n, sizeof *m->sections);
    m->imports = calloc(n, sizeof *m->imports);
    m->ignores = calloc(n, sizeof *m->ignores);
    m->listed = calloc(n, sizeof *m->listed);
    m->groups = calloc(n, sizeof *m->groups);
    m->databases = calloc(n, sizeof *m->databases);
    return m->mappings && m->bodies && m->hashes && m->exceptions && m->sections && m->imports && m->ignores &&
           m->listed && m->groups && m->databases;
}

static int open_all(opener *o, const kav_part *parts, size_t count)
{
    kav_image *m = o->image;
    int code;
    if (count > 1u << 20 || !allocate(m, count)) return refuse(o, KAV_IMAGE_SYSTEM, 0, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if ((code = map_part(o, &parts[i], i)) || (code = open_part(o, i))) return code;
    }
    for (size_t i = 0; i < count; i++) {
        if (kav_part_of(m->mappings[i].address)->kind == KAV_P_GROUP && (code = open_group(o, i))) return code;
    }
    for (uint32_t i = 0; i < m->body_count; i++) {
        if (!m->bodies[i].grouped && m->bodies[i].body.literal_count)
            return refuse(o, KAV_IMAGE_DAMAGED, i, "a segment that is in no group");
    }
    if (!list_rest(m)) return refuse(o, KAV_IMAGE_SYSTEM, 0, "out of memory");
    kav_image_let_go(m);
    return KAV_IMAGE_OK;
}

int kav_image_open(const kav_part *parts, size_t count, kav_image **out, char *why, size_t why_len)
{
    *out = NULL;
    opener o = {calloc(1, sizeof *o.image), why, why_len};
    if (!o.image) return refuse(&o, KAV_IMAGE_SYSTEM, 0, "out of memory");
    int code = open_all(&o, parts, count);
    if (code == KAV_IMAGE_OK) *out = o.image;
    else kav_image_close(o.image);
    return code;
}

void kav_image_close(kav_image *m)
{
    if (!m) return;
    for (uint32_t i = 0; m->groups && i < m->group_count; i++) {
        kav_group_close(&m->groups[i].group);
        free(m->groups[i].bodies);
    }
    for (uint32_t i = 0; m->listed && i < m->listed_count; i++) kav_listed_close(&m->listed[i]);
    for (uint32_t i = 0; m->mappings && i < m->mapping_count; i++)
        munmap(m->mappings[i].address, m->mappings[i].length);
    for (int t = 0; t < KAV_TARGET_COUNT; t++) free(m->rest[t]);
    void *arrays[] = {m->mappings, m->bodies,  m->hashes, m->exceptions, m->sections,
                      m->imports,  m->ignores, m->listed, m->groups,     (void *)m->databases};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    free(m);
}

bool kav_image_asks_around(const kav_image *m)
{
    return m->asks_around;
}

uint32_t kav_image_exception_kinds(const kav_image *m, uint64_t size)
{
    uint32_t kinds = 0;
    for (uint32_t i = 0; i < m->exception_count; i++) kinds |= kav_hashset_kinds(&m->exceptions[i].set, size);
    return kinds;
}

int kav_image_is_exception(const kav_image *m, uint64_t size, const kav_digests *digests)
{
    kav_hashset_hit hit;
    for (uint32_t i = 0; i < m->exception_count; i++) {
        if (kav_hashset_find(&m->exceptions[i].set, size, digests, &hit, 1)) return 1;
    }
    return 0;
}

bool kav_image_ignores(const kav_image *m, const char *name, uint32_t length)
{
    for (uint32_t i = 0; i < m->ignore_count; i++) {
        const kav_image_ignore *g = &m->ignores[i];
        for (uint32_t low = 0, high = g->count; low < high;) {
            uint32_t middle = low + (high - low) / 2;
            const kav_ignored *n = &g->names[middle];
            int order = compare_text(g->text + n->text, n->length, (const uint8_t *)name, length);
            if (order == 0) return true;
            if (order < 0) low = middle + 1;
            else high = middle;
        }
    }
    return false;
}
