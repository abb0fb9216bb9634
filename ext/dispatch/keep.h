/* Keep: which verdicts are remembered, and where (ext/cache, ext/objects). Without stores all of it does nothing.
 *
 *     files     facts that later scans believe: the identity held still, nobody had the file open for writing (the
 * walker says so with KAV_EF_KEEP), and the same bytes would give the same verdict again journal   every verdict that
 * this scan need not reach twice when it is resumed, threats too objects   what workers learned of contents
 */
#ifndef KAV_KEEP_H
#define KAV_KEEP_H

#include "dispatch.h"
#include "item.h"
#include "objects.h"
#include "remember.h"

/* A verdict with everything that a worker said of the object; result->payload_len and what follows it are not looked
 * at. The item holds the notes that went ahead. */
typedef struct {
    const kav_result *result;
    const uint8_t *notes, *layers;
    size_t notes_len;
    const kav_learned *learned; /* result->learned of them */
    const void *text;           /* why, where the coordinator gave the verdict */
    size_t text_len;
} kav_said;

typedef struct {
    kav_memory *files, *journal;
    kav_objects *objects;
    kav_extra *extra; /* KAV_EXTRA_MAX bytes, to put extras together in */
    int64_t start_ns; /* when the scan began */
    int error;        /* -errno: the first reason why something is not remembered */
} kav_keep;

/* 0 or -errno: of what cannot be used; the rest is. */
int kav_keep_open(kav_keep *keep, const kav_dispatch_stores *stores);
void kav_keep_close(kav_keep *keep);

/* What the rules make of a verdict; the same for all paths to the inode. */
typedef struct {
    kav_fact fact;
    const kav_extra *extra; /* the keep's, until the next judgement */
    bool files, journal;    /* where it goes */
} kav_keeping;

kav_keeping kav_keep_judge(kav_keep *keep, const kav_item *item, const kav_said *said);

/* Remember it for one path, if the rules let this path's entry in. 0 or -ENOMEM. */
int kav_keep_add(kav_keep *keep, const kav_keeping *keeping, const kav_entry *entry);

void kav_keep_learn(kav_keep *keep, const kav_item *item, const kav_said *said);
int kav_keep_renew(kav_keep *keep, const uint8_t *message); /* a checked KAV_RENEW_MAGIC; 0 or -ENOMEM */
int kav_keep_gone(kav_keep *keep, const uint8_t *message);  /* a checked KAV_GONE_MAGIC */
void kav_keep_newest(kav_keep *keep, uint64_t dev, int64_t ctime_ns);

/* Write what is due; with last everything. What went wrong is in keep->error. */
void kav_keep_flush(kav_keep *keep, bool last);

/* The content and the times of the inode that was read are those of an entry, and stayed so. */
static inline bool kav_keep_same(const kav_result *result, const kav_entry *entry)
{
    return result->flags & KAV_F_STABLE && result->dev == entry->dev && result->ino == entry->ino &&
           result->size == entry->size && result->mtime_ns == entry->mtime_ns && result->ctime_ns == entry->ctime_ns;
}

#endif
