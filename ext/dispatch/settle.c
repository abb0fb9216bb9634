#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "listed.h"
#include "merge.h"
#include "state.h"
#include "wire.h"

/* Clean, complete, and nothing else to be counted: in the table of inodes no verdict says just that. */
static bool is_plain(const kav_result *result, size_t notes_len)
{
    return result->status == KAV_CLEAN && !result->reasons && !notes_len && !result->members &&
           !(result->flags & (KAV_F_CONTAINER | KAV_F_SUPPRESSED | KAV_F_UNOPENED));
}

/* Worth an object in Python. What is clean and complete holds nothing but clean members. */
static bool is_told(const kav_dispatch *d, const kav_result *result)
{
    return d->options.want_clean || result->status != KAV_CLEAN || result->reasons;
}

enum occasion {
    READ,     /* now, under this path */
    REPEATED, /* the inode was read under another path */
    REPLAYED  /* it is unchanged */
};

static void count(kav_dispatch *d, const kav_result *result, uint64_t size, enum occasion occasion)
{
    kav_dispatch_totals *totals = &d->totals;
    totals->files++;
    totals->bytes += size;
    totals->statuses[result->status]++;
    for (unsigned bit = 0; bit < KAV_REASON_COUNT; bit++)
        if (result->reasons & (1u << bit)) totals->reasons[bit]++;
    if (result->flags & KAV_F_UNOPENED) totals->unopened++;
    if (result->flags & KAV_F_SUPPRESSED) totals->suppressed++;
    if (result->flags & KAV_F_DELTA) totals->delta++;
    if (occasion == REPEATED) return;
    totals->members += result->members;
    if (occasion == READ) totals->scanned += result->scanned;
    if (occasion != REPLAYED) return;
    totals->known++;
    totals->known_bytes += size;
}

static void put_path(uint8_t *to, const kav_item *item)
{
    memcpy(to, kav_item_dir(item), item->entry->dir_len);
    memcpy(to + item->entry->dir_len, kav_item_name(item), item->entry->name_len);
}

/* Which file it is about is the walker's to say: what is found is acted upon, and a worker must not be able to point at
 * another file, nor at another state of this one. */
static void put_record(uint8_t *to, const kav_entry *entry, const kav_verdict *verdict)
{
    kav_result record;
    memcpy(&record, verdict->bytes, sizeof record);
    record.dev = entry->dev;
    record.ino = entry->ino;
    record.size = entry->size;
    record.mtime_ns = entry->mtime_ns;
    record.ctime_ns = entry->ctime_ns;
    memcpy(to, &record, sizeof record);
    memcpy(to + sizeof record, verdict->bytes + sizeof record, (size_t)verdict->data_len - sizeof record);
}

static int emit(kav_dispatch *d, const kav_item *item, const kav_verdict *verdict)
{
    size_t path_len = (size_t)item->entry->dir_len + item->entry->name_len;
    size_t layers_len = d->options.one_by_one ? verdict->layers_len : 0, data_len = verdict->data_len + layers_len;
    uint8_t *to = kav_events_add(&d->events, KAV_EV_RESULT, item->tag, path_len, data_len, verdict->text_len);
    if (!to) return -ENOMEM;
    put_path(to, item);
    put_record(to + path_len, item->entry, verdict);
    const uint8_t *text = verdict->bytes + verdict->data_len;
    memcpy(to + path_len + verdict->data_len, text + verdict->text_len, layers_len);
    memcpy(to + path_len + data_len, text, verdict->text_len);
    return 0;
}

static void done(kav_dispatch *d, kav_item *item)
{
    if (item->fd >= 0) d->fds_held--;
    d->outstanding--;
    kav_item_done(item, kav_dispatch_spent(d));
}

