#include "group.h"
#include "part.h"

#include <stdio.h>
#include <string.h>

void kav_group_stamp(uint8_t stamp[64])
{
    hs_platform_info_t platform = {0};
    memset(stamp, 0, 64);
    if (hs_populate_platform(&platform) != HS_SUCCESS) platform.tune = UINT32_MAX;
    snprintf((char *)stamp, 64, "%s %x %llx", hs_version(), platform.tune, platform.cpu_features);
}

/* A database that says it is as long as its bytes and of this library's version. */
static bool usable(const hs_database_t *db, uint64_t length)
{
    size_t size = 0;
    return hs_database_size(db, &size) == HS_SUCCESS && size == length;
}

static enum kav_group_open open_database(kav_group *g, const kav_stored *stored)
{
    const hs_database_t *db = NULL;
    const uint8_t *bytes = g->part + stored->offset;
    if (stored->form == KAV_FORM_MAPPED) {
        db = (const hs_database_t *)(const void *)bytes;
        if (!usable(db, stored->length)) return KAV_GROUP_FOREIGN;
    } else {
        hs_database_t *copy = NULL;
        hs_error_t error = hs_deserialize_database((const char *)bytes, stored->length, &copy);
        if (error == HS_NOMEM) return KAV_GROUP_MEMORY;
        if (error != HS_SUCCESS) return KAV_GROUP_FOREIGN;
        g->owned[g->owned_count++] = copy;
        db = copy;
    }
    for (int t = 0; t < KAV_TARGETS; t++) {
        if (stored->targets >> t & 1) g->databases[stored->kind][t] = db;
    }
    return KAV_GROUP_OK;
}

static bool check_tables(const kav_group *g)
{
    if (kav_part_count(g->part, KAV_TAB_FIRSTS, sizeof *g->firsts) != g->literal_count + 1) return false;
    if (g->firsts[0] != 0 || g->firsts[g->literal_count] != g->posting_count) return false;
    for (uint32_t i = 0; i < g->literal_count; i++) {
        if (g->firsts[i] > g->firsts[i + 1]) return false;
    }
    for (uint32_t i = 0; i < g->posting_count; i++) {
        if (g->postings[i].member >= g->member_count) return false;
    }
    return true;
}

enum kav_group_open kav_group_open(kav_group *g, const uint8_t *part)
{
    uint8_t stamp[64];
    *g = (kav_group){.part = part};
    kav_group_stamp(stamp);
    if (memcmp(stamp, kav_part_of(part)->stamp, sizeof stamp)) return KAV_GROUP_FOREIGN;
    g->members = kav_part_data(part, KAV_TAB_MEMBERS);
    g->member_count = kav_part_count(part, KAV_TAB_MEMBERS, sizeof *g->members);
    g->firsts = kav_part_data(part, KAV_TAB_FIRSTS);
    uint32_t firsts = kav_part_count(part, KAV_TAB_FIRSTS, sizeof *g->firsts);
    g->literal_count = firsts ? firsts - 1 : 0;
    g->postings = kav_part_data(part, KAV_TAB_GROUP_POSTINGS);
    g->posting_count = kav_part_count(part, KAV_TAB_GROUP_POSTINGS, sizeof *g->postings);
    if (firsts == 0 || !check_tables(g)) return KAV_GROUP_DAMAGED;
    const kav_stored *stored = kav_part_data(part, KAV_TAB_STORED);
    uint32_t count = kav_part_count(part, KAV_TAB_STORED, sizeof *stored);
    if (count > KAV_DB_KINDS * KAV_TARGETS) return KAV_GROUP_DAMAGED;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t length = kav_part_of(part)->length;
        if (stored[i].offset > length || stored[i].length > length - stored[i].offset || stored[i].length < 64 ||
            stored[i].offset % KAV_PAGE || stored[i].kind >= KAV_DB_KINDS)
            return KAV_GROUP_DAMAGED;
        enum kav_group_open result = open_database(g, &stored[i]);
        if (result != KAV_GROUP_OK) {
            kav_group_close(g);
            return result;
        }
    }
    return KAV_GROUP_OK;
}

void kav_group_close(kav_group *g)
{
    for (uint32_t i = 0; i < g->owned_count; i++) hs_free_database(g->owned[i]);
    g->owned_count = 0;
}
