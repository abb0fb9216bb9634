/* Fuzz: frames from walkers and workers. What ext/dispatch/wire.h lets pass can be read without further checks. */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sum;

static void touch(const uint8_t *bytes, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) sum += bytes[i];
}

static void read_batch(const uint8_t *frame)
{
    kav_batch_header header;
    memcpy(&header, frame, sizeof header);
    for (uint32_t i = 0; i < header.count; i++) {
        const kav_entry *entry = &kav_wire_entries(frame)[i];
        touch(kav_wire_blob(frame) + entry->dir_off, entry->dir_len);
        touch(kav_wire_blob(frame) + entry->name_off, entry->name_len);
    }
}

static void read_results(const uint8_t *frame)
{
    kav_result_header header;
    memcpy(&header, frame, sizeof header);
    for (uint32_t i = 0; i < header.count; i++) {
        const kav_result *record = &kav_wire_records(frame)[i];
        const uint8_t *payload = kav_wire_payload(frame) + record->payload_off;
        for (int engine = KAV_WIRE_ANY; engine < KAV_ENGINE_COUNT; engine++) {
            int gravest = 0;
            if (kav_wire_record(record, payload, engine, &gravest)) continue;
            size_t notes = kav_wire_notes_len(record);
            touch(payload, notes);
            touch(payload + notes, record->layers_len);
            touch(payload + notes + record->layers_len, record->learned * sizeof(kav_learned));
        }
    }
}

static void read_replays(const uint8_t *frame, size_t size)
{
    for (const uint8_t *at = frame; at < frame + size; at = kav_wire_replayed_end(at)) {
        const kav_replay_header *header = (const kav_replay_header *)(const void *)at;
        touch(kav_wire_replayed_path(at), header->path_len);
        touch(kav_wire_replayed_notes(at), header->notes_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *frame = malloc(size ? size : 1); /* aligned as a frame is, and not a byte longer */
    if (!frame) return 0;
    if (size) memcpy(frame, data, size);
    if (!kav_wire_batch(frame, size)) read_batch(frame);
    if (!kav_wire_results(frame, size)) read_results(frame);
    if (!kav_wire_replay(frame, size)) read_replays(frame, size);
    if (!kav_wire_known(frame, size)) touch(frame, size);
    if (!kav_wire_renew(frame, size) && size % 16 != sizeof(kav_renew_header)) abort();
    if (!kav_wire_gone(frame, size) && size < sizeof(kav_gone_header) + sizeof(uint64_t)) abort();
    free(frame);
    return 0;
}
