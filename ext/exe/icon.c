#include "icon.h"
#include "exe_parts.h"
#include "icon_parts.h"
#include "resources.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAMED = 100,     /* icons that groups name, all together: ClamAV's limit */
    DRAWN = 256,     /* an icon may be there in many languages: so many are measured */
    STEPS = 1 << 18, /* entries of resource directories */
    HEAD = 6,        /* bytes of a group before its entries */
    ENTRY = 14
};

typedef struct {
    kav_icons *icons;
    kav_resources resources;
    uint32_t group, groups, named;
    int error;
} search;

static bool on_icon(void *context, uint32_t id, uint32_t rva)
{
    search *s = context;
    kav_icon_picture picture;
    uint64_t at;
    uint32_t length;
    (void)id;
    if (!kav_resource_data(&s->resources, rva, &at, &length)) return true;
    int drawn = kav_icon_draw(s->resources.source, at, &picture);
    if (drawn < 0) s->error = drawn;
    if (drawn <= 0) return !s->error;
    if (s->icons->count == DRAWN) {
        s->icons->cut = true;
        return false;
    }
    kav_icon_measure(&picture, &s->icons->rows[s->icons->count++]);
    return true;
}

/* One language of a group: numbers of its icons. */
static bool on_group(void *context, uint32_t id, uint32_t rva)
{
    search *s = context;
    uint64_t at;
    uint32_t length;
    uint8_t h[ENTRY];
    if (s->groups++ && id != s->group) return false; /* only the first group, in all its languages */
    s->group = id;
    if (!kav_resource_data(&s->resources, rva, &at, &length) || length <= HEAD) return true;
    uint64_t size = s->resources.source->size;
    if (at > size || length > size - at || !kav_exe_bytes(s->resources.source, at, h, HEAD)) return true;
    at += HEAD;
    length -= HEAD;
    for (uint32_t left = kav_le16(h + 4); left && length >= ENTRY; left--, at += ENTRY, length -= ENTRY) {
        if (!kav_exe_bytes(s->resources.source, at, h, ENTRY)) return true;
        kav_resources_each(&s->resources, KAV_RESOURCE_ICON, kav_le16(h + 12), on_icon, s);
        if (s->error || s->icons->cut || ++s->named >= NAMED) return false;
    }
    return true;
}

int kav_icons_read(kav_icons *icons, const kav_exe *exe, const kav_source *source)
{
    memset(icons, 0, sizeof *icons);
    if (!exe->valid || exe->kind != KAV_EXE_PE || exe->library) return 0;
    icons->rows = calloc(DRAWN, sizeof *icons->rows);
    if (!icons->rows) return -ENOMEM;
    search s = {.icons = icons, .resources = {exe, source, STEPS}};
    kav_resources_each(&s.resources, KAV_RESOURCE_ICON_GROUP, KAV_RESOURCE_ANY, on_group, &s);
    icons->cut |= s.resources.steps == 0;
    return s.error;
}

void kav_icons_free(kav_icons *icons)
{
    free(icons->rows);
    memset(icons, 0, sizeof *icons);
}
