/* Picture probe: a subsignature "fuzzy_img#HASH": the layer is a picture that looks like that. */
#ifndef KAV_PICTUREPROBE_H
#define KAV_PICTUREPROBE_H

#include "pattern.h"

#define KAV_PICTURE_WORD "fuzzy_img#"

/* HASH is 16 hexadecimal digits; behind it "#" and how many bits may differ, of which ClamAV knows 0 only. NULL, or
 * why not. */
const char *kav_pictureprobe_parse(kav_text text, uint64_t *hash);

struct kav_session;

/* Has the layer in hand this hash? It is decoded when it is first asked for. */
bool kav_pictureprobe_matches(struct kav_session *s, uint64_t hash);

#endif
