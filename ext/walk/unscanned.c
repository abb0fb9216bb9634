#define _GNU_SOURCE
#include "unscanned.h"

#include "digest.h"
#include <string.h>

_Static_assert(sizeof(kav_known_header) + KAV_NAMED_MOST * 8 + KAV_PATH_MAX + KAV_NAMES_MAX <= KAV_MESSAGE_MAX,
               "names with the longest directory fit a message");
_Static_assert(sizeof(kav_renew_header) + KAV_RENEWED_MOST * 16 <= KAV_MESSAGE_MAX, "places fit a message");
_Static_assert(sizeof(kav_replay_header) + sizeof(kav_result) + KAV_PATH_MAX + 8 + KAV_EXTRA_MAX <= KAV_MESSAGE_MAX,
               "a verdict with the longest path and notes fits a message");

#define GONE_MOST ((KAV_MESSAGE_MAX - sizeof(kav_gone_header)) / sizeof(uint64_t))

/* ---- known files ------------------------------------------------------------------------------------------------ */

static int send_counts(kav_unscanned *unscanned, kav_outlet *outlet)
{
    kav_known_header header = {
        .magic = KAV_KNOWN_MAGIC,
        .files = unscanned->files,
        .bytes = unscanned->bytes,
        .members = unscanned->members,
    };
    kav_message message = {.parts = {{&header, sizeof header}}, .count = 1};
    unscanned->files = unscanned->bytes = unscanned->members = 0;
    return kav_outlet_send(outlet, &message);
}

/* Sparse files can make a sum that no reader would believe. */
static bool adds_up(uint64_t bytes, uint64_t size)
{
    return size <= INT64_MAX && bytes <= INT64_MAX - size;
}

int kav_unscanned_count(kav_unscanned *unscanned, kav_outlet *outlet, uint64_t size, uint32_t members)
{
    int error = 0;
    if (unscanned->files == KAV_COUNTED_MOST || !adds_up(unscanned->bytes, size))
        error = send_counts(unscanned, outlet);
    unscanned->files++;
    unscanned->bytes += size;
    unscanned->members += members;
    return error;
}

int kav_unscanned_names(kav_unscanned *unscanned, kav_outlet *outlet, const char *dir, size_t dir_len)
{
    if (unscanned->named == 0) return 0;
    kav_known_header header = {
        .magic = KAV_KNOWN_MAGIC,
        .dir_len = (uint32_t)dir_len,
        .names_len = unscanned->names_len,
        .names = unscanned->named,
        .files = unscanned->named,
        .bytes = unscanned->named_bytes,
    };
    kav_message message = {
        .parts = {{&header, sizeof header},
                  {unscanned->sizes, unscanned->named * sizeof *unscanned->sizes},
                  {(char *)dir, dir_len},
                  {unscanned->names, unscanned->names_len}},
        .count = 4,
    };
    int error = kav_outlet_send(outlet, &message);
    unscanned->named = unscanned->names_len = 0;
    unscanned->named_bytes = 0;
    return error;
}

int kav_unscanned_name(kav_unscanned *unscanned, kav_outlet *outlet, const kav_where *where, uint64_t size)
{
    int error = 0;
    if (unscanned->named == KAV_NAMED_MOST || where->name_len + 1 > KAV_NAMES_MAX - unscanned->names_len ||
        !adds_up(unscanned->named_bytes, size))
        error = kav_unscanned_names(unscanned, outlet, where->dir, where->dir_len);
    memcpy(unscanned->names + unscanned->names_len, where->name, where->name_len + 1);
    unscanned->names_len += (uint32_t)where->name_len + 1;
    unscanned->sizes[unscanned->named++] = size;
    unscanned->named_bytes += size;
    return error;
}

/* ---- verdicts --------------------------------------------------------------------------------------------------- */

/* The SHA-256 of the object itself, if its list of layers, which begins with it, has that. */
static const void *find_sha256(const kav_extra *extra)
{
    kav_layer layer;
    const char *at = (const char *)(extra + 1) + extra->notes_len;
    if (extra->layers == 0 || extra->layers_len < sizeof layer) return NULL;
    memcpy(&layer, at, sizeof layer);
    size_t skip = sizeof layer + (layer.have & KAV_D_MD5 ? 16 : 0) + (layer.have & KAV_D_SHA1 ? 20 : 0);
    return layer.have & KAV_D_SHA256 && extra->layers_len >= skip + 32 ? at + skip : NULL;
}

