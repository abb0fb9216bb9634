#include "pictureprobe.h"
#include "picture.h"
#include "session.h"

#include <errno.h>

static bool read_picture(kav_session *s, uint64_t *hash)
{
    kav_picture picture;
    const uint8_t *bytes = NULL;
    s->probing.unread = KAV_R_MATCH;
    if (s->layer_size <= KAV_PICTURE_BYTES_MAX && s->reader.size == s->layer_size)
        bytes = kav_probing_bytes(&s->probing, s->reader.source, s->layer_size);
    if (!bytes) {
        s->found->reasons |= s->probing.unread;
        return false;
    }
    int rc = kav_picture_read(&picture, bytes, s->layer_size);
    if (rc == 1 && kav_picture_hash(&picture, hash) != 0) rc = -ENOMEM;
    kav_picture_free(&picture);
    if (rc == -ENOMEM) s->found->reasons |= KAV_R_MEMORY;
    if (rc == -ENOTSUP || rc == -E2BIG) s->found->elsewhere = true;
    return rc == 1;
}

bool kav_pictureprobe_matches(kav_session *s, uint64_t hash)
{
    if (s->target != KAV_T_GRAPHICS) return false;
    if (!s->picture_read) {
        s->picture_read = true;
        s->is_picture = read_picture(s, &s->picture_hash);
    }
    return s->is_picture && s->picture_hash == hash;
}
