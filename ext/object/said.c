/* Said: signatures that ask what a container says of its members (.cdb, .zmd, .rmd), compared member by member. They
 * look at nothing in the member: its own answer may come from the object cache. What is found is the container's, so
 * its exceptions lift it; the line names the member. */
#include "scanner.h"

#include <string.h>

typedef struct {
    kav_unpack *unpack;
    uint32_t reasons;
    uint8_t status;
} hearing;

static bool hear(void *context, const char *name, uint32_t length)
{
    hearing *h = context;
    kav_object_scanner *s = h->unpack->scanner;
    kav_note note = {.offset = UINT64_MAX,
                     .size = h->unpack->stored.size,
                     .reasons = h->reasons,
                     .status = kav_layers_status(name, length),
                     .engine = KAV_ENGINE_NATIVE};
    h->status = kav_graver(h->status, note.status);
    kav_layers_note(s, &note, name, length);
    return s->limits.switches & KAV_S_ALL_MATCH;
}

static bool lift(void *context, const char *name, uint32_t length)
{
    (void)name;
    (void)length;
    *(bool *)context = true;
    return false;
}

uint8_t kav_said_scan(kav_unpack *u, uint32_t reasons)
{
    kav_object_scanner *s = u->scanner;
    if (!kav_image_asks_members(s->image) || u->depth == 0 || u->depth > KAV_DEPTH_CAP) return KAV_CLEAN;
    const kav_ancestor *container = &s->ancestors[u->depth - 1];
    size_t skip = u->mark > 0 ? 1 : 0, length = s->path.len - u->mark;
    char name[KAV_MEMBER_NAME_MAX + 1];
    if (length < skip || length - skip >= sizeof name) return KAV_CLEAN;
    memcpy(name, s->path.bytes + u->mark + skip, length - skip);
    name[length - skip] = '\0';
    const kav_member_said said = {.name = name,
                                  .container_size = container->size,
                                  .packed = u->facts.packed,
                                  .unpacked = u->facts.unpacked,
                                  .position = u->facts.position,
                                  .crc = u->facts.crc,
                                  .container = s->around[u->depth - 1].format,
                                  .encrypted = u->facts.encrypted};
    hearing h = {u, reasons, KAV_CLEAN};
    bool lifted = false;
    if (kav_layers_excepted(s, u->depth - 1)) {
        kav_image_member(s->image, &said, lift, &lifted);
    } else {
        lifted = kav_image_member(s->image, &said, hear, &h);
    }
    if (lifted) s->gist.flags |= KAV_F_SUPPRESSED;
    return h.status;
}
