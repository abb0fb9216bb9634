/* Cache file: a store of records in one file, written by one process at a time and read by any number.
 *
 *     +------------------+ 0
 *     | header, sealed   |  magic, version, where the index is, sums, generations in use
 *     +------------------+ 4096
 *     | index            |  buckets of slots {tag, offset, length}; open addressing
 *     +------------------+
 *     | records          |  appended; rewritten in place when the new one fits
 *     | larger index     |  appended when the one before is full; that one stays for who still reads it
 *     | records          |
 *     +------------------+
 *
 * Everything is read with pread into memory of the reader, and believed only when its seal and its place are right: a
 * torn, stale, cut or damaged record is a miss. Nothing is mapped, so nothing can make a reader crash. Readers take no
 * lock. A writer holds flock() for one short batch and never waits for it; who does not get it keeps its facts for the
 * next time, up to a bound. When half of the file is garbage or the size limit is reached, the writer makes a new file
 * beside it and renames: readers of the old one go on.
 */
#ifndef KAV_CACHEFILE_H
#define KAV_CACHEFILE_H

#include "fact.h"
#include "place.h"

typedef struct kav_cachefile kav_cachefile;

typedef struct {
    uint64_t size;           /* bytes of the file, and of it: */
    uint64_t live, garbage;  /* records in use; replaced ones */
    uint64_t records, facts; /* directories (and parts of large ones); files */
    uint64_t slots;          /* room in the index */
    uint64_t limit;          /* bytes */
} kav_cachefile_stats;

#define KAV_RECORD_FACTS 8192         /* more than that: the record is split */
#define KAV_PART_FACTS   1024         /* the same of a part */
#define KAV_LEAF_FACTS   128          /* the same of a part of a part */
#define KAV_EXTRAS_MAX   (512u << 10) /* bytes of extras in a record; more: split */
#define KAV_PART_EXTRAS  (64u << 10)  /* the same of a part */

enum kav_cache_error {
    KAV_CACHE_OK = 0,
    KAV_CACHE_FOREIGN = 1, /* another version, or not ours at all */
    KAV_CACHE_DAMAGED = 2, /* the header's seal is broken */
    KAV_CACHE_SYSTEM = 3   /* errno says why */
};

/* Open for reading; fd stays the caller's and must outlive the result. Header checked. */
enum kav_cache_error kav_cachefile_open(int fd, const uint8_t secret[KAV_SECRET], kav_cachefile **out);
void kav_cachefile_close(kav_cachefile *file);

/* One reader's buffer. All zero = empty. Not shared between threads. */
typedef struct {
    uint8_t *bytes;
    size_t room;
    /* valid after kav_cachefile_read returned 1 */
    uint8_t place[16];
    uint8_t generations[KAV_FACT_GENERATIONS][16];
    const kav_fact *facts; /* sorted by inode */
    uint32_t count;
    uint32_t split;     /* >0: a large directory; its facts lie in parts, see kav_part_place */
    uint64_t at;        /* in the file */
    uint64_t written;   /* number of the batch that wrote it last */
    uint32_t capacity;  /* bytes that it may grow to where it stands */
    uint64_t extras_at; /* in the file; kav_cachefile_extra reads them on demand */
    uint32_t extras_len;
    uint64_t extras_seal;
    uint8_t *extras; /* once they were asked for */
    size_t extras_room;
    enum { KAV_EXTRAS_UNREAD, KAV_EXTRAS_READ, KAV_EXTRAS_BAD } extras_state;
} kav_record;

/* The record of a place: 1; 0 = none that can be believed; -errno (EIO, ENOMEM). */
int kav_cachefile_read(const kav_cachefile *file, const uint8_t place[16], kav_record *record);

/* The extra of a fact, the record's until it is read again. NULL: none that can be believed. All extras of a record
 * are read at the first question, at most KAV_EXTRAS_MAX bytes. */
const kav_extra *kav_cachefile_extra(const kav_cachefile *file, kav_record *record, const kav_fact *fact);

void kav_record_free(kav_record *record);

/* The fact of an inode in a record that is not split, or NULL. Parts of a split one: kav_part_place in place.h. */
const kav_fact *kav_record_find(const kav_record *record, uint64_t ino);

/* How full the file is. 0; -EILSEQ: the sums are damaged (a writer makes them anew); -errno. */
int kav_cachefile_get_stats(const kav_cachefile *file, kav_cachefile_stats *stats);

#define KAV_CACHE_GENERATIONS 64

typedef struct {
    uint8_t generation[16];
    int64_t used; /* seconds since 1970: when a fact of it was written last */
} kav_cache_generation;

/* Generations that records may still use (all that do are among them, the 64 used last). How many, or as above. */
int kav_cachefile_generations(const kav_cachefile *file, kav_cache_generation out[KAV_CACHE_GENERATIONS]);

#endif
