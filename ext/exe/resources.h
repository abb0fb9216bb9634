/* Resources: the directories of a PE's resources, as ClamAV walks them. Not for other folders: exe.h is the door. */
#ifndef KAV_RESOURCES_H
#define KAV_RESOURCES_H

#include "exe.h"

enum { KAV_RESOURCE_ICON = 3, KAV_RESOURCE_ICON_GROUP = 14, KAV_RESOURCE_VERSION = 16 };

#define KAV_RESOURCE_ANY UINT32_MAX

typedef struct {
    const kav_exe *exe;
    const kav_source *source;
    uint32_t steps; /* what may still be done; 0 afterwards: not all was looked at */
} kav_resources;

/* One language of a resource: the number or name of the resource, the relative address of its data entry. False:
 * enough. */
typedef bool (*kav_resource_sink)(void *context, uint32_t id, uint32_t rva);

/* Resources of a type; id: only the one of this number, or KAV_RESOURCE_ANY, which takes in those with names. */
void kav_resources_each(kav_resources *r, uint32_t type, uint32_t id, kav_resource_sink sink, void *context);

/* Where the bytes of a resource stand, by its data entry. False: nowhere. The length is as it is said. */
bool kav_resource_data(kav_resources *r, uint32_t rva, uint64_t *offset, uint32_t *length);

#endif
