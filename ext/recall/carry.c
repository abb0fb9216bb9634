#include "carry.h"

#include <string.h>

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static uint16_t hash_of(uint64_t size)
{
    return (uint16_t)(size * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

static bool next_size(const uint8_t **at, const uint8_t *end, uint64_t *size)
{
    static const uint8_t lengths[] = {16, 20, 32};
    kav_layer layer;
    if ((size_t)(end - *at) < sizeof layer) return false;
    memcpy(&layer, *at, sizeof layer);
    size_t length = sizeof layer;
    for (unsigned k = 0; k < sizeof lengths; k++) length += layer.have >> k & 1 ? lengths[k] : 0;
    length = (length + 7) & ~(size_t)7;
    if ((size_t)(end - *at) < length) return false;
    *at += length;
    *size = layer.size;
    return true;
}

kav_carried kav_carried_read(const uint8_t *said, size_t length)
{
    kav_carried carried = {.views = UINT16_MAX, .count = KAV_CARRIED_UNLISTED};
    kav_result result;
    if (length < sizeof result) return carried;
    memcpy(&result, said, sizeof result);
    carried.views = result.views;
    size_t room = length - sizeof result;
    if (!(result.flags & KAV_F_LAYERS) || result.layers > KAV_CARRIED_LAYERS) return carried;
    if (result.payload_len > room || result.layers_len > room - result.payload_len) return carried;
    const uint8_t *at = said + sizeof result + result.payload_len, *end = at + result.layers_len;
    carried.layers[0] = hash_of(result.size); /* one of which nothing but that is known makes no list */
    for (uint32_t i = 0; i < result.layers; i++) {
        uint64_t size;
        if (!next_size(&at, end, &size)) return carried;
        carried.layers[i] = hash_of(size);
    }
    carried.count = (uint8_t)(result.layers ? result.layers : 1);
    return carried;
}

/* ---- signatures ------------------------------------------------------------------------------------------------- */

static void read_set(kav_news *news, const kav_hashset *set)
{
    uint64_t at = 0, size;
    if (kav_hashset_kinds(set, UINT64_MAX)) news->any = true;
    while (kav_hashset_next_size(set, &at, &size)) {
        uint16_t hash = hash_of(size);
        news->sizes[hash / 8] |= (uint8_t)(1u << hash % 8);
    }
}

void kav_news_read(kav_news *news, const kav_delta *delta, const uint8_t now[16], const uint8_t generation[16])
{
    *news = (kav_news){.least = KAV_J_HOLDS};
    if (memcmp(now, generation, 16) == 0) return;
    const kav_delta_row *row = delta ? kav_delta_find(delta, generation, &news->row) : NULL;
    if (!row || row->flags & KAV_DELTA_FULL) {
        news->least = KAV_J_FULL;
        return;
    }
    news->targets = row->targets;
    news->hashes = row->set_count != 0;
    for (uint32_t i = 0; i < row->set_count; i++) read_set(news, kav_delta_set(delta, news->row, i));
    if (news->any || news->targets & 1u << KAV_T_ANY) news->least = KAV_J_DELTA;
}

enum kav_judgement kav_news_judge(const kav_news *news, const kav_carried *carried)
{
    if (news->least != KAV_J_HOLDS) return news->least;
    if (news->targets & carried->views) return KAV_J_DELTA;
    if (!news->hashes) return KAV_J_HOLDS;
    if (carried->count == KAV_CARRIED_UNLISTED) return KAV_J_DELTA;
    for (unsigned i = 0; i < carried->count; i++) {
        uint16_t hash = carried->layers[i];
        if (news->sizes[hash / 8] >> hash % 8 & 1) return KAV_J_DELTA;
    }
    return KAV_J_HOLDS;
}
