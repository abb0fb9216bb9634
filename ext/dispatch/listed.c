#include "listed.h"

#include <errno.h>
#include <string.h>

#include "wire.h"

/* The note at *at and the path of its member; *at goes behind it. */
static kav_note next_note(const uint8_t **at, const uint8_t **member)
{
    kav_note note;
    memcpy(&note, *at, sizeof note);
    *member = *at + sizeof note + note.name_len;
    *at += sizeof note + kav_wire_padded((size_t)note.name_len + note.member_len);
    return note;
}

/* A member whose line says OK, whatever stands before and behind it. */
static bool is_clean_leaf(const kav_note *note)
{
    return !note->name_len && note->member_len && note->status == KAV_CLEAN && !note->reasons && !note->is_container;
}

/* Bytes of its text, not counted further than over KAV_LISTED_MAX; 0 = there is more to tell of it. */
static size_t text_of(const uint8_t *replay)
{
    const kav_replay_header *header = (const kav_replay_header *)replay;
    const kav_result *result = kav_wire_replayed(replay);
    if (result->status != KAV_CLEAN || result->reasons) return 0;
    const uint8_t *at = kav_wire_replayed_notes(replay);
    size_t len = (size_t)header->path_len + (result->notes ? 2 : 1);
    for (uint32_t i = 0; i < result->notes && len <= KAV_LISTED_MAX; i++) {
        const uint8_t *member;
        kav_note note = next_note(&at, &member);
        if (!is_clean_leaf(&note)) return 0;
        len += (size_t)header->path_len + 1 + note.member_len + 1;
    }
    return len;
}

static uint8_t *put(uint8_t *to, const void *bytes, size_t len)
{
    memcpy(to, bytes, len);
    return to + len;
}

/* Returns the end of the text. */
static uint8_t *put_text(uint8_t *to, const uint8_t *replay)
{
    const kav_replay_header *header = (const kav_replay_header *)replay;
    const uint8_t *path = kav_wire_replayed_path(replay), *at = kav_wire_replayed_notes(replay);
    uint32_t notes = kav_wire_replayed(replay)->notes;
    to = put(to, path, header->path_len);
    to = put(to, "\0", notes ? 2 : 1);
    for (uint32_t i = 0; i < notes; i++) {
        const uint8_t *member;
        kav_note note = next_note(&at, &member);
        to = put(to, path, header->path_len);
        *to++ = '/';
        to = put(to, member, note.member_len);
        *to++ = 0;
    }
    return to;
}

bool kav_listing_take(kav_listing *listing, const uint8_t *replay)
{
    size_t len = text_of(replay);
    if (!len || len > KAV_LISTED_MAX - listing->text_len) return false;
    listing->files++;
    listing->data_len += (size_t)(kav_wire_replayed_end(replay) - replay);
    listing->text_len += len;
    return true;
}

int kav_listing_tell(const kav_listing *listing, kav_events *events, const uint8_t *message, const uint8_t *end)
{
    if (!listing->files) return 0;
    uint8_t *data = kav_events_add(events, KAV_EV_LISTED, listing->files, 0, listing->data_len, listing->text_len);
    if (!data) return -ENOMEM;
    uint8_t *text = data + listing->data_len;
    kav_listing again = {0}; /* the same replays are taken as the first time */
    for (const uint8_t *at = message, *next; at < end; at = next) {
        next = kav_wire_replayed_end(at);
        if (!kav_listing_take(&again, at)) continue;
        data = put(data, at, (size_t)(next - at));
        text = put_text(text, at);
    }
    return 0;
}
