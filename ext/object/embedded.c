/* Embedded: what begins inside a layer that is no archive itself: archives behind programs, programs inside programs
 * and documents. A PDF further on than type detection looks for it is no document for ClamAV.
 *
 * A place that was found (ext/match/seek.h) is a few bytes, which programs that handle archives have in them as well;
 * so it has to hold a header that is whole, by its checksum where the format has one. How long the thing is nobody can
 * tell: it reaches to the end of the layer.
 */
#include "exe.h"
#include "numbers.h"
#include "scanner.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    MOST = 16,             /* things in one layer that are looked at */
    PROGRAM_MAX = 40 << 20 /* bytes from a program inside another to the end: in more ClamAV does not look for it */
};

static bool read_at(const kav_source *source, uint64_t at, uint8_t *out, size_t len)
{
    return kav_source_read(source, at, out, len) == (ssize_t)len;
}

/* RAR before 5: marker, then a header of at least 13 bytes with half a CRC. RAR 5: marker, CRC, length, type. */
static bool is_rar(const kav_source *source, uint64_t at)
{
    uint8_t h[64];
    ssize_t n = kav_source_read(source, at, h, sizeof h);
    if (n < 20) return false;
    if (h[6] == 0) {
        uint32_t length = kav_le16(h + 12);
        return h[9] == 0x73 && length >= 13 && 7 + length <= (uint32_t)n &&
               (crc32(0, h + 9, length - 2) & 0xffff) == kav_le16(h + 7);
    }
    if (h[6] != 1 || h[7] != 0 || h[12] > 0x7f) return false;
    uint32_t length = 1u + h[12];
    return 12 + length <= (uint32_t)n && crc32(0, h + 12, length) == kav_le32(h + 8) && (h[13] == 1 || h[13] == 4);
}

static bool is_7z(const kav_source *source, uint64_t at)
{
    uint8_t h[32];
    return read_at(source, at, h, sizeof h) && crc32(0, h + 12, 20) == kav_le32(h + 8);
}

static bool is_cab(const kav_source *source, uint64_t at)
{
    uint8_t h[36];
    if (!read_at(source, at, h, sizeof h)) return false;
    uint32_t size = kav_le32(h + 8);
    return size >= sizeof h && size <= source->size - at && kav_le32(h + 16) < size && h[25] == 1 &&
           kav_le16(h + 28) > 0;
}

/* Where the program begins whose "PE" stands at an offset. */
static bool find_program(const kav_source *source, uint64_t pe, uint64_t *start)
{
    uint8_t before[KAV_SEEK_FARTHEST];
    size_t length = pe < sizeof before ? (size_t)pe : sizeof before;
    if (!read_at(source, pe - length, before, length)) return false;
    size_t far = kav_seek_program(before, length);
    *start = pe - far;
    return far != 0 && *start > 0;
}

/* -ENOMEM, 1 = it is, 0 = it is not. */
static int is_program(const kav_source *source, uint64_t at)
{
    kav_exe exe;
    kav_source rest = {source->memory ? source->memory + at : NULL, source->fd, source->base + at, source->size - at};
    if (rest.size > PROGRAM_MAX) return 0;
    int rc = kav_exe_read(&exe, &rest, (kav_type){KAV_FMT_PE, KAV_T_PE});
    bool valid = rc == 0 && exe.valid;
    kav_exe_free(&exe);
    return rc != 0 ? rc : valid;
}

typedef struct {
    kav_object_scanner *scanner;
    const kav_source *source;
    kav_unpack unpack;
    uint32_t count;
    bool closed; /* the limit of depth is reached */
    bool stop;
} search;

static void scan_span(search *s, const char *word, uint64_t at, kav_type type)
{
    char name[40];
    if (s->stop) return;
    if (s->closed || s->count == MOST) {
        kav_unpack_flag(&s->unpack, s->closed ? KAV_R_DEPTH : KAV_R_MEMBERS);
        return;
    }
    s->count++;
    snprintf(name, sizeof name, "%s@%llu", word, (unsigned long long)at);
    s->stop = kav_unpack_span(&s->unpack, name, s->source, (kav_span){at, s->source->size - at, &type}) != 0;
}

static const struct {
    enum kav_seek_kind kind;
    uint16_t format;
    bool (*is)(const kav_source *source, uint64_t at);
} ARCHIVES[] = {
    {KAV_SEEK_RAR, KAV_FMT_RAR, is_rar},
    {KAV_SEEK_7Z, KAV_FMT_7Z, is_7z},
    {KAV_SEEK_CAB, KAV_FMT_CAB, is_cab},
};

static void scan_archives(search *s, const kav_seek *seek)
{
    for (size_t i = 0; i < sizeof ARCHIVES / sizeof *ARCHIVES; i++) {
        for (uint32_t k = 0; k < seek->count[ARCHIVES[i].kind]; k++) {
            uint64_t at = seek->offset[ARCHIVES[i].kind][k];
            kav_type type = {ARCHIVES[i].format, KAV_T_ANY};
            if (!ARCHIVES[i].is(s->source, at)) continue;
            if (s->scanner->limits.switches & KAV_S_SFX) scan_span(s, kav_format_name(type.format), at, type);
            else s->scanner->gist.flags |= KAV_F_UNOPENED;
        }
        if (seek->more[ARCHIVES[i].kind]) kav_unpack_flag(&s->unpack, KAV_R_MEMBERS);
    }
}

static void scan_programs(search *s, const kav_seek *seek)
{
    uint64_t last = 0, start;
    for (uint32_t k = 0; k < seek->count[KAV_SEEK_PE]; k++) {
        if (!find_program(s->source, seek->offset[KAV_SEEK_PE][k], &start) || start == last) continue;
        int is = is_program(s->source, start);
        if (is < 0) kav_unpack_flag(&s->unpack, KAV_R_MEMORY);
        if (is == 1) scan_span(s, "pe", start, (kav_type){KAV_FMT_PE, KAV_T_PE});
        last = start;
    }
    if (seek->more[KAV_SEEK_PE]) kav_unpack_flag(&s->unpack, KAV_R_MEMBERS);
}

/* Is there anything at all? Most layers end here. */
static bool is_empty(const kav_seek *seek)
{
    uint32_t count = 0;
    for (int i = 0; i < KAV_SEEK_COUNT; i++) count += seek->count[i];
    return count == 0;
}

void kav_embedded_scan(kav_object_scanner *s, const kav_source *source, kav_type type, const kav_seek *seek,
                       uint32_t depth, kav_outcome *outcome)
{
    if (is_empty(seek)) return;
    search found = {.scanner = s, .source = source, .closed = depth >= s->limits.max_depth || depth >= KAV_DEPTH_CAP};
    kav_unpack_init(&found.unpack, s, depth + 1);
    scan_archives(&found, seek);
    if (type.format == KAV_FMT_PE || type.format == KAV_FMT_OLE2) scan_programs(&found, seek);
    if (found.unpack.container.reasons == 0 && found.count == 0) return;
    if (s->gist.tried <= depth) s->gist.tried = (uint16_t)(depth + 1);
    if (found.count && s->gist.depth <= depth) s->gist.depth = (uint16_t)(depth + 1);
    outcome->reasons |= found.unpack.container.reasons;
    outcome->status = kav_graver(outcome->status, found.unpack.container.status);
}
