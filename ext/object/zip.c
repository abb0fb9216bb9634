#include "zip.h"
#include "decode.h"
#include "inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define METHOD_DEFLATED 8
#define HEAD_MAX        64 /* a made local header: 30 bytes, a name of one, a zip64 field of 20 */
#define NEEDED_MAX      63 /* highest "version needed to extract" that the format's description gives out */
#define METHOD_MAX      99
#define SPANS_FIRST     64
#define OVERLAPS_MAX    5 /* as many are mistakes of packers */
#define OVERLAPS_READ   2 /* how many times over an archive with more of them is read */

typedef struct {
    uint64_t from, to;
} span;

typedef struct {
    const kav_source *source;
    kav_unpack *unpack;
    uint8_t *buffer; /* for libarchive's reads; NULL when the source lies in memory */
    char name[KAV_ZIP_NAME_MAX];
    span *spans; /* what directory and members cover */
    size_t span_count, span_room;
    uint64_t allowance; /* packed bytes that may still be read */
} zip;

static bool cover(zip *z, uint64_t from, uint64_t to)
{
    if (z->span_count == z->span_room) {
        size_t room = z->span_room == 0 ? SPANS_FIRST : z->span_room * 2;
        span *larger = realloc(z->spans, room * sizeof *larger);
        if (larger == NULL) return false;
        z->spans = larger;
        z->span_room = room;
    }
    z->spans[z->span_count++] = (span){from, to};
    return true;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint64_t v)
{
    put16(p, (uint32_t)v & 0xffff);
    put16(p + 2, (uint32_t)(v >> 16) & 0xffff);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, v);
    put32(p + 4, v >> 32);
}

/* A local header for a plain file called "m" with these numbers: libarchive then sees neither modes nor extra fields
 * nor names that could make it pass over the bytes. Returns its length. */
static size_t make_head(const kav_zip_entry *e, bool open_ended, uint8_t head[HEAD_MAX])
{
    bool wide = !open_ended && (e->packed >= UINT32_MAX || e->unpacked >= UINT32_MAX);
    memset(head, 0, HEAD_MAX);
    memcpy(head, "PK\003\004", 4);
    put16(head + 4, wide ? 45 : 20);
    put16(head + 6, open_ended ? KAV_ZIP_SIZES_LATER : 0);
    put16(head + 8, e->method);
    put16(head + 26, 1);
    head[KAV_ZIP_LOCAL] = 'm';
    if (open_ended) return KAV_ZIP_LOCAL + 1;
    put32(head + 14, e->crc);
    put32(head + 18, wide ? UINT32_MAX : e->packed);
    put32(head + 22, wide ? UINT32_MAX : e->unpacked);
    if (!wide) return KAV_ZIP_LOCAL + 1;
    uint8_t *extra = head + KAV_ZIP_LOCAL + 1;
    put16(head + 28, 20);
    put16(extra, 0x0001);
    put16(extra + 2, 16);
    put64(extra + 4, e->unpacked);
    put64(extra + 12, e->packed);
    return KAV_ZIP_LOCAL + 1 + 20;
}

/* Decode what is not deflated. *used: how many bytes of data libarchive took. Returns KAV_R_* bits. */
static uint32_t decode_other(zip *z, const kav_zip_entry *e, uint64_t data, bool open_ended, uint64_t *used)
{
    uint8_t head[HEAD_MAX];
    struct archive_entry *entry;
    uint32_t reasons = KAV_R_MEMORY;
    bool ended;
    kav_feed feed = {.source = z->source,
                     .offset = data,
                     .length = e->packed,
                     .head = head,
                     .head_len = make_head(e, open_ended, head),
                     .unpack = z->unpack,
                     .buffer = z->buffer};
    struct archive *a = archive_read_new();
    *used = 0;
    if (a != NULL && archive_read_support_format_zip_streamable(a) == ARCHIVE_OK) {
        if (kav_decode_open(a, &feed, false) == ARCHIVE_OK && archive_read_next_header(a, &entry) == ARCHIVE_OK)
            reasons = kav_decode_entry(a, entry, &feed, &ended);
        else reasons = kav_decode_reasons(a, &feed);
        la_int64_t taken = archive_filter_bytes(a, 0);
        if (!open_ended) *used = e->packed;
        else if (taken > (la_int64_t)feed.head_len) *used = (uint64_t)taken - feed.head_len;
    }
    if (a != NULL) archive_read_free(a);
    return reasons;
}

static uint32_t inflate_member(zip *z, const kav_zip_entry *e, uint64_t data, bool open_ended, uint64_t *used)
{
    kav_inflated done;
    *used = 0;
    uint64_t left = z->source->size > data ? z->source->size - data : 0;
    uint64_t length = e->packed < left ? e->packed : left, announced = open_ended ? KAV_INFLATE_UNKNOWN : e->unpacked;
    uint32_t reasons = kav_inflate(z->unpack, KAV_INFLATE_RAW, z->source, data, length, announced, &done);
    *used = done.finished || open_ended ? done.used : e->packed;
    if (reasons != 0 || !done.finished || open_ended) return reasons;
    return done.crc == e->crc && done.produced == e->unpacked ? 0 : KAV_R_DAMAGED;
}

