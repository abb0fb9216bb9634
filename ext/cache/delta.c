#include "delta.h"

#include <stdlib.h>
#include <string.h>

struct kav_delta {
    const kav_delta_row *rows;
    uint32_t count;
    kav_hashset sets[][KAV_DELTA_SETS]; /* of each row */
};

static bool open_row(kav_delta *delta, uint32_t i, const uint8_t *bytes, size_t length)
{
    const kav_delta_row *row = &delta->rows[i];
    if (i && memcmp(row[-1].generation, row->generation, 16) >= 0) return false;
    if (row->flags & ~(uint32_t)KAV_DELTA_FULL || row->set_count > KAV_DELTA_SETS) return false;
    if (row->reserved || row->reserved2) return false;
    uint64_t front = sizeof(kav_delta_head) + (uint64_t)delta->count * sizeof *row;
    for (uint32_t k = 0; k < row->set_count; k++) {
        uint64_t at = row->sets[k].offset, len = row->sets[k].length;
        if (at % 64 || at < front || at > length || len > length - at) return false;
        if (kav_hashset_open(&delta->sets[i][k], bytes + at, len)) return false;
    }
    return true;
}

kav_delta *kav_delta_open(const void *bytes, size_t length)
{
    kav_delta_head head;
    if (!bytes || length < sizeof head || (uintptr_t)bytes % 8) return NULL;
    memcpy(&head, bytes, sizeof head);
    if (memcmp(head.magic, KAV_DELTA_MAGIC, sizeof head.magic) || head.version != 1 || head.length != length)
        return NULL;
    if (head.count > (length - sizeof head) / sizeof(kav_delta_row)) return NULL;
    kav_delta *delta = calloc(1, sizeof *delta + head.count * sizeof delta->sets[0]);
    if (!delta) return NULL;
    delta->rows = (const kav_delta_row *)((const uint8_t *)bytes + sizeof head);
    delta->count = head.count;
    for (uint32_t i = 0; i < head.count; i++) {
        if (open_row(delta, i, bytes, length)) continue;
        kav_delta_close(delta);
        return NULL;
    }
    return delta;
}

void kav_delta_close(kav_delta *delta)
{
    free(delta);
}

const kav_delta_row *kav_delta_find(const kav_delta *delta, const uint8_t generation[16], uint32_t *row)
{
    uint32_t low = 0, high = delta->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = memcmp(delta->rows[middle].generation, generation, 16);
        if (order == 0) {
            *row = middle;
            return &delta->rows[middle];
        }
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

const kav_hashset *kav_delta_set(const kav_delta *delta, uint32_t row, uint32_t i)
{
    return &delta->sets[row][i];
}

/* One layer, of which what is in known is remembered, against the new hash signatures of a row. */
static enum kav_judgement judge_layer(const kav_delta *delta, uint32_t row, uint64_t size, const kav_digests *known)
{
    enum kav_judgement answer = KAV_J_HOLDS;
    for (uint32_t k = 0; k < delta->rows[row].set_count; k++) {
        const kav_hashset *set = &delta->sets[row][k];
        kav_hashset_hit hit;
        uint32_t kinds = kav_hashset_kinds(set, size);
        if (!kinds) continue;
        if (known->have && kav_hashset_find(set, size, known, &hit, 1)) return KAV_J_FULL;
        if (kinds & ~known->have) answer = KAV_J_DELTA;
    }
    return answer;
}

/* Read the layer at *p; false at the end, or where it does not hold what it says. */
static bool next_layer(const uint8_t **p, const uint8_t *end, uint64_t *size, kav_digests *known)
{
    static const uint8_t lengths[] = {16, 20, 32};
    uint8_t *const digests[] = {known->md5, known->sha1, known->sha256};
    kav_layer layer;
    if ((size_t)(end - *p) < sizeof layer) return false;
    memcpy(&layer, *p, sizeof layer);
    size_t at = sizeof layer;
    known->have = layer.have;
    *size = layer.size;
    for (unsigned k = 0; k < 3; k++) {
        if (!(layer.have >> k & 1)) continue;
        if ((size_t)(end - *p) - at < lengths[k]) return false;
        memcpy(digests[k], *p + at, lengths[k]);
        at += lengths[k];
    }
    at = (at + 7) & ~(size_t)7;
    if (layer.have > 7 || (size_t)(end - *p) < at) return false;
    *p += at;
    return true;
}

/* The layers that are remembered, the object itself first; its size is what the file system says. Layers that do not
 * hold what they say count as not remembered. */
static enum kav_judgement judge_layers(const kav_delta *delta, uint32_t row, const kav_fact *fact,
                                       const kav_extra *extra)
{
    const uint8_t *p = (const uint8_t *)(extra + 1) + extra->notes_len, *end = p + extra->layers_len;
    enum kav_judgement answer = KAV_J_HOLDS;
    for (uint32_t i = 0; i < extra->layers; i++) {
        kav_digests known = {.have = 0};
        uint64_t size;
        if (!next_layer(&p, end, &size, &known)) return KAV_J_DELTA;
        if (i == 0 && size != fact->id.size) return KAV_J_DELTA;
        enum kav_judgement one = judge_layer(delta, row, size, &known);
        if (one == KAV_J_FULL) return one;
        if (one == KAV_J_DELTA) answer = one;
    }
    return answer;
}

/* Against the new hash signatures alone. */
static enum kav_judgement judge_hashes(const kav_delta *delta, uint32_t row, const kav_fact *fact,
                                       const kav_extra *extra, bool *wants_extra)
{
    bool more = fact->flags & (KAV_FACT_CONTAINER | KAV_FACT_INSIDE), listed = !more || fact->flags & KAV_FACT_LAYERS;
    if (!delta->rows[row].set_count) return KAV_J_HOLDS;
    if (listed && extra && extra->layers) return judge_layers(delta, row, fact, extra);
    kav_digests none = {.have = 0};
    enum kav_judgement answer = more ? KAV_J_DELTA : judge_layer(delta, row, fact->id.size, &none);
    *wants_extra = answer == KAV_J_DELTA && listed && !extra && fact->extra;
    return answer;
}

enum kav_judgement kav_judge(const kav_delta *delta, const uint8_t now[16], const uint8_t generation[16],
                             const kav_fact *fact, const kav_extra *extra, uint32_t *row, bool *wants_extra)
{
    *row = 0;
    *wants_extra = false;
    if (!memcmp(now, generation, 16)) return KAV_J_HOLDS;
    if (!delta || fact->status != KAV_CLEAN || fact->reasons || fact->flags & KAV_FACT_JOURNAL) return KAV_J_FULL;
    const kav_delta_row *found = kav_delta_find(delta, generation, row);
    if (!found || found->flags & KAV_DELTA_FULL) return KAV_J_FULL;
    if (found->targets & (fact->views | 1u << KAV_T_ANY)) return KAV_J_DELTA;
    return judge_hashes(delta, *row, fact, extra, wants_extra);
}
