/* Cache writer: the one process that holds the lock changes a cache file, in batches.
 *
 *     kav_cachewrite_begin     lock, look whether the file was replaced or written meanwhile
 *     kav_cachewrite_put ...   records, each readable as soon as it is written
 *     kav_cachewrite_end       sums, unlock
 *
 * Whatever fails half-way leaves records that cannot be believed, never wrong ones.
 */
#ifndef KAV_CACHEWRITE_H
#define KAV_CACHEWRITE_H

#include "cachelayout.h"

/* Records that are appended but not written yet: they stand at the end of the file, one behind the other. */
typedef struct {
    uint64_t at;
    size_t length;
    uint8_t *bytes; /* KAV_CACHE_TAIL, once there are some */
} kav_cache_tail;

#define KAV_CACHE_TAIL (256u << 10)

/* What was found where a place's record is to be. */
typedef struct {
    uint8_t place[16];
    kav_cache_slot slot;
    uint64_t slot_at;            /* 0 = no room for one */
    uint32_t facts, capacity;    /* of the record */
    bool asked, taken, believed; /* found out; the slot is in use; it leads to the record */
} kav_cache_site;

typedef struct {
    kav_cachefile file; /* .fd -1: there is none yet */
    int folder;         /* the caller's */
    int lock;           /* descriptor of NAME.lock */
    char *name, *name_new;
    kav_cache_tally tally; /* valid between begin and end */
    kav_cache_tail tail;
    kav_cache_site site; /* of the place that was read last */
    uint8_t *bytes;      /* the record that is being made */
    size_t room;
} kav_cachewrite;

/* A fact on its way into a record. */
typedef struct {
    kav_fact fact;          /* .extra is ignored */
    const kav_extra *extra; /* or NULL */
} kav_cache_item;

/* Open the file or make it; where another process holds the lock it is made later. 0, -EINVAL (damaged or foreign),
 * -errno. */
int kav_cachewrite_open(kav_cachewrite *w, int folder, const char *name, const uint8_t secret[KAV_SECRET],
                        uint64_t limit);
void kav_cachewrite_close(kav_cachewrite *w);

/* 0; -EAGAIN: another process is writing (patient: for 100 ms already); -EINVAL; -errno. */
int kav_cachewrite_begin(kav_cachewrite *w, bool patient);
/* generation: which was written, NULL = none. */
int kav_cachewrite_end(kav_cachewrite *w, const uint8_t generation[16]);

/* The record of a place, as kav_cachefile_read. */
int kav_cachewrite_read(kav_cachewrite *w, const uint8_t place[16], kav_record *record);

/* Write a record: items sorted by inode, at most KAV_RECORD_FACTS with KAV_EXTRAS_MAX bytes of extras. 0; 1 = the size
 * limit leaves no room; -errno. */
int kav_cachewrite_put(kav_cachewrite *w, const uint8_t place[16], const uint8_t generations[KAV_FACT_GENERATIONS][16],
                       const kav_cache_item *items, uint32_t count, bool split);

/* Give a record that was just read other generations; its facts and extras stay. */
int kav_cachewrite_renew(kav_cachewrite *w, const kav_record *record,
                         const uint8_t generations[KAV_FACT_GENERATIONS][16]);

/* For cacherebuild.c: */
/* The head that a slot leads to; false = none that is to be believed. */
bool kav_cache_head(const kav_cachefile *file, const kav_cache_slot *slot, kav_record_head *head);
int kav_cache_pwrite(int fd, const void *bytes, size_t length, uint64_t at);
/* Seal the record in bytes (head, facts, extras), append it and let the slot lead to it: to nothing until the tail is
 * written, so that this is for slots that led nowhere before. */
int kav_cache_append(const kav_cachefile *file, kav_cache_tally *tally, kav_cache_tail *tail, uint8_t *bytes,
                     uint64_t slack, kav_cache_slot slot, uint64_t slot_at);
int kav_cache_write_tail(const kav_cachefile *file, kav_cache_tail *tail);
int kav_cache_write_tally(const kav_cachefile *file, kav_cache_tally *tally);
int kav_cache_write_stamp(const kav_cachefile *file);
/* Make an index of twice the size behind all records; the tail has been written. */
int kav_cache_grow(kav_cachewrite *w);
/* Make the file anew under NAME.new and rename it: everything that is worth it moves there. With slots for more records
 * than these; cut: the records written longest ago are left behind until 3/4 of the limit are in use. */
int kav_cache_rebuild(kav_cachewrite *w, bool cut);

#endif
