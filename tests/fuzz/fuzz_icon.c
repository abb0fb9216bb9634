/* Fuzz: the icons in a PE file's resources (ext/exe), drawn and measured. */
#include "icon.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_in_order(const kav_icon_metrics *m)
{
    return m->side >= KAV_ICON_SIDE_MIN && m->side <= KAV_ICON_SIDE_MAX && m->coloured <= 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const kav_source source = {.memory = data, .fd = -1, .size = size};
    kav_exe exe;
    kav_icons icons;
    if (kav_exe_read(&exe, &source, (kav_type){.target = KAV_T_PE}) != 0) return 0;
    kav_icons_read(&icons, &exe, &source);
    for (uint32_t i = 0; i < icons.count; i++)
        if (!is_in_order(&icons.rows[i])) abort();
    kav_icons_free(&icons);
    kav_exe_free(&exe);
    return 0;
}
