#include "session.h"

#include <stdlib.h>
#include <string.h>

static bool add_scratch(hs_scratch_t **scratch, const hs_database_t *db)
{
    return !db || hs_alloc_scratch(db, scratch) == HS_SUCCESS;
}

static bool make_scratch(kav_session *s)
{
    for (uint32_t i = 0; i < s->image->group_count; i++) {
        const kav_group *g = &s->image->groups[i].group;
        for (int kind = 0; kind < KAV_DB_KINDS; kind++) {
            for (int t = 0; t < KAV_TARGETS; t++) {
                if (!add_scratch(&s->scratch, g->databases[kind][t])) return false;
            }
        }
    }
    kav_image_let_go(s->image); /* Vectorscan has looked at all of each database, to check it once more */
    return true;
}

kav_session *kav_session_new_window(const kav_image *image, uint32_t window)
{
    kav_session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->image = image;
    s->window = window ? window : KAV_WINDOW;
    size_t patterns = image->pattern_count + 1u, signatures = image->signature_count + 1u;
    size_t ahead = s->window > KAV_TYPE_HEAD ? s->window : KAV_TYPE_HEAD;
    s->reader.capacity = ahead + image->back + image->ahead + 2 * KAV_OVERLAP;
    s->reader.buffer = malloc(s->reader.capacity);
    s->patterns = calloc(patterns, sizeof *s->patterns);
    s->touched_patterns = malloc(patterns * sizeof *s->touched_patterns);
    s->signatures = calloc(signatures, 1);
    s->touched_signatures = malloc(signatures * sizeof *s->touched_signatures);
    s->finds = malloc(KAV_FINDS * sizeof *s->finds);
    s->digest = kav_digest_new();
    if (!s->reader.buffer || !s->patterns || !s->touched_patterns || !s->signatures || !s->touched_signatures ||
        !s->finds || !s->digest || !kav_tracks_new(&s->tracks, image->track_count) ||
        !kav_probing_new(&s->probing, image) || !make_scratch(s)) {
        kav_session_free(s);
        return NULL;
    }
    return s;
}

kav_session *kav_session_new(const kav_image *image)
{
    return kav_session_new_window(image, 0);
}

void kav_session_free(kav_session *s)
{
    if (!s) return;
    kav_exe_free(&s->exe);
    kav_icons_free(&s->icons);
    hs_free_scratch(s->scratch);
    kav_digest_free(s->digest);
    kav_tracks_free(&s->tracks);
    kav_probing_free(&s->probing);
    kav_buffer_free(&s->truths);
    kav_buffer_free(&s->hits);
    kav_buffer_free(&s->names);
    void *arrays[] = {s->reader.buffer, s->patterns,           s->touched_patterns,
                      s->signatures,    s->touched_signatures, s->finds};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    free(s);
}

void kav_session_reset(kav_session *s)
{
    for (uint32_t i = 0; i < s->touched_pattern_count; i++) {
        const kav_touch *t = &s->touched_patterns[i];
        s->patterns[s->image->bodies[t->body].patterns + t->index] = (kav_pattern_state){0};
    }
    for (uint32_t i = 0; i < s->touched_signature_count; i++) {
        const kav_touch *t = &s->touched_signatures[i];
        s->signatures[s->image->bodies[t->body].signatures + t->index] = 0;
    }
    s->touched_pattern_count = s->touched_signature_count = s->find_count = 0;
    s->effort = 0;
    kav_tracks_reset(&s->tracks);
    kav_probing_reset(&s->probing);
    if (s->exe_read) kav_exe_free(&s->exe);
    s->exe_read = false;
    if (s->icons_read) kav_icons_free(&s->icons);
    s->icons_read = false;
    s->picture_read = s->is_picture = false;
    s->truths.length = s->hits.length = s->names.length = 0;
    s->truths.failed = s->hits.failed = s->names.failed = false;
}
