/* Probing: what a session keeps to run probes: expressions that were compiled, bytes of the layer in hand, and where
 * patterns matched that a probe asks about. */
#ifndef KAV_PROBING_H
#define KAV_PROBING_H

#include "image.h"
#include "regexp.h"

#define KAV_NOTED_MAX (1u << 20) /* places noted in one layer */

typedef struct {
    uint64_t place;
    uint32_t body, pattern;
} kav_noted;

/* Members of macro groups are noted under the group, so that all bodies share it; as a pattern of no body. */
#define KAV_NOTED_GROUPS UINT32_MAX

static inline uint32_t kav_noted_group(uint32_t target, uint32_t group)
{
    return target << 8 | group;
}

typedef struct {
    kav_regexp **regexps; /* by probe of the image; each is compiled when it is first wanted */
    uint32_t regexp_count;
    kav_regexp_room *room; /* NULL: there are no probes */
    kav_buffer noted;      /* kav_noted */
    bool sorted;           /* by body, pattern and place */
    bool full;             /* more places than are noted */
    uint8_t *bytes;        /* of the layer in hand, where it is not in memory already */
    uint64_t length;
    uint32_t unread; /* KAV_R_*: why they could not be had */
} kav_probing;

/* False: out of memory. */
bool kav_probing_new(kav_probing *p, const kav_image *image);
void kav_probing_free(kav_probing *p);

/* The next layer. */
void kav_probing_reset(kav_probing *p);

/* A pattern matched. */
void kav_probing_note(kav_probing *p, kav_noted noted);

/* All places of a pattern in rising order; count may be 0. */
const kav_noted *kav_probing_places(kav_probing *p, uint32_t body, uint32_t pattern, uint32_t *count);

/* The bytes of a layer up to a length; NULL: p->unread says why. */
const uint8_t *kav_probing_bytes(kav_probing *p, const kav_source *source, uint64_t length);

#endif
