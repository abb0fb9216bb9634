#include "sfx.h"
#include "zip.h"

#include <string.h>

bool kav_sfx_at_end(const kav_source *source)
{
    uint8_t end[KAV_ZIP_END];
    if (source->size < sizeof end) return false;
    return kav_source_read(source, source->size - sizeof end, end, sizeof end) == (ssize_t)sizeof end &&
           memcmp(end, "PK\005\006", 4) == 0;
}

bool kav_sfx_present(const kav_source *source)
{
    kav_zip_directory d;
    return kav_zip_find(&d, source) && d.start < d.end;
}

int kav_open_sfx(const kav_source *source, kav_type type, kav_unpack *u)
{
    return kav_open_zip(source, type, u);
}
