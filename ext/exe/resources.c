#include "resources.h"
#include "exe_parts.h"

enum {
    RESOURCES = 2, /* which directory of the PE */
    VISITED = 64   /* sections that cost a step */
};

typedef struct {
    kav_resources *r;
    uint32_t base; /* relative address of the resources */
    kav_resource_sink sink;
    void *context;
} walk;

/* Where a relative address stands. All sections may be gone through for it, and a file may have 65,535. */
static bool find(kav_resources *r, uint32_t rva, uint64_t *at)
{
    uint32_t cost = 1 + r->exe->section_count / VISITED;
    r->steps -= cost < r->steps ? cost : r->steps;
    return r->steps > 0 && kav_exe_offset(r->exe, r->source, rva, at);
}

/* A directory: where its entries begin and how many are to be looked at. Those with names come first. */
static bool read_directory(const walk *w, uint32_t rva, bool numbered_only, uint64_t *at, uint32_t *count)
{
    uint8_t h[16];
    if (!find(w->r, rva, at) || !kav_exe_bytes(w->r->source, *at, h, sizeof h)) return false;
    uint32_t named = kav_le16(h + 12), numbered = kav_le16(h + 14);
    *at += sizeof h + (numbered_only ? named * 8 : 0);
    *count = numbered_only ? numbered : (uint16_t)(named + numbered);
    return true;
}

static bool read_entry(const walk *w, uint64_t at, uint32_t *id, uint32_t *place)
{
    uint8_t h[8];
    if (!w->r->steps || !kav_exe_bytes(w->r->source, at, h, sizeof h)) return false;
    w->r->steps--;
    *id = kav_le32(h);
    *place = kav_le32(h + 4);
    return true;
}

/* The languages of one resource. False: no more. */
static bool each_language(const walk *w, uint32_t id, uint32_t rva)
{
    uint64_t at;
    uint32_t count, language, place;
    if (!read_directory(w, rva, false, &at, &count)) return false;
    for (uint32_t i = 0; i < count; i++, at += 8) {
        if (!read_entry(w, at, &language, &place)) return false;
        if (!(place >> 31) && !w->sink(w->context, id, w->base + place)) return false;
    }
    return true;
}

static void each_name(const walk *w, uint32_t rva, uint32_t wanted)
{
    uint64_t at;
    uint32_t count, id, place;
    if (!read_directory(w, rva, wanted != KAV_RESOURCE_ANY, &at, &count)) return;
    for (uint32_t i = 0; i < count; i++, at += 8) {
        if (!read_entry(w, at, &id, &place)) return;
        if ((wanted != KAV_RESOURCE_ANY && id != wanted) || !(place >> 31)) continue;
        if (!each_language(w, id, w->base + (place & INT32_MAX))) return;
    }
}

void kav_resources_each(kav_resources *r, uint32_t type, uint32_t id, kav_resource_sink sink, void *context)
{
    walk w = {r, r->exe->directories[RESOURCES].rva, sink, context};
    uint64_t at;
    uint32_t count, found, place;
    if (!r->exe->directories[RESOURCES].size || !read_directory(&w, w.base, true, &at, &count)) return;
    for (uint32_t i = 0; i < count; i++, at += 8) {
        if (!read_entry(&w, at, &found, &place)) return;
        if (found != type || !(place >> 31)) continue;
        each_name(&w, w.base + (place & INT32_MAX), id);
        return; /* a second directory of the type is not looked at */
    }
}

bool kav_resource_data(kav_resources *r, uint32_t rva, uint64_t *offset, uint32_t *length)
{
    uint8_t h[16];
    if (!find(r, rva, offset) || !kav_exe_bytes(r->source, *offset, h, sizeof h)) return false;
    *length = kav_le32(h + 4);
    return find(r, kav_le32(h), offset);
}
