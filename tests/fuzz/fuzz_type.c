/* Fuzz: what a layer is, from its first bytes. */
#include "type.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = size < KAV_TYPE_HEAD ? size : KAV_TYPE_HEAD;
    kav_type type = kav_type_detect(data, len, size);
    if (type.format >= KAV_FMT_COUNT || type.target >= KAV_TARGET_COUNT) abort();
    if (strcmp(kav_format_name(type.format), "unknown") == 0 && type.format != KAV_FMT_UNKNOWN) abort();
    if (kav_type_page(data, len) > KAV_PAGE_FAR) abort();
    kav_type_has_tag(data, len);
    kav_type_detect(data, len, UINT64_MAX); /* the first bytes of something large */
    return 0;
}
