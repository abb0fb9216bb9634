/* Walk: list trees with several threads and send what is found as batches of entries with open descriptors.
 *
 * Names are bytes. Every directory is opened relative to its parent's descriptor, so depth is bounded by KAV_PATH_MAX
 * alone; a directory's descriptor is closed when its last pending subdirectory has been opened. Regular files are opened
 * O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOATIME and their descriptors travel with the batch. Nothing else is opened.
 * The walker stays on the file system of each root: where another one begins it sends KAV_E_SUBMOUNT and goes on.
 */
#ifndef KAV_WALK_H
#define KAV_WALK_H

#include "kav.h"
#include <stdbool.h>

typedef struct {
    const char *const *roots; /* NUL-terminated byte strings, as they are to be shown */
    size_t root_count;
    const char *const *exclude_masks; /* fnmatch patterns; with a '/' against the path, else against the name */
    size_t exclude_mask_count;
    const char *const *exclude_dirs; /* absolute or as-shown paths; the directory and everything below it */
    size_t exclude_dir_count;
    const uint64_t *stores; /* pairs (dev, ino) of our own stores */
    size_t store_count;
    bool recurse;         /* false: only the files directly in a root */
    bool follow_symlinks; /* links met inside a root; a root that is a link is always followed */
    bool enter_pseudo;    /* for roots that the user named */
    unsigned threads;     /* 1 .. 64 */
    unsigned max_fds;     /* directory descriptors kept open at most; beyond, they are opened again */
} kav_walk_options;

/* Where finished batches go: a SOCK_SEQPACKET socket; blocking (that is the back-pressure). */
typedef struct {
    int socket;
    kav_slot *slot; /* progress; may be NULL */
} kav_walk_sink;

/* Walk all roots to the end. Returns 0; -errno when the walk itself could not go on (no memory, the socket is gone).
 * What cannot be listed or opened is an entry, never a return code. */
int kav_walk(const kav_walk_options *options, const kav_walk_sink *sink, volatile int *stop);

#endif
