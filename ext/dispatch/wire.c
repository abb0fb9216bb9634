#include "wire.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "digest.h"
#include "type.h"

#define ALL_REASONS      ((1u << KAV_REASON_COUNT) - 1)
#define ALL_ENTRY_FLAGS  (KAV_EF_DEDUP | KAV_EF_DIR | KAV_EF_ROOT | KAV_EF_KEEP | KAV_EF_COLD)
#define ALL_RESULT_FLAGS ((KAV_F_ELSEWHERE << 1) - 1)
#define ALL_VIEWS        ((1u << KAV_TARGET_COUNT) - 1)
#define ALL_TRAITS       (KAV_L_DOCUMENT | KAV_L_ELSEWHERE)
#define ALL_DIGESTS      (KAV_D_MD5 | KAV_D_SHA1 | KAV_D_SHA256)
#define NATIVE_FLAGS     (KAV_F_LAYERS | KAV_F_DELTA | KAV_F_CACHED | KAV_F_ELSEWHERE)
#define ERRNO_MAX        4095

static const char *check_entry(const kav_entry *entry, const uint8_t *blob, uint32_t blob_len)
{
    if (entry->kind >= KAV_E_KIND_COUNT) return "entry of no known kind";
    if (entry->flags & ~ALL_ENTRY_FLAGS) return "entry with unknown flags";
    if (entry->reserved || entry->reserved2) return "reserved bytes of an entry are used";
    if (entry->delta && entry->kind != KAV_E_FILE) return "delta for what is no file";
    if (entry->dir_off > blob_len || entry->dir_len > blob_len - entry->dir_off) return "directory outside the blob";
    if (entry->name_off > blob_len || entry->name_len > blob_len - entry->name_off) return "name outside the blob";
    if ((uint64_t)entry->dir_len + entry->name_len > KAV_PATH_MAX) return "path too long";
    if (!entry->dir_len && !entry->name_len) return "empty path";
    if (memchr(blob + entry->dir_off, 0, entry->dir_len)) return "NUL in a directory";
    if (memchr(blob + entry->name_off, 0, entry->name_len)) return "NUL in a name";
    if (entry->kind == KAV_E_ERROR) {
        if (entry->error <= 0 || entry->error > ERRNO_MAX) return "error out of range";
    } else if (entry->error) {
        return "error on an entry that has none";
    }
    if (entry->kind == KAV_E_FILE && !S_ISREG(entry->mode)) return "file that is not regular";
    return NULL;
}

const char *kav_wire_batch(const uint8_t *frame, size_t len)
{
    kav_batch_header header;
    if (len < sizeof header) return "batch shorter than its header";
    memcpy(&header, frame, sizeof header);
    if (header.magic != KAV_BATCH_MAGIC) return "not a batch";
    if (header.count == 0 || header.count > KAV_BATCH_FILES) return "batch with a wrong count";
    if (len != sizeof header + (uint64_t)header.count * sizeof(kav_entry) + header.blob_len)
        return "batch of a wrong length";

    const kav_entry *entries = kav_wire_entries(frame);
    const uint8_t *blob = kav_wire_blob(frame);
    uint32_t files = 0;
    for (uint32_t i = 0; i < header.count; i++) {
        const char *wrong = check_entry(&entries[i], blob, header.blob_len);
        if (wrong) return wrong;
        files += entries[i].kind == KAV_E_FILE;
    }
    return files == header.fd_count ? NULL : "descriptors do not match files";
}

const char *kav_wire_results(const uint8_t *frame, size_t len)
{
    kav_result_header header;
    if (len < sizeof header) return "results shorter than their header";
    memcpy(&header, frame, sizeof header);
    if (header.magic != KAV_RESULT_MAGIC) return "not a result";
    if (header.count > KAV_BATCH_FILES) return "too many results";
    if (header.flags & ~KAV_RF_LAST) return "results with unknown flags";
    if (!header.count && !header.flags) return "message that says nothing";
    if (len != sizeof header + (uint64_t)header.count * sizeof(kav_result) + header.payload_len)
        return "results of a wrong length";

    const kav_result *records = kav_wire_records(frame);
    uint64_t end = 0;
    for (uint32_t i = 0; i < header.count; i++) {
        if (records[i].payload_off != end) return "result's notes are not where they belong";
        if (records[i].payload_len > header.payload_len - end) return "result's notes outside the payload";
        if (records[i].payload_len % 8) return "result's notes are not aligned";
        end += records[i].payload_len;
    }
    return end == header.payload_len ? NULL : "payload that belongs to no result";
}

static int worker_may_say(uint8_t status)
{
    return status <= KAV_ERROR; /* Cured and the like are the coordinator's to say */
}

static const char *check_note(const kav_note *note, const uint8_t *text, uint64_t room, int engine)
{
    uint64_t need = (uint64_t)note->name_len + note->member_len;
    if (need > room) return "note longer than the notes";
    if (!note->name_len && !note->member_len) return "note about nothing";
    if (memchr(text, 0, need)) return "NUL in a note";
    if (!worker_may_say(note->status)) return "note with a status out of range";
    if (note->engine >= KAV_ENGINE_COUNT) return "note of no known engine";
    if (engine != KAV_WIRE_ANY && note->engine != engine) return "note in the name of another engine";
    if (note->reasons & ~ALL_REASONS) return "note with unknown reasons";
    if (note->is_container > 1 || note->reserved) return "note with unknown flags";
    return NULL;
}

