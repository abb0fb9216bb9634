/* Fuzz: lines of hash databases in all three forms, and a table that was damaged; whatever opens can be asked. */
#include "hashset.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(const void *table, uint64_t length, bool whole)
{
    kav_hashset set = {0};
    kav_hashset_hit hits[4];
    kav_digests digests = {.have = KAV_D_MD5 | KAV_D_SHA1 | KAV_D_SHA256};
    uint32_t sum = 0;
    if (kav_hashset_open(&set, table, length) != 0) {
        if (whole) abort();
        return;
    }
    for (uint64_t i = 0; i < 64 && kav_hashset_at(&set, i, &hits[0]); i++)
        for (uint32_t k = 0; k < hits[0].name_len; k++) sum += (uint8_t)hits[0].name[k];
    for (uint64_t bytes = 0; bytes < 100; bytes++) {
        size_t count = kav_hashset_find(&set, bytes, &digests, hits, 4);
        for (size_t i = 0; i < count; i++) sum += (uint8_t)hits[i].name_len + kav_hashset_kinds(&set, bytes);
    }
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4) return 0;
    kav_hashset_built built;
    if (kav_hashset_build((const char *)data + 4, size - 4, data[0] % 3, 216, &built) == 0) {
        ask(built.table, built.length, true);
        for (int i = 1; i < 4 && built.length; i++) /* the first bytes say where the table is damaged */
            built.table[(size_t)data[i] * data[i] * built.length / 65026] ^= (uint8_t)(1u << data[i] % 8);
        ask(built.table, built.length, false);
        kav_hashset_built_free(&built);
    }
    return 0;
}