static kav_result result_of(const kav_entry *entry, const kav_known *known)
{
    const kav_fact *fact = known->fact;
    kav_result result = {
        .status = fact->status,
        .target = fact->target,
        .format = fact->format,
        .reasons = fact->reasons,
        .flags = KAV_F_CACHED | (fact->flags & KAV_FACT_CONTAINER ? KAV_F_CONTAINER : 0) |
                 (fact->flags & KAV_FACT_UNOPENED ? KAV_F_UNOPENED : 0),
        .size = fact->id.size,
        .mtime_ns = fact->id.mtime_ns,
        .ctime_ns = fact->id.ctime_ns,
        .dev = entry->dev,
        .ino = entry->ino,
        .views = fact->views,
    };
    if (!known->extra) return result;
    const void *sha256 = find_sha256(known->extra);
    if (sha256) {
        memcpy(result.sha256, sha256, sizeof result.sha256);
        result.flags |= KAV_F_SHA256;
    }
    result.scanned = known->extra->scanned;
    result.members = known->extra->members;
    result.notes = known->extra->notes;
    result.payload_len = known->extra->notes_len;
    return result;
}

static int send_replayed(kav_unscanned *unscanned, kav_outlet *outlet)
{
    kav_message message = {.parts = {{unscanned->replayed, unscanned->replayed_len}}, .count = 1};
    unscanned->replayed_len = 0;
    return kav_outlet_send(outlet, &message);
}

static void gather(kav_unscanned *unscanned, const void *bytes, size_t len)
{
    if (len > 0) memcpy(unscanned->replayed + unscanned->replayed_len, bytes, len);
    unscanned->replayed_len += (uint32_t)len;
}

int kav_unscanned_replay(kav_unscanned *unscanned, kav_outlet *outlet, const kav_where *where, const kav_entry *entry,
                         const kav_known *known)
{
    static const uint8_t zeros[8];
    size_t path_len = where->dir_len + where->name_len, padding = (8 - path_len % 8) % 8;
    kav_result result = result_of(entry, known);
    kav_replay_header header = {
        .magic = KAV_REPLAY_MAGIC,
        .path_len = (uint32_t)path_len,
        .notes_len = (uint32_t)result.payload_len,
        .entry = *entry,
    };
    size_t need = sizeof header + sizeof result + path_len + padding + header.notes_len;
    int error = 0;
    if (need > sizeof unscanned->replayed - unscanned->replayed_len) error = send_replayed(unscanned, outlet);
    gather(unscanned, &header, sizeof header);
    gather(unscanned, &result, sizeof result);
    gather(unscanned, where->dir, where->dir_len);
    gather(unscanned, where->name, where->name_len);
    gather(unscanned, zeros, padding);
    gather(unscanned, known->extra ? known->extra + 1 : NULL, header.notes_len);
    if (unscanned->replayed_len < KAV_REPLAYED_MAX) return error;
    int sent = send_replayed(unscanned, outlet);
    return error ? error : sent;
}

/* ---- places ----------------------------------------------------------------------------------------------------- */

static int send_renewed(kav_unscanned *unscanned, kav_outlet *outlet)
{
    kav_renew_header header = {KAV_RENEW_MAGIC, unscanned->renewed};
    kav_message message = {
        .parts = {{&header, sizeof header}, {unscanned->places, unscanned->renewed * sizeof *unscanned->places}},
        .count = 2,
    };
    unscanned->renewed = 0;
    return kav_outlet_send(outlet, &message);
}

int kav_unscanned_renew(kav_unscanned *unscanned, kav_outlet *outlet, const uint8_t place[16])
{
    memcpy(unscanned->places[unscanned->renewed++], place, 16);
    return unscanned->renewed < KAV_RENEWED_MOST ? 0 : send_renewed(unscanned, outlet);
}

int kav_unscanned_gone(kav_outlet *outlet, const uint8_t place[16], const uint64_t *inodes, uint32_t count)
{
    int error = 0;
    while (count > 0 && error == 0) {
        kav_gone_header header = {.magic = KAV_GONE_MAGIC, .count = count < GONE_MOST ? count : (uint32_t)GONE_MOST};
        memcpy(header.place, place, sizeof header.place);
        kav_message message = {
            .parts = {{&header, sizeof header}, {(uint64_t *)inodes, header.count * sizeof *inodes}},
            .count = 2,
        };
        error = kav_outlet_send(outlet, &message);
        inodes += header.count;
        count -= header.count;
    }
    return error;
}

int kav_unscanned_send(kav_unscanned *unscanned, kav_outlet *outlet)
{
    int error = unscanned->files > 0 ? send_counts(unscanned, outlet) : 0;
    int replayed = unscanned->replayed_len > 0 ? send_replayed(unscanned, outlet) : 0;
    int renewed = unscanned->renewed > 0 ? send_renewed(unscanned, outlet) : 0;
    if (!error) error = replayed;
    return error ? error : renewed;
}