/* Decode one member's bytes into the sink. *used: how many bytes of data that took. Returns KAV_R_* bits. */
static uint32_t decode(zip *z, const kav_zip_entry *e, uint64_t data, bool open_ended, uint64_t *used)
{
    if (e->method == METHOD_DEFLATED) return inflate_member(z, e, data, open_ended, used);
    return decode_other(z, e, data, open_ended, used);
}

static uint32_t folder_flag(const kav_zip_entry *e)
{
    return e->packed == 0 && e->name_len > 0 && e->name[e->name_len - 1] == '/' ? KAV_M_FOLDER : 0;
}

static void tell_facts(const zip *z, const kav_zip_entry *e)
{
    kav_unpack_facts(z->unpack, &(kav_member_facts){.packed = e->packed,
                                                    .unpacked = e->unpacked,
                                                    .position = kav_unpack_count(z->unpack, false),
                                                    .crc = e->crc,
                                                    .encrypted = e->flags & KAV_ZIP_ENCRYPTED});
}

/* One reading of one member. False: stop. */
static bool pass_reading(zip *z, const kav_zip_entry *e, uint64_t data, bool maybe_encrypted, uint64_t *used)
{
    *used = e->packed;
    if (kav_unpack_begin(z->unpack, e->name, e->name_len, e->unpacked, folder_flag(e)) != 0) return false;
    uint32_t reasons = 0;
    tell_facts(z, e);
    if (e->flags & KAV_ZIP_ENCRYPTED) reasons = kav_zip_decrypt(z->source, z->unpack, e, data, z->buffer);
    else if (e->packed != 0 || e->unpacked != 0) reasons = decode(z, e, data, false, used);
    if (maybe_encrypted && reasons != 0) reasons |= KAV_R_ENCRYPTED;
    return kav_unpack_end(z->unpack, reasons) == 0;
}

/* A member as the central directory has it and, where the local header says something else, as that has it too. */
static bool pass_member(zip *z, kav_zip_entry *central)
{
    kav_zip_entry local;
    uint64_t data;
    if (!kav_zip_local(z->source, central->header, &local, &data, z->name)) {
        if (kav_unpack_begin(z->unpack, central->name, central->name_len, central->unpacked, 0) != 0) return false;
        return kav_unpack_end(z->unpack, KAV_R_DAMAGED) == 0;
    }
    bool disagree = (central->flags ^ local.flags) & KAV_ZIP_ENCRYPTED;
    if (disagree) central->flags &= (uint16_t)~KAV_ZIP_ENCRYPTED; /* try: one of the two lies */
    uint64_t used = central->packed, left = z->source->size > data ? z->source->size - data : 0;
    bool going = pass_reading(z, central, data, disagree, &used);
    bool sized = !(local.flags & KAV_ZIP_SIZES_LATER) && local.packed != 0;
    if (sized && local.packed < used) used = local.packed;
    /* Where the directory says that there is nothing, a reader of streams still unpacks what it finds: as in a gap. */
    if (going && central->packed == 0 && local.method == METHOD_DEFLATED && local.flags & KAV_ZIP_SIZES_LATER)
        return true;
    if (!cover(z, central->header, data + (used < left ? used : left))) {
        kav_unpack_flag(z->unpack, KAV_R_MEMORY);
        return false;
    }
    if (!going || (local.method == central->method && (!sized || local.packed == central->packed))) return going;
    if (!sized) {
        local.packed = central->packed;
        local.unpacked = central->unpacked;
        local.crc = central->crc;
    }
    local.flags = central->flags;
    return pass_reading(z, &local, data, disagree, &used);
}

/* Whether "PK\3\4" in bytes that belong to nobody can be a local header at all. */
static bool is_plausible(const zip *z, const kav_zip_entry *e, uint64_t data, uint64_t to)
{
    uint8_t needed = 0;
    bool open_ended = (e->flags & KAV_ZIP_SIZES_LATER) && e->packed == 0;
    kav_source_read(z->source, e->header + 4, &needed, 1);
    return needed <= NEEDED_MAX && e->method <= METHOD_MAX && e->name_len > 0 && data <= to &&
           (open_ended || e->packed <= to - data);
}

/* Members by their local headers alone, in a stretch that the directory does not speak of. hidden: the archive as a
 * whole is sound, so that what cannot be decoded here is dead space and no damage. False: stop. */
