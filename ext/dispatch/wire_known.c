/* What a walker says of files that need no scan: counted, replayed, renewed, gone. */
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "wire.h"

/* One file cannot make the counts of a run meaningless: sums of what passes here do not overflow in a run's time. */
#define KNOWN_FILES_MAX (1ull << 32)
#define KNOWN_BYTES_MAX ((uint64_t)INT64_MAX)

#define PLACE_LEN 16u

/* len bytes hold count strings with a NUL behind each, none of them empty, none longer than room. */
static const char *check_names(const uint8_t *names, uint64_t len, uint32_t count, uint64_t room)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *end = at < len ? memchr(names + at, 0, len - at) : NULL;
        if (!end) return "fewer names than files";
        uint64_t name_len = (uint64_t)(end - names) - at;
        if (!name_len) return "empty name";
        if (name_len > room) return "path too long";
        at += name_len + 1;
    }
    return at == len ? NULL : "more names than files";
}

static bool sizes_are(const uint8_t *sizes, uint32_t count, uint64_t bytes)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size;
        memcpy(&size, sizes + i * sizeof size, sizeof size);
        if (size > bytes - sum) return false;
        sum += size;
    }
    return sum == bytes;
}

const char *kav_wire_known(const uint8_t *frame, size_t len)
{
    kav_known_header header;
    if (len < sizeof header) return "known files shorter than their header";
    memcpy(&header, frame, sizeof header);
    if (!header.files || header.files > KNOWN_FILES_MAX) return "number of known files out of range";
    if (header.members > KNOWN_BYTES_MAX || (header.names && header.members)) return "members out of range";
    if (header.bytes > KNOWN_BYTES_MAX) return "size of known files out of range";
    if (header.names && header.names != header.files) return "names of some known files only";
    uint64_t sizes_len = (uint64_t)header.names * sizeof(uint64_t);
    if (len != sizeof header + sizes_len + header.dir_len + header.names_len) return "known files of a wrong length";
    if (!header.names) return header.dir_len || header.names_len ? "known files with a directory but no names" : NULL;

    const uint8_t *sizes = frame + sizeof header;
    const uint8_t *directory = sizes + sizes_len;
    if (header.dir_len > KAV_PATH_MAX) return "path too long";
    if (memchr(directory, 0, header.dir_len)) return "NUL in a directory";
    if (header.dir_len && directory[header.dir_len - 1] != '/') return "directory without its final slash";
    if (!sizes_are(sizes, header.names, header.bytes)) return "sizes of known files do not add up";
    return check_names(directory + header.dir_len, header.names_len, header.names, KAV_PATH_MAX - header.dir_len);
}

/* One replay at the beginning of len bytes; *need: how many of them are its own. */
static const char *check_replay(const uint8_t *frame, size_t len, size_t *need)
{
    kav_replay_header header;
    if (len < sizeof header + sizeof(kav_result)) return "replay shorter than its header";
    memcpy(&header, frame, sizeof header);
    if (header.magic != KAV_REPLAY_MAGIC) return "no replay behind a replay";
    if (header.reserved) return "reserved bytes of a replay are used";
    if (!header.path_len || header.path_len > KAV_PATH_MAX) return "replay's path out of range";
    if (header.notes_len % 8) return "replay's notes are not aligned";
    size_t path_room = kav_wire_padded(header.path_len);
    uint64_t whole = sizeof header + sizeof(kav_result) + path_room + (uint64_t)header.notes_len;
    if (whole > len) return "replay of a wrong length";
    *need = (size_t)whole;
    if (header.entry.kind != KAV_E_FILE || !S_ISREG(header.entry.mode)) return "replay of what is no file";
    const uint8_t *path = kav_wire_replayed_path(frame);
    if (memchr(path, 0, header.path_len)) return "NUL in a path";

    const kav_result *result = kav_wire_replayed(frame);
    if (result->payload_len != header.notes_len) return "replay's notes are not where they belong";
    if (result->layers || result->layers_len || result->learned) return "replay with layers";
    if (!(result->flags & KAV_F_CACHED) || result->flags & KAV_F_MORE) return "replay with wrong flags";
    int gravest = 0;
    return kav_wire_record(result, path + path_room, KAV_WIRE_ANY, &gravest);
}

const char *kav_wire_replay(const uint8_t *frame, size_t len)
{
    const char *wrong;
    size_t at = 0, need = 0;
    do {
        wrong = check_replay(frame + at, len - at, &need);
        at += need;
    } while (!wrong && at < len);
    return wrong;
}

static const char *check_count(uint64_t count, uint64_t unit, uint64_t room)
{
    if (!count) return "message that says nothing";
    return room == count * unit ? NULL : "message of a wrong length";
}

const char *kav_wire_renew(const uint8_t *frame, size_t len)
{
    kav_renew_header header;
    if (len < sizeof header) return "renewal shorter than its header";
    memcpy(&header, frame, sizeof header);
    return check_count(header.count, PLACE_LEN, len - sizeof header);
}

const char *kav_wire_gone(const uint8_t *frame, size_t len)
{
    kav_gone_header header;
    if (len < sizeof header) return "gone inodes shorter than their header";
    memcpy(&header, frame, sizeof header);
    return check_count(header.count, sizeof(uint64_t), len - sizeof header);
}
