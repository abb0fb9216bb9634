#include "listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIGESTS_ROOM 72 /* of one layer: 16 + 20 + 32, a multiple of 8 */
#define KEPT         2  /* learned records of the object itself */

int kav_listing_init(kav_listing *l)
{
    memset(l, 0, sizeof *l);
    l->layers = malloc(KAV_LAYERS_MAX * (sizeof(kav_layer) + DIGESTS_ROOM)); /* untouched pages cost nothing */
    l->learned = malloc(KAV_LEARNED_MAX * sizeof *l->learned);
    if (l->layers != NULL && l->learned != NULL) return 0;
    kav_listing_free(l);
    return -ENOMEM;
}

void kav_listing_free(kav_listing *l)
{
    free(l->layers);
    free(l->learned);
    l->layers = NULL;
    l->learned = NULL;
}

void kav_listing_reset(kav_listing *l)
{
    l->layer_count = l->layers_len = l->learned_count = 0;
    l->gap = false;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
    memcpy(at, bytes, length);
    return at + length;
}

void kav_listing_layer(kav_listing *l, uint64_t size, uint8_t target, const kav_digests *digests)
{
    if (l->layer_count >= KAV_LAYERS_MAX) l->gap = true;
    if (l->gap) return;
    kav_layer layer = {.size = size, .have = (uint8_t)digests->have, .target = target};
    uint8_t *begin = l->layers + l->layers_len, *at = put(begin, &layer, sizeof layer);
    if (digests->have & KAV_D_MD5) at = put(at, digests->md5, sizeof digests->md5);
    if (digests->have & KAV_D_SHA1) at = put(at, digests->sha1, sizeof digests->sha1);
    if (digests->have & KAV_D_SHA256) at = put(at, digests->sha256, sizeof digests->sha256);
    while ((at - begin) % 8 != 0) *at++ = 0;
    l->layers_len += (uint32_t)(at - begin);
    l->layer_count++;
}

void kav_listing_gap(kav_listing *l)
{
    l->gap = true;
}

void kav_listing_learn(kav_listing *l, const kav_learned *learned, bool keep)
{
    if (l->learned_count < KAV_LEARNED_MAX - (keep ? 0 : KEPT)) l->learned[l->learned_count++] = *learned;
}

void kav_listing_close(kav_listing *l)
{
    if (l->gap || (l->layer_count == 1 && l->layers_len == sizeof(kav_layer))) l->layer_count = l->layers_len = 0;
}
