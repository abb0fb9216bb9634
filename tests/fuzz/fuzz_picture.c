/* Fuzz: pictures: decoded, and the hash of what they look like (ext/picture). */
#include "picture.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kav_picture picture;
    uint64_t hash;
    if (kav_picture_read(&picture, data, size) == 1) {
        if (!picture.width || !picture.height || !picture.gray) abort();
        kav_picture_hash(&picture, &hash);
    }
    kav_picture_free(&picture);
    return 0;
}
