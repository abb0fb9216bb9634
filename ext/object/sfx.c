#include "sfx.h"
#include "zip.h"

bool kav_sfx_present(const kav_source *source)
{
    kav_zip_directory d;
    return kav_zip_find(&d, source) && d.start < d.end;
}

int kav_open_sfx(const kav_source *source, kav_type type, kav_unpack *u)
{
    return kav_open_zip(source, type, u);
}
