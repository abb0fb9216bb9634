#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* Not worth an object in Python unless somebody wants to see clean files. */
static bool is_plain(const kav_result *result, size_t notes_len)
{
    return result->status == KAV_CLEAN && !result->reasons && !notes_len &&
           !(result->flags & (KAV_F_CONTAINER | KAV_F_SUPPRESSED | KAV_F_UNOPENED));
}

static void count(kav_dispatch *d, const kav_result *result, uint64_t size, bool again)
{
    d->totals.files++;
    d->totals.bytes += size;
    d->totals.statuses[result->status]++;
    for (unsigned bit = 0; bit < KAV_REASON_COUNT; bit++)
        if (result->reasons & (1u << bit)) d->totals.reasons[bit]++;
    if (result->flags & KAV_F_UNOPENED) d->totals.unopened++;
    if (result->flags & KAV_F_SUPPRESSED) d->totals.suppressed++;
    if (again) return; /* the inode was read once, under its first path */
    d->totals.scanned += result->scanned;
    d->totals.members += result->members;
}

static void put_path(uint8_t *to, const kav_item *item)
{
    memcpy(to, kav_item_dir(item), item->entry->dir_len);
    memcpy(to + item->entry->dir_len, kav_item_name(item), item->entry->name_len);
}

static int emit(kav_dispatch *d, const kav_item *item, const kav_verdict *verdict)
{
    size_t path_len = (size_t)item->entry->dir_len + item->entry->name_len;
    uint8_t *to = kav_events_add(&d->events, KAV_EV_RESULT, item->tag, path_len, verdict->data_len, verdict->text_len);
    if (!to) return -ENOMEM;
    put_path(to, item);
    memcpy(to + path_len, verdict->bytes, (size_t)verdict->data_len + verdict->text_len);
    return 0;
}

static void done(kav_dispatch *d, kav_item *item)
{
    if (item->fd >= 0) d->fds_held--;
    d->outstanding--;
    kav_item_done(item);
}

/* The verdict as it is kept and repeated: the record, all notes, the text. */
static kav_verdict *compose(const kav_item *item, const kav_result *result, const uint8_t *notes, const void *text,
                            size_t text_len)
{
    size_t notes_len = item->notes_len + result->payload_len;
    kav_verdict *verdict = malloc(sizeof *verdict + sizeof *result + notes_len + text_len);
    if (!verdict) return NULL;
    kav_result whole = *result;
    whole.notes += item->note_count;
    whole.payload_off = 0;
    whole.payload_len = notes_len;
    verdict->data_len = (uint32_t)(sizeof whole + notes_len);
    verdict->text_len = (uint32_t)text_len;
    uint8_t *at = verdict->bytes;
    memcpy(at, &whole, sizeof whole);
    at += sizeof whole;
    if (item->notes_len) memcpy(at, item->notes, item->notes_len);
    at += item->notes_len;
    if (result->payload_len) memcpy(at, notes, result->payload_len);
    at += result->payload_len;
    if (text_len) memcpy(at, text, text_len);
    return verdict;
}

static int conclude(kav_dispatch *d, kav_item *item, const kav_result *result, const uint8_t *notes, const void *text,
                    size_t text_len)
{
    kav_verdict *verdict = NULL;
    if (d->options.want_clean || text_len || !is_plain(result, item->notes_len + result->payload_len)) {
        verdict = compose(item, result, notes, text, text_len);
        if (!verdict) return -ENOMEM;
    }
    count(d, result, result->size, false);
    int failed = verdict ? emit(d, item, verdict) : 0;

    for (kav_item *alias = item->aliases, *next; alias; alias = next) {
        next = alias->next;
        count(d, result, result->size, true);
        if (verdict && !failed) failed = emit(d, alias, verdict);
        done(d, alias);
    }
    kav_seen_slot *slot = item->first ? kav_seen_find(&d->seen, item->entry->dev, item->entry->ino) : NULL;
    if (slot && slot->item == item) {
        kav_seen_settle(slot, verdict);
    } else {
        free(verdict);
    }
    done(d, item);
    return failed;
}

int kav_settle(kav_dispatch *d, kav_item *item, const kav_result *result, const uint8_t *notes)
{
    return conclude(d, item, result, notes, NULL, 0);
}

int kav_settle_failed(kav_dispatch *d, kav_item *item, uint32_t reason, const void *text, size_t text_len)
{
    kav_item_drop_notes(item);
    kav_result result = {
        .status = KAV_ERROR,
        .reasons = reason,
        .size = item->entry->size,
        .dev = item->entry->dev,
        .ino = item->entry->ino,
        .mtime_ns = item->entry->mtime_ns,
        .ctime_ns = item->entry->ctime_ns,
    };
    return conclude(d, item, &result, NULL, text, text_len);
}

static void wait_for(kav_dispatch *d, kav_item *first, kav_item *alias)
{
    if (alias->fd >= 0) { /* will not be read: give the descriptor back now */
        kav_item_close(alias);
        d->fds_held--;
    }
    alias->next = first->aliases;
    first->aliases = alias;
}

int kav_settle_join(kav_dispatch *d, kav_item *item, bool *joined)
{
    *joined = false;
    kav_seen_slot *slot = kav_seen_find(&d->seen, item->entry->dev, item->entry->ino);
    if (!slot) { /* without memory for the table it is simply scanned for itself */
        item->first = kav_seen_put(&d->seen, item) != NULL;
        return 0;
    }
    if (!kav_seen_same(slot, item->entry)) {
        if (slot->item) return 0; /* the older state is still being read; this one for itself */
        kav_seen_renew(slot, item);
        item->first = true;
        return 0;
    }
    *joined = true;
    if (slot->item) {
        wait_for(d, slot->item, item);
        return 0;
    }
    kav_result plain = {.status = KAV_CLEAN};
    if (slot->verdict) memcpy(&plain, slot->verdict->bytes, sizeof plain);
    count(d, &plain, item->entry->size, true);
    int failed = slot->verdict ? emit(d, item, slot->verdict) : 0;
    done(d, item);
    return failed;
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
