/* Fuzz: a part of an image as it may lie on disk: damaged, but with a checksum that is right. What body.c, hashset.c,
 * listed.c and image.c let pass must be safe to scan with. */
#include "part.h"
#include "trial.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char SUBJECT[] = "MZ the quick brown fox deadbeef cafebabe jumps over 0123456789 the lazy dog; abcabcabc"
                              "\xde\xad\xbe\xef\xca\xfe\xba\xbe\0\0\0\0 eval(unescape('%41%42')) powershell -enc AAAA";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < sizeof(kav_part_header) || size > 1u << 20) return 0;
    uint8_t *part = malloc(size);
    if (!part) return 0;
    memcpy(part, data, size);
    kav_part_header *header = (kav_part_header *)(void *)part;
    memcpy(header->magic, KAV_PART_MAGIC, sizeof header->magic);
    header->version = KAV_FORMAT_VERSION;
    header->length = size;
    header->checksum = kav_part_checksum(part, size);
    if (header->kind != KAV_P_GROUP) /* what Vectorscan compiled has only the checksum to vouch for it */
        kav_fuzz_trial(part, size, (const uint8_t *)SUBJECT, sizeof SUBJECT);
    free(part);
    return 0;
}
