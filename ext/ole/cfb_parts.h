/* What cfb.c and cfbname.c share. Not for others: cfb.h is the door. */
#ifndef KAV_CFB_PARTS_H
#define KAV_CFB_PARTS_H

#include "cfb.h"

#define KAV_CFB_END 0xfffffffeu

typedef struct {
    uint32_t *sectors;
    uint32_t count, room;
} kav_cfb_list;

struct kav_cfb {
    const kav_source *source;
    kav_unpack *unpack;
    uint32_t shift, mini_shift; /* of the sizes of sectors */
    uint32_t cutoff;            /* streams shorter than this are in the mini stream */
    uint32_t sector_count;
    kav_cfb_list fat; /* entries of it are not checked yet */
    kav_cfb_list directory, minifat, ministream;
    uint8_t *visited; /* a bit for each sector or mini sector; all zero between two chains */
    size_t visited_len;
    kav_cfb_entry *entries;
    uint32_t entry_count, entry_room;
    uint64_t steps;
    uint64_t window_at;
    size_t window_len;
    uint8_t window[512]; /* from here on not initialised */
    uint8_t gather[64 << 10];
};

#endif
