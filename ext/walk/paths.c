#include "paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int kav_paths_init(kav_paths *paths, const char *const *strings, size_t count)
{
    paths->items = NULL;
    paths->count = 0;
    if (count == 0) return 0;
    paths->items = calloc(count, sizeof *paths->items);
    if (!paths->items) return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(strings[i]);
        while (len > 0 && strings[i][len - 1] == '/') len--;
        if (len == 0) continue; /* the root of the file system lies in no directory */
        char *copy = strndup(strings[i], len);
        if (!copy) return -ENOMEM;
        paths->items[paths->count++] = copy;
    }
    qsort(paths->items, paths->count, sizeof *paths->items, by_bytes);
    return 0;
}

void kav_paths_free(kav_paths *paths)
{
    for (size_t i = 0; i < paths->count; i++) free(paths->items[i]);
    free(paths->items);
    paths->items = NULL;
    paths->count = 0;
}

/* The first index whose item, from *skip* on and cut to *len* bytes, is not less than *text* (with *past* set: is
 * greater). strncmp makes all items that begin with the text equal to it, and they stand side by side. */
static size_t bound(char *const *items, size_t count, size_t skip, const char *text, size_t len, bool past)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(items[middle] + skip, text, len);
        if (order < 0 || (past && order == 0)) low = middle + 1;
        else high = middle;
    }
    return low;
}

kav_paths_below kav_paths_in(const kav_paths *paths, const char *directory, size_t len)
{
    kav_paths_below below = {NULL, 0, len};
    if (paths->count == 0) return below;
    size_t first = bound(paths->items, paths->count, 0, directory, len, false);
    below.count = bound(paths->items, paths->count, 0, directory, len, true) - first;
    below.first = paths->items + first;
    return below;
}

bool kav_paths_has(const kav_paths_below *below, const char *name, size_t len)
{
    if (below->count == 0) return false;
    size_t i = bound(below->first, below->count, below->skip, name, len, false);
    if (i == below->count) return false;
    const char *rest = below->first[i] + below->skip;
    return strncmp(rest, name, len) == 0 && rest[len] == '\0';
}