/* Walk the notes; *gravest rises to the rank of the gravest status among them. */
static const char *check_notes(const kav_result *record, const uint8_t *notes, uint64_t len, int engine, int *gravest)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < record->notes; i++) {
        kav_note note;
        if (len - at < sizeof note) return "note outside the notes";
        memcpy(&note, notes + at, sizeof note);
        at += sizeof note;
        const char *wrong = check_note(&note, notes + at, len - at, engine);
        if (wrong) return wrong;
        uint64_t padded = ((uint64_t)note.name_len + note.member_len + 7) & ~(uint64_t)7;
        if (padded > len - at) return "note longer than the notes";
        at += padded;
        int rank = kav_status_rank(note.status);
        if (rank > *gravest) *gravest = rank;
    }
    return at == len ? NULL : "bytes behind the last note";
}

static bool is_target(unsigned target)
{
    return target < KAV_TARGET_COUNT && target != 8;
}

static const char *check_layers(const kav_result *record, const uint8_t *layers)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < record->layers; i++) {
        kav_layer layer;
        if (record->layers_len - at < sizeof layer) return "layer outside the layers";
        memcpy(&layer, layers + at, sizeof layer);
        at += sizeof layer;
        if (layer.have & ~ALL_DIGESTS) return "layer with unknown digests";
        if (!is_target(layer.target)) return "layer's target out of range";
        if (layer.reserved || layer.reserved2) return "reserved bytes of a layer are used";
        uint64_t digests = (layer.have & KAV_D_MD5 ? 16 : 0) + (layer.have & KAV_D_SHA1 ? 20 : 0) +
                           (layer.have & KAV_D_SHA256 ? 32 : 0);
        digests = (digests + 7) & ~(uint64_t)7;
        if (digests > record->layers_len - at) return "layer outside the layers";
        at += digests;
    }
    return at == record->layers_len ? NULL : "bytes behind the last layer";
}

static const char *check_learned(const kav_result *record, const uint8_t *payload)
{
    for (uint32_t i = 0; i < record->learned; i++) {
        kav_learned learned;
        memcpy(&learned, payload + i * sizeof learned, sizeof learned);
        if (learned.format >= KAV_FMT_COUNT) return "learned object's format out of range";
        if (!is_target(learned.target)) return "learned object's target out of range";
        if (learned.views & ~ALL_VIEWS) return "learned object with unknown views";
        if (learned.reread > 1 || learned.traits & ~ALL_TRAITS) return "learned object with unknown flags";
    }
    return NULL;
}

/* Layers and what was learned stand behind the notes, to the last byte. */
static const char *check_parts(const kav_result *record)
{
    if (record->layers > KAV_LAYERS_MAX) return "too many layers";
    if (record->learned > KAV_LEARNED_MAX) return "too many learned objects";
    if (record->layers_len % 8) return "layers are not aligned";
    uint64_t behind = record->layers_len + record->learned * (uint64_t)sizeof(kav_learned);
    if (behind > record->payload_len) return "layers outside the payload";
    if (record->flags & KAV_F_MORE && (record->layers || behind)) return "layers before the verdict";
    return NULL;
}

/* What only the native engine can know: the object cache and Delta are made of its answers alone. */
static const char *check_engine(const kav_result *record, int engine)
{
    if (engine == KAV_WIRE_ANY || engine == KAV_ENGINE_NATIVE) return NULL;
    if (record->layers || record->learned) return "layers of another engine";
    return record->flags & NATIVE_FLAGS ? "flags of another engine" : NULL;
}

const char *kav_wire_record(const kav_result *record, const uint8_t *payload, int engine, int *gravest)
{
    if (!worker_may_say(record->status)) return "status out of range";
    if (!is_target(record->target)) return "target out of range";
    if (record->format >= KAV_FMT_COUNT) return "format out of range";
    if (record->reasons & ~(ALL_REASONS & ~KAV_R_WORKER)) return "unknown reasons";
    if (record->flags & ~ALL_RESULT_FLAGS) return "unknown flags";
    if (record->views & ~ALL_VIEWS) return "unknown views";

    const char *wrong = check_parts(record);
    if (wrong) return wrong;
    size_t notes_len = kav_wire_notes_len(record);
    if (!wrong) wrong = check_engine(record, engine);
    if (!wrong) wrong = check_notes(record, payload, notes_len, engine, gravest);
    if (!wrong) wrong = check_layers(record, payload + notes_len);
    if (!wrong) wrong = check_learned(record, payload + notes_len + record->layers_len);
    if (wrong) return wrong;
    if (record->flags & KAV_F_MORE) return record->notes ? NULL : "record that says nothing";
    /* Partial is never clean, and an object is never better than what was found in it. */
    if (kav_status_rank(record->status) < kav_status_rank(kav_status_of_reasons(record->reasons)))
        return "status better than its reasons";
    if (kav_status_rank(record->status) < *gravest) return "status better than its notes";
    return NULL;
}