/* The verdict as it is kept and repeated: the record, all notes, the text, the layers. */
static kav_verdict *compose(const kav_item *item, const kav_said *said)
{
    size_t notes_len = item->notes_len + said->notes_len;
    uint32_t layers_len = said->layers ? said->result->layers_len : 0;
    kav_verdict *verdict = malloc(sizeof *verdict + sizeof *said->result + notes_len + said->text_len + layers_len);
    if (!verdict) return NULL;
    kav_result whole = *said->result;
    whole.notes = item->note_count + (said->notes_len ? whole.notes : 0);
    whole.payload_off = 0;
    whole.payload_len = notes_len;
    whole.learned = 0;
    verdict->data_len = (uint32_t)(sizeof whole + notes_len);
    verdict->text_len = (uint32_t)said->text_len;
    verdict->layers_len = layers_len;
    uint8_t *at = verdict->bytes;
    memcpy(at, &whole, sizeof whole);
    at += sizeof whole;
    if (item->notes_len) memcpy(at, item->notes, item->notes_len);
    at += item->notes_len;
    if (said->notes_len) memcpy(at, said->notes, said->notes_len);
    at += said->notes_len;
    if (said->text_len) memcpy(at, said->text, said->text_len);
    at += said->text_len;
    if (layers_len) memcpy(at, said->layers, layers_len);
    return verdict;
}

/* The same seen from the other side. */
static kav_said said_before(const kav_verdict *verdict)
{
    const uint8_t *text = verdict->bytes + verdict->data_len;
    return (kav_said){
        .result = (const kav_result *)verdict->bytes,
        .notes = verdict->bytes + sizeof(kav_result),
        .notes_len = verdict->data_len - sizeof(kav_result),
        .text = text,
        .text_len = verdict->text_len,
        .layers = text + verdict->text_len,
    };
}

/* ---- other paths to the same inode ------------------------------------------------------------------------------ */

/* A verdict that came about for reasons outside the bytes. */
static bool came_to_nothing(const kav_result *result)
{
    return (result->reasons & (KAV_R_WORKER | KAV_R_TIME | KAV_R_UNREADABLE | KAV_R_ENGINE)) != 0;
}

/* Good for whoever asks for that state of the inode. One that came to nothing is tried again, once: a file that kills
 * workers may have 65,000 names. */
static bool is_shared(const kav_item *item, const kav_result *result)
{
    if (item->aborted) return false;
    if (came_to_nothing(result)) return item->second;
    return kav_keep_same(result, item->entry);
}

static void scan_each(kav_dispatch *d, kav_item *aliases)
{
    for (kav_item *alias = aliases, *next; alias; alias = next) {
        next = alias->next;
        kav_give_push(d, alias);
    }
}

/* The first of those who wait is scanned, under its own deadline; the others wait for it. */
static void try_second(kav_dispatch *d, kav_item *first, kav_item *aliases)
{
    kav_item *heir = aliases;
    heir->aliases = heir->next;
    heir->second = true;
    kav_seen_slot *slot = first->first ? kav_seen_find(&d->seen, heir->entry->dev, heir->entry->ino) : NULL;
    if (slot && slot->item == first) {
        kav_seen_renew(slot, heir);
        heir->first = true;
    }
    kav_give_push(d, heir);
}

static int repeat(kav_dispatch *d, kav_item *aliases, const kav_result *result, const kav_verdict *verdict,
                  const kav_keeping *keeping)
{
    int failed = 0;
    for (kav_item *alias = aliases, *next; alias; alias = next) {
        next = alias->next;
        count(d, result, result->size, REPEATED);
        if (!failed && is_told(d, result)) failed = emit(d, alias, verdict);
        if (!failed) failed = kav_keep_add(&d->keep, keeping, alias->entry);
        done(d, alias);
    }
    return failed;
}

