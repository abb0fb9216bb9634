#define _GNU_SOURCE /* tdestroy */
#include "extents.h"

#include <search.h>
#include <stdlib.h>

typedef struct {
    uint64_t place, size;
} extent;

static int compare(const void *left, const void *right)
{
    const extent *a = left, *b = right;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    return (a->size > b->size) - (a->size < b->size);
}

bool kav_extents_add(kav_extents *extents, uint64_t place, uint64_t size)
{
    extent *one = malloc(sizeof *one);
    if (one == NULL) return false;
    *one = (extent){place, size};
    extent **found = tsearch(one, &extents->root, compare);
    if (found == NULL || *found != one) free(one); /* no memory for the node, or known already */
    return found != NULL;
}

bool kav_extents_has(const kav_extents *extents, uint64_t place, uint64_t size)
{
    return tfind(&(extent){place, size}, &extents->root, compare) != NULL;
}

void kav_extents_clear(kav_extents *extents)
{
    tdestroy(extents->root, free);
    extents->root = NULL;
}
