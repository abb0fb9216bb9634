/* Paths: a sorted list of paths, asked directory by directory which of them lie directly in it.
 *
 * Nearly every directory has none, so that its entries cost nothing; this is how mount points and excluded directories
 * are found by name without a system call.
 */
#ifndef KAV_PATHS_H
#define KAV_PATHS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char **items; /* sorted bytewise, no trailing '/', none empty */
    size_t count;
} kav_paths;

/* The part of a list that begins with one directory's path. */
typedef struct {
    char *const *first;
    size_t count;
    size_t skip; /* length of the directory's path */
} kav_paths_below;

/* Copy *count* strings. Returns 0 or -ENOMEM; kav_paths_free is due in both cases. */
int kav_paths_init(kav_paths *paths, const char *const *strings, size_t count);
void kav_paths_free(kav_paths *paths);

/* Those below a directory, whose path ends with '/'. */
kav_paths_below kav_paths_in(const kav_paths *paths, const char *directory, size_t len);

/* Whether that directory's entry is one of them. */
bool kav_paths_has(const kav_paths_below *below, const char *name, size_t len);

#endif