/* The table of inodes owns the verdict from here on. */
static void leave_in_table(kav_dispatch *d, kav_item *item, const kav_result *result, kav_verdict *verdict, bool share)
{
    kav_seen_slot *slot = item->first ? kav_seen_find(&d->seen, item->entry->dev, item->entry->ino) : NULL;
    if (!slot || slot->item != item) {
        free(verdict);
        return;
    }
    if (item->asked) {
        kav_seen_remove(&d->seen, slot);
        free(verdict);
        return;
    }
    kav_seen_settle(slot, verdict, share);
    slot->failed = came_to_nothing(result);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------ */

static bool keeps(const kav_dispatch *d)
{
    return d->keep.files || d->keep.journal;
}

static int conclude(kav_dispatch *d, kav_item *item, const kav_said *said)
{
    const kav_result *result = said->result;
    bool told = is_told(d, result);
    kav_verdict *verdict = NULL;
    if (told || (item->first && (keeps(d) || !is_plain(result, item->notes_len + said->notes_len)))) {
        verdict = compose(item, said);
        if (!verdict) return -ENOMEM;
    }
    count(d, result, result->size, READ);
    int failed = told ? emit(d, item, verdict) : 0;
    kav_keeping keeping = kav_keep_judge(&d->keep, item, said);
    if (!failed) failed = kav_keep_add(&d->keep, &keeping, item->entry);

    bool share = is_shared(item, result);
    kav_item *aliases = item->aliases;
    item->aliases = NULL;
    if (aliases && share) {
        int now = repeat(d, aliases, result, verdict, &keeping);
        if (!failed) failed = now;
    } else if (aliases && came_to_nothing(result)) {
        try_second(d, item, aliases);
    } else {
        scan_each(d, aliases);
    }
    leave_in_table(d, item, result, verdict, share);
    done(d, item);
    return failed;
}

int kav_settle(kav_dispatch *d, kav_item *item, const kav_said *said)
{
    if (item->told) {
        done(d, item);
        return 0;
    }
    kav_keep_learn(&d->keep, item, said);
    int next = kav_merge_next(d, item, said->result);
    if (!item->earlier && next < 0 && !kav_merge_names(item, said->result)) return conclude(d, item, said);
    if (kav_merge_add(item, said)) return -ENOMEM;
    if (next >= 0) {
        kav_give_on(d, item, (uint32_t)next);
        return 0;
    }
    kav_said whole = kav_merge_said(item);
    return conclude(d, item, &whole);
}

static kav_result failure(const kav_item *item, uint32_t reason)
{
    return (kav_result){
        .status = KAV_ERROR,
        .reasons = reason,
        .size = item->entry->size,
        .dev = item->entry->dev,
        .ino = item->entry->ino,
        .mtime_ns = item->entry->mtime_ns,
        .ctime_ns = item->entry->ctime_ns,
    };
}

int kav_settle_failed(kav_dispatch *d, kav_item *item, uint32_t reason, const void *text, size_t text_len)
{
    kav_item_drop_notes(item);
    kav_result result = failure(item, reason);
    return kav_settle(d, item, &(kav_said){.result = &result, .text = text, .text_len = text_len});
}

/* The worker keeps the item, so that its answer can be checked. Who waited is scanned without it. */
static int tell_ahead(kav_dispatch *d, kav_item *item, const kav_said *said)
{
    kav_verdict *verdict = compose(item, said);
    if (!verdict) return -ENOMEM;
    count(d, said->result, said->result->size, READ);
    int failed = emit(d, item, verdict);
    free(verdict);
    item->told = true;
    kav_item *aliases = item->aliases;
    item->aliases = NULL;
    if (aliases) try_second(d, item, aliases);
    kav_seen_slot *slot = item->first ? kav_seen_find(&d->seen, item->entry->dev, item->entry->ino) : NULL;
    if (slot && slot->item == item) kav_seen_remove(&d->seen, slot);
    return failed;
}

/* flying: it is with a worker that goes on. No other class is asked: nobody waits. */
int kav_settle_abort(kav_dispatch *d, kav_item *item, bool flying, const void *text, size_t text_len)
{
    kav_item_drop_notes(item);
    item->aborted = true;
    kav_result result = failure(item, KAV_R_TIME);
    kav_said said = {.result = &result, .text = text, .text_len = text_len};
    if (item->earlier) {
        if (kav_merge_add(item, &said)) return -ENOMEM;
        said = kav_merge_said(item);
    }
    return flying ? tell_ahead(d, item, &said) : conclude(d, item, &said);
}

/* The inode is in the table, in another state, or without a verdict that is good for this path. */
static void begin_anew(kav_seen_slot *slot, kav_item *item)
{
    item->second = slot->failed && kav_seen_same(slot, item->entry);
    kav_seen_renew(slot, item);
    item->first = true;
}

/* Another path to an inode that has its verdict. */
static int repeat_later(kav_dispatch *d, kav_item *item, const kav_verdict *verdict)
{
    kav_result plain = {.status = KAV_CLEAN, .size = item->entry->size};
    const kav_said said = verdict ? said_before(verdict) : (kav_said){.result = &plain};
    kav_keeping keeping = kav_keep_judge(&d->keep, item, &said);
    count(d, said.result, item->entry->size, REPEATED);
    int failed = verdict && is_told(d, said.result) ? emit(d, item, verdict) : 0;
    if (!failed) failed = kav_keep_add(&d->keep, &keeping, item->entry);
    done(d, item);
    return failed;
}

int kav_settle_join(kav_dispatch *d, kav_item *item, bool *joined)
{
    *joined = false;
    kav_seen_slot *slot = kav_seen_find(&d->seen, item->entry->dev, item->entry->ino);
    if (!slot) { /* without memory for the table it is simply scanned for itself */
        item->first = kav_seen_put(&d->seen, item) != NULL;
        return 0;
    }
    bool same = kav_seen_same(slot, item->entry);
    if (slot->item && !same) return 0; /* the older state is still being read; this one for itself */
    if (!slot->item && (!same || slot->dropped || item->asked)) {
        begin_anew(slot, item);
        return 0;
    }
    *joined = true;
    if (slot->item) { /* its descriptor stays open until it is certain that nobody has to read it */
        item->next = slot->item->aliases;
        slot->item->aliases = item;
        return 0;
    }
    return repeat_later(d, item, slot->verdict);
}

/* ---- what needs no scan ----------------------------------------------------------------------------------------- */

int kav_settle_known(kav_dispatch *d, const kav_known_header *header)
{
    d->totals.entries[KAV_E_FILE] += header->files;
    d->totals.files += header->files;
    d->totals.bytes += header->bytes;
    d->totals.statuses[KAV_CLEAN] += header->files;
    d->totals.known += header->files;
    d->totals.known_bytes += header->bytes;
    d->totals.members += header->members;
    if (!d->options.want_clean) return 0;
    size_t sizes_len = header->names * sizeof(uint64_t);
    const uint8_t *sizes = (const uint8_t *)(header + 1);
    const uint8_t *directory = sizes + sizes_len;
    uint8_t *to =
        kav_events_add(&d->events, KAV_EV_KNOWN, header->files, header->dir_len, sizes_len, header->names_len);
    if (!to) return -ENOMEM;
    memcpy(to, directory, header->dir_len);
    memcpy(to + header->dir_len, sizes, sizes_len);
    memcpy(to + header->dir_len + sizes_len, directory + header->dir_len, header->names_len);
    return 0;
}

static int tell_replay(kav_dispatch *d, const uint8_t *replay)
{
    const kav_replay_header *header = (const kav_replay_header *)replay;
    const kav_result *result = kav_wire_replayed(replay);
    uint8_t *to =
        kav_events_add(&d->events, KAV_EV_RESULT, 0, header->path_len, sizeof *result + (size_t)header->notes_len, 0);
    if (!to) return -ENOMEM;
    memcpy(to, kav_wire_replayed_path(replay), header->path_len);
    memcpy(to + header->path_len, result, sizeof *result);
    memcpy(to + header->path_len + sizeof *result, kav_wire_replayed_notes(replay), header->notes_len);
    return 0;
}

int kav_settle_replay(kav_dispatch *d, const uint8_t *message, size_t len)
{
    const uint8_t *end = message + len;
    kav_listing listing = {0};
    for (const uint8_t *at = message, *next; at < end; at = next) {
        const kav_result *result = kav_wire_replayed(at);
        next = kav_wire_replayed_end(at);
        d->totals.entries[KAV_E_FILE]++;
        count(d, result, result->size, REPLAYED);
        if (!is_told(d, result) || kav_listing_take(&listing, at)) continue;
        int failed = tell_replay(d, at);
        if (failed) return failed;
    }
    return kav_listing_tell(&listing, &d->events, message, end);
}

int kav_settle_entry(kav_dispatch *d, uint32_t walker, const kav_entry *entry, const uint8_t *blob)
{
    d->totals.entries[entry->kind]++;
    if (entry->kind == KAV_E_FILE) return 0;
    if (entry->kind == KAV_E_ERROR) {
        d->totals.statuses[KAV_ERROR]++;
        d->totals.reasons[__builtin_ctz(KAV_R_UNREADABLE)]++;
        if (!(entry->flags & KAV_EF_DIR)) d->totals.files++;
    }
    size_t path_len = (size_t)entry->dir_len + entry->name_len;
    uint8_t *to = kav_events_add(&d->events, KAV_EV_ENTRY, walker, path_len, sizeof *entry, 0);
    if (!to) return -ENOMEM;
    memcpy(to, blob + entry->dir_off, entry->dir_len);
    memcpy(to + entry->dir_len, blob + entry->name_off, entry->name_len);
    memcpy(to + path_len, entry, sizeof *entry);
    return 0;
}
