/* Carry: what is remembered of a known object so that other signatures can be asked whether they concern it. */
#ifndef KAV_RECALL_CARRY_H
#define KAV_RECALL_CARRY_H

#include "delta.h"
#include "recall.h"

#define KAV_CARRIED_LAYERS   22
#define KAV_CARRIED_UNLISTED 0xff

/* Sizes of layers are kept as 16 bits of a hash: two that fall together cost a scan of the new lines. */
typedef struct {
    uint16_t views;
    uint8_t count;      /* of layers, or KAV_CARRIED_UNLISTED: more than there is room for, or not told */
    uint8_t generation; /* the table's affair */
    uint16_t layers[KAV_CARRIED_LAYERS];
} kav_carried;

/* From a kav_result with notes and layers behind it, of an object that is clean and complete. */
kav_carried kav_carried_read(const uint8_t *said, size_t length);

/* What is new since one generation, laid out for asking many objects. */
typedef struct {
    enum kav_judgement least; /* of any object: FULL where there is no row */
    uint32_t row;
    uint16_t targets;
    bool hashes;            /* there are new hash signatures, */
    bool any;               /* some of any size */
    uint8_t sizes[1 << 13]; /* a bit for each hashed size */
} kav_news;

void kav_news_read(kav_news *news, const kav_delta *delta, const uint8_t now[16], const uint8_t generation[16]);

enum kav_judgement kav_news_judge(const kav_news *news, const kav_carried *carried);

#endif
