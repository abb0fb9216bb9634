/* Unscanned: what one thread has to tell about files that need no scan, on its way to the coordinator.
 *
 * Counts, verdicts and renewed places go over any number of directories; names belong to one directory.
 * Each function sends what no longer fits; all return 0 or -errno as kav_outlet_send.
 */
#ifndef KAV_WALK_UNSCANNED_H
#define KAV_WALK_UNSCANNED_H

#include "batch.h"
#include "lookup.h"

#define KAV_COUNTED_MOST 4096 /* files after which counts are sent, so that progress can be seen */
#define KAV_NAMED_MOST   4096 /* files by name in one message */
#define KAV_NAMES_MAX    (63u << 10)
#define KAV_RENEWED_MOST 1024
#define KAV_REPLAYED_MAX (32u << 10) /* bytes of verdicts after which they are sent */

typedef struct {
    uint64_t files, bytes, members; /* without names */
    uint64_t named_bytes;
    uint32_t named, names_len; /* of the directory in hand */
    uint32_t renewed, replayed_len;
    uint64_t sizes[KAV_NAMED_MOST];
    char names[KAV_NAMES_MAX];
    uint8_t places[KAV_RENEWED_MOST][16];
    uint8_t replayed[KAV_MESSAGE_MAX]; /* one can be nearly as long as that; mostly the front alone is touched */
} kav_unscanned;

/* One file that is known and of which nothing but that it is clean has to be told. */
int kav_unscanned_count(kav_unscanned *unscanned, kav_outlet *outlet, uint64_t size, uint32_t members);

/* The same by name; where->dir is the directory in hand, named in no other message until kav_unscanned_names. */
int kav_unscanned_name(kav_unscanned *unscanned, kav_outlet *outlet, const kav_where *where, uint64_t size);

/* The directory in hand is at its end. */
int kav_unscanned_names(kav_unscanned *unscanned, kav_outlet *outlet, const char *dir, size_t dir_len);

/* One file with more to tell; entry has its identity. */
int kav_unscanned_replay(kav_unscanned *unscanned, kav_outlet *outlet, const kav_where *where, const kav_entry *entry,
                         const kav_known *known);

int kav_unscanned_renew(kav_unscanned *unscanned, kav_outlet *outlet, const uint8_t place[16]);
int kav_unscanned_gone(kav_outlet *outlet, const uint8_t place[16], const uint64_t *inodes, uint32_t count);

/* Whether counts, verdicts or places are waiting, and sending them. */
static inline bool kav_unscanned_waits(const kav_unscanned *unscanned)
{
    return unscanned->files > 0 || unscanned->replayed_len > 0 || unscanned->renewed > 0;
}
int kav_unscanned_send(kav_unscanned *unscanned, kav_outlet *outlet);

#endif
