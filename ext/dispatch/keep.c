#define _GNU_SOURCE
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FILES_NAME "files"

/* What another reading of the same bytes may well not show again. */
#define PASSING (KAV_R_TIME | KAV_R_UNREADABLE | KAV_R_CHANGED | KAV_R_WORKER | KAV_R_ENGINE)

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void failed(kav_keep *keep, int error)
{
    if (error && !keep->error) keep->error = error;
}

static kav_memory *open_memory(kav_keep *keep, const kav_dispatch_stores *stores, const char *name, bool journal)
{
    kav_memory_options options = {
        .folder = stores->folder,
        .name = name,
        .delta = stores->delta,
        .delta_len = stores->delta_len,
        .size_limit = stores->size_limit,
        .start_ns = stores->start_ns,
        .journal = journal,
    };
    memcpy(options.secret, stores->secret, sizeof options.secret);
    memcpy(options.generation, stores->generation, sizeof options.generation);
    kav_memory *memory = kav_memory_new(&options);
    if (!memory) failed(keep, -errno);
    return memory;
}

/* The table behind a descriptor has the length of its file. */
static uint64_t length_of(int fd)
{
    struct stat st;
    return fd >= 0 && !fstat(fd, &st) && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static kav_objects *open_objects(kav_keep *keep, const kav_dispatch_stores *stores)
{
    kav_objects_options options = {
        .memory = stores->objects_memory,
        .file = stores->objects_file,
        .memory_len = length_of(stores->objects_memory),
        .file_len = length_of(stores->objects_file),
        .writable = true,
    };
    memcpy(options.secret, stores->objects_secret, sizeof options.secret);
    kav_objects *objects = kav_objects_new(&options);
    if (!objects && errno == EPERM && options.file >= 0) {
        options.memory = -1; /* sealed by an earlier scan of this process: what that put there can still be read */
        options.memory_len = 0;
        objects = kav_objects_new(&options);
    }
    if (!objects) failed(keep, -errno);
    return objects;
}

/* A stamp of now on the file system of the stores, which often is the one that is scanned: a file made just now has it.
 * Without it the newest file of a tree that rests could never be told from one that is being changed. */
static void see_a_stamp(kav_keep *keep, int folder)
{
    struct stat st;
    int fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (fstat(fd, &st) == 0) {
        uint64_t dev = (uint64_t)major(st.st_dev) << 32 | minor(st.st_dev);
        kav_keep_newest(keep, dev, st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec);
    }
    close(fd);
}

int kav_keep_open(kav_keep *keep, const kav_dispatch_stores *stores)
{
    kav_keep_close(keep);
    keep->extra = malloc(KAV_EXTRA_MAX);
    if (!keep->extra) return -ENOMEM;
    keep->start_ns = stores->start_ns;
    if (stores->files) keep->files = open_memory(keep, stores, FILES_NAME, false);
    if (stores->journal && *stores->journal) keep->journal = open_memory(keep, stores, stores->journal, true);
    if (stores->objects_memory >= 0 || stores->objects_file >= 0) keep->objects = open_objects(keep, stores);
    see_a_stamp(keep, stores->folder);
    int error = keep->error;
    keep->error = 0; /* said now; what is open is used */
    return error;
}

void kav_keep_close(kav_keep *keep)
{
    if (keep->files) kav_memory_free(keep->files);
    if (keep->journal) kav_memory_free(keep->journal);
    if (keep->objects) kav_objects_free(keep->objects);
    free(keep->extra);
    *keep = (kav_keep){0};
}

/* ---- the rules -------------------------------------------------------------------------------------------------- */

static bool names_threat(const uint8_t *notes, size_t len)
{
    for (size_t at = 0; at < len;) {
        kav_note note;
        memcpy(&note, notes + at, sizeof note);
        if (note.name_len) return true;
        at += sizeof note + (((size_t)note.name_len + note.member_len + 7) & ~(size_t)7);
    }
    return false;
}

/* Clean, or partly seen for reasons that lie in the bytes and the settings; nothing found, nothing lifted. */
static bool is_lasting(const kav_item *item, const kav_said *said)
{
    const kav_result *result = said->result;
    if (result->reasons & ~(uint32_t)KAV_R_LASTING || result->flags & KAV_F_SUPPRESSED) return false;
    if (result->status != kav_status_of_reasons(result->reasons)) return false;
    return !names_threat(item->notes, item->notes_len) && !names_threat(said->notes, said->notes_len);
}

/* ---- facts ------------------------------------------------------------------------------------------------------ */

/* A list that says nothing but "this file", whose size the fact has anyway. */
static bool is_only_itself(const kav_said *said)
{
    kav_layer layer;
    if (said->result->layers != 1) return false;
    memcpy(&layer, said->layers, sizeof layer);
    return !layer.have && layer.size == said->result->size;
}

static bool has_layers(const kav_said *said)
{
    return said->result->flags & KAV_F_LAYERS && said->result->layers && said->layers;
}

/* Put together notes and layers behind a kav_extra; layers are left out where there is no room for both. NULL: not even
 * the notes fit. */
static const kav_extra *make_extra(kav_keep *keep, const kav_item *item, const kav_said *said, bool layers)
{
    size_t notes_len = item->notes_len + said->notes_len;
    size_t layers_len = layers ? said->result->layers_len : 0;
    if (notes_len > KAV_EXTRA_MAX - sizeof *keep->extra) return NULL;
    if (layers_len > KAV_EXTRA_MAX - sizeof *keep->extra - notes_len) layers_len = 0;
    *keep->extra = (kav_extra){
        .length = (uint32_t)(sizeof *keep->extra + notes_len + layers_len),
        .members = said->result->members,
        .notes = item->note_count + (said->notes_len ? said->result->notes : 0),
        .notes_len = (uint32_t)notes_len,
        .layers = layers_len ? said->result->layers : 0,
        .layers_len = (uint32_t)layers_len,
        .scanned = said->result->scanned,
    };
    uint8_t *at = (uint8_t *)(keep->extra + 1);
    if (item->notes_len) memcpy(at, item->notes, item->notes_len);
    at += item->notes_len;
    if (said->notes_len) memcpy(at, said->notes, said->notes_len);
    at += said->notes_len;
    if (layers_len) memcpy(at, said->layers, layers_len);
    return keep->extra;
}

/* A list that is not complete may lack anything. */
static uint8_t fact_flags(const kav_result *result)
{
    bool alone = result->flags & KAV_F_LAYERS && result->layers <= 1;
    return (result->flags & KAV_F_CONTAINER ? KAV_FACT_CONTAINER : 0) | (alone ? 0 : KAV_FACT_INSIDE) |
           (result->flags & KAV_F_UNOPENED ? KAV_FACT_UNOPENED : 0);
}

/* False: it is more than a store takes. */
static bool make_fact(kav_keep *keep, const kav_item *item, const kav_said *said, kav_keeping *keeping)
{
    const kav_result *result = said->result;
    keeping->fact = (kav_fact){
        .reasons = result->reasons,
        .format = result->format,
        .views = result->views,
        .status = result->status,
        .target = result->target,
        .flags = fact_flags(result),
    };
    bool plain = kav_fact_plain(&keeping->fact) && !item->notes_len && !said->notes_len;
    bool layers = has_layers(said);
    if (plain && (!layers || is_only_itself(said))) return true;
    keeping->extra = make_extra(keep, item, said, layers);
    if (!keeping->extra) return false;
    if (keeping->extra->layers) keeping->fact.flags |= KAV_FACT_LAYERS;
    return true;
}

kav_keeping kav_keep_judge(kav_keep *keep, const kav_item *item, const kav_said *said)
{
    kav_keeping keeping = {0};
    if (said->text_len) return keeping; /* nobody read it to the end */
    bool journal = keep->journal && !(said->result->reasons & PASSING);
    bool files = keep->files && is_lasting(item, said);
    if (!journal && !files) return keeping;
    if (!kav_keep_same(said->result, item->entry) || !make_fact(keep, item, said, &keeping)) return keeping;
    keeping.journal = journal;
    keeping.files = files;
    return keeping;
}

static bool has_place(const kav_entry *entry)
{
    static const uint8_t none[sizeof entry->place];
    return memcmp(entry->place, none, sizeof none) != 0;
}

int kav_keep_add(kav_keep *keep, const kav_keeping *keeping, const kav_entry *entry)
{
    if (!(keeping->files || keeping->journal) || !has_place(entry)) return 0;
    kav_fact fact = keeping->fact;
    fact.id = (kav_identity){
        .ino = entry->ino,
        .size = entry->size,
        .mtime_ns = entry->mtime_ns,
        .ctime_ns = entry->ctime_ns,
        .btime_ns = entry->btime_ns,
    };
    int error = 0;
    if (keeping->files && entry->flags & KAV_EF_KEEP)
        error = kav_memory_add(keep->files, entry->place, entry->dev, &fact, keeping->extra);
    if (keeping->journal && !error) {
        fact.flags |= KAV_FACT_JOURNAL;
        error = kav_memory_add(keep->journal, entry->place, entry->dev, &fact, keeping->extra);
    }
    return error;
}

/* ---- everything else -------------------------------------------------------------------------------------------- */

/* Nobody had the file open for writing when it was opened, and from then on every change would have shown in its times.
 * Whoever has it mapped for writing can show one content to what takes the fingerprint and another to what looks for
 * threats, and no time tells. */
static bool held_still(const kav_keep *keep, const kav_entry *entry, const kav_result *result)
{
    if (!(entry->flags & KAV_EF_KEEP) || !kav_keep_same(result, entry)) return false;
    return entry->ctime_ns < INT64_MAX - KAV_MEMORY_MARGIN_NS &&
           entry->ctime_ns + KAV_MEMORY_MARGIN_NS < keep->start_ns;
}

void kav_keep_learn(kav_keep *keep, const kav_item *item, const kav_said *said)
{
    if (!keep->objects || !said->learned) return;
    bool still = held_still(keep, item->entry, said->result);
    for (uint32_t i = 0; i < said->result->learned; i++) {
        kav_learned learned = said->learned[i];
        if (learned.reread && !still) continue;
        learned.reread = 0;
        kav_objects_put(keep->objects, &learned);
    }
}

int kav_keep_renew(kav_keep *keep, const uint8_t *message)
{
    const kav_renew_header *header = (const kav_renew_header *)message;
    const uint8_t *place = message + sizeof *header;
    int error = 0;
    for (uint32_t i = 0; keep->files && i < header->count && !error; i++, place += 16)
        error = kav_memory_renew(keep->files, place);
    return error;
}

int kav_keep_gone(kav_keep *keep, const uint8_t *message)
{
    const kav_gone_header *header = (const kav_gone_header *)message;
    if (!keep->files) return 0;
    return kav_memory_gone(keep->files, header->place, (const uint64_t *)(message + sizeof *header), header->count);
}

void kav_keep_newest(kav_keep *keep, uint64_t dev, int64_t ctime_ns)
{
    if (keep->files) kav_memory_newest(keep->files, dev, ctime_ns);
}

static void flush(kav_keep *keep, kav_memory *memory, bool last)
{
    if (!memory || !(last || kav_memory_due(memory))) return;
    int error = kav_memory_flush(memory, last);
    if (error != -EAGAIN) failed(keep, error); /* another process writes: nothing is wrong, and nothing waits for it */
}

void kav_keep_flush(kav_keep *keep, bool last)
{
    flush(keep, keep->files, last);
    flush(keep, keep->journal, last);
    if (keep->objects && (last || kav_objects_due(keep->objects))) failed(keep, kav_objects_flush(keep->objects));
}