static bool pass_stretch(zip *z, uint64_t from, uint64_t to, bool hidden)
{
    while (from < to && (from = kav_zip_search(z->source, from, to)) < to) {
        kav_zip_entry e;
        uint64_t data, used = 0;
        if (kav_unpack_tick(z->unpack) != 0) return false;
        if (!kav_zip_local(z->source, from, &e, &data, z->name) || (hidden && !is_plausible(z, &e, data, to))) {
            from += 4;
            continue;
        }
        bool open_ended = (e.flags & KAV_ZIP_SIZES_LATER) && e.packed == 0;
        if (open_ended) e.packed = data < to ? to - data : 0;
        if (kav_unpack_begin(z->unpack, e.name, e.name_len, e.unpacked, folder_flag(&e)) != 0) return false;
        bool encrypted = e.flags & KAV_ZIP_ENCRYPTED;
        tell_facts(z, &e);
        uint32_t reasons = encrypted ? kav_zip_decrypt(z->source, z->unpack, &e, data, z->buffer) : 0;
        if (!encrypted && e.packed > 0) reasons = decode(z, &e, data, open_ended, &used);
        uint64_t step = reasons != 0 ? 0 : open_ended ? used : e.packed;
        if (hidden) reasons &= KAV_R_TIME | KAV_R_MEMORY | KAV_R_UNREADABLE;
        if (kav_unpack_end(z->unpack, reasons) != 0) return false;
        from = data >= to || step >= to - data ? to : data + step;
    }
    return true;
}

static int by_start(const void *a, const void *b)
{
    const span *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* Look for members in everything that neither the directory nor its members cover. */
static void pass_gaps(zip *z)
{
    uint64_t at = 0;
    qsort(z->spans, z->span_count, sizeof *z->spans, by_start);
    for (size_t i = 0; i <= z->span_count; i++) {
        uint64_t next = i < z->span_count ? z->spans[i].from : z->source->size;
        if (next > at && next - at >= KAV_ZIP_LOCAL && !pass_stretch(z, at, next, true)) return;
        if (i < z->span_count && z->spans[i].to > at) at = z->spans[i].to;
    }
}

/* Members that share bytes make a bomb of any size. What an honest archive of this size holds is read all the same. */
static void look_for_overlaps(zip *z, kav_zip_directory *d)
{
    z->allowance = UINT64_MAX;
    if (kav_zip_overlaps(d, z->unpack) <= OVERLAPS_MAX) return;
    z->allowance = z->source->size < UINT64_MAX / OVERLAPS_READ ? z->source->size * OVERLAPS_READ : UINT64_MAX;
    kav_unpack_flag(z->unpack, KAV_R_DAMAGED);
    kav_unpack_suspect(z->unpack, "Heuristics.Zip.OverlappingFiles");
}

/* Whether this member may still be read. What it covers is known otherwise: it is no gap. */
static bool allow(zip *z, const kav_zip_entry *e)
{
    uint64_t left = z->source->size > e->header ? z->source->size - e->header : 0;
    uint64_t packed = e->packed < left ? e->packed : left;
    if (packed > z->allowance) {
        if (!cover(z, e->header, e->header + packed)) kav_unpack_flag(z->unpack, KAV_R_MEMORY);
        return false;
    }
    if (z->allowance != UINT64_MAX) z->allowance -= packed;
    return true;
}

static void pass_directory(zip *z, kav_zip_directory *d)
{
    kav_zip_entry entry;
    uint64_t seen = 0;
    int more;
    look_for_overlaps(z, d);
    if (!cover(z, d->start, d->end)) {
        kav_unpack_flag(z->unpack, KAV_R_MEMORY);
        return;
    }
    while ((more = kav_zip_next(d, &entry)) == 1) {
        seen++;
        if (!allow(z, &entry)) {
            if (kav_unpack_tick(z->unpack) != 0) return;
            continue;
        }
        if (!pass_member(z, &entry)) return;
    }
    if (more == -ENOMEM) kav_unpack_flag(z->unpack, KAV_R_MEMORY);
    else if (more != 0 && more != -EBADMSG) kav_unpack_flag(z->unpack, KAV_R_UNREADABLE);
    else if (more != 0 || seen < d->count) kav_unpack_flag(z->unpack, KAV_R_DAMAGED);
    pass_gaps(z);
}

int kav_open_zip(const kav_source *source, kav_type type, kav_unpack *u)
{
    kav_zip_directory d;
    (void)type;
    zip *z = calloc(1, sizeof *z);
    if (z == NULL) return -ENOMEM;
    z->source = source;
    z->unpack = u;
    if (source->memory == NULL && (z->buffer = malloc(KAV_DECODE_CHUNK)) == NULL) {
        free(z);
        return -ENOMEM;
    }
    if (kav_zip_find(&d, source)) {
        pass_directory(z, &d);
        kav_zip_close(&d);
    } else {
        kav_unpack_flag(u, KAV_R_DAMAGED);
        pass_stretch(z, 0, source->size, false);
    }
    free(z->spans);
    free(z->buffer);
    free(z);
    return 0;
}
