/* Wire: is a frame from a walker or a worker what it must be?
 *
 * Pure functions over bytes: no state, no allocation. Each returns NULL when all is right, else one phrase (a static
 * string) that says what is not. Frames are aligned to 8 bytes. A frame that passed can be read without further checks.
 */
#ifndef KAV_WIRE_H
#define KAV_WIRE_H

#include <stddef.h>

#include "kav.h"

/* A walker's batch: header, entries, blob. */
const char *kav_wire_batch(const uint8_t *frame, size_t len);

/* What a walker says of files that need no scan (wire_known.c). */
const char *kav_wire_known(const uint8_t *frame, size_t len);
const char *kav_wire_replay(const uint8_t *frame, size_t len);
const char *kav_wire_renew(const uint8_t *frame, size_t len);
const char *kav_wire_gone(const uint8_t *frame, size_t len);

/* A worker's message as a whole: lengths, and the parts of all records side by side in the payload. */
const char *kav_wire_results(const uint8_t *frame, size_t len);

#define KAV_WIRE_ANY (-1) /* what several engines have said together */

/* One record of a message that passed kav_wire_results; payload is its own part. engine: in whose name it may speak,
 * or KAV_WIRE_ANY. *gravest: the rank of the gravest of the object's notes so far, in KAV_F_MORE records before this
 * one; those of this one are taken in. */
const char *kav_wire_record(const kav_result *record, const uint8_t *payload, int engine, int *gravest);

static inline size_t kav_wire_padded(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

/* Bytes of the notes of a record that passed; layers follow them, and what was learned follows these. */
static inline size_t kav_wire_notes_len(const kav_result *record)
{
    return (size_t)(record->payload_len - record->layers_len - record->learned * (uint64_t)sizeof(kav_learned));
}

static inline const kav_entry *kav_wire_entries(const uint8_t *frame)
{
    return (const kav_entry *)(frame + sizeof(kav_batch_header));
}

static inline const uint8_t *kav_wire_blob(const uint8_t *frame)
{
    const kav_batch_header *header = (const kav_batch_header *)frame;
    return frame + sizeof *header + (size_t)header->count * sizeof(kav_entry);
}

static inline const kav_result *kav_wire_records(const uint8_t *frame)
{
    return (const kav_result *)(frame + sizeof(kav_result_header));
}

static inline const uint8_t *kav_wire_payload(const uint8_t *frame)
{
    const kav_result_header *header = (const kav_result_header *)frame;
    return frame + sizeof *header + (size_t)header->count * sizeof(kav_result);
}

/* The parts of one replay of a message that passed. */
static inline const kav_result *kav_wire_replayed(const uint8_t *frame)
{
    return (const kav_result *)(frame + sizeof(kav_replay_header));
}

static inline const uint8_t *kav_wire_replayed_path(const uint8_t *frame)
{
    return frame + sizeof(kav_replay_header) + sizeof(kav_result);
}

static inline const uint8_t *kav_wire_replayed_notes(const uint8_t *frame)
{
    return kav_wire_replayed_path(frame) + kav_wire_padded(((const kav_replay_header *)frame)->path_len);
}

static inline const uint8_t *kav_wire_replayed_end(const uint8_t *frame)
{
    return kav_wire_replayed_notes(frame) + ((const kav_replay_header *)frame)->notes_len;
}

#endif
