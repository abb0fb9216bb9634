/* Walk: list trees with several threads and send what is found as batches of entries with open descriptors.
 *
 * Names are bytes. Every directory is opened relative to its parent's descriptor, so depth is bounded by KAV_PATH_MAX
 * alone; a directory's descriptor is closed when its last pending subdirectory has been opened. Regular files are
 * opened O_RDONLY|O_NOFOLLOW|O_NONBLOCK|O_NOATIME and their descriptors travel with the batch. Nothing else is opened.
 * The walker stays on the mount of each root: where another one begins it sends KAV_E_SUBMOUNT and goes on, without
 * having touched what is mounted there.
 *
 * Rules for an entry met inside a root, in this order; the first that holds decides:
 *
 *     directory named in exclude_dirs, other name that fits a mask   KAV_E_EXCLUDED
 *     a mount point                                                  KAV_E_SUBMOUNT
 *     by type: neither file, directory nor link                      KAV_E_SPECIAL
 *     link that is not to be followed, or leads nowhere              KAV_E_SYMLINK
 *     cannot be opened: gone or replaced / any other reason          KAV_E_VANISHED / KAV_E_ERROR
 *     one of our stores, named or marked; a directory seen before    KAV_E_STORE; KAV_E_SEEN
 *
 * With a store, a regular file is looked at by its name first (statx). If the store knows it, it is not opened: it is
 * counted (KNOWN) or its verdict is sent (REPLAY). What the store should forget or renew follows its directory. A root
 * that is a file is one of its directory, as if that were walked; one that is a link is opened, and not remembered.
 *
 * What the user named is never excluded: the rules for names and stores do not apply to roots.
 *
 *     root -- node -- node ...    a node is a directory that waits, is listed, or has descendants that wait
 *               \                 all that wait are on one stack, newest on top: depth first, so that few wait
 *                node             threads take from it, list, push what they found; none waits, none is listed: the end
 */
#ifndef KAV_WALK_H
#define KAV_WALK_H

#include "kav.h"
#include "lookup.h"
#include <stdbool.h>

#define KAV_WALK_THREADS_MAX 64

typedef struct {
    const char *const *roots; /* NUL-terminated byte strings, as they are to be shown */
    size_t root_count;
    const char *const *exclude_masks; /* fnmatch, '*' takes '/' too; with a '/' against the path as shown, else against
                                         the name; directories are not asked */
    size_t exclude_mask_count;
    const char *const *exclude_dirs; /* absolute or as-shown paths; the directory and everything below it */
    size_t exclude_dir_count;
    const char *const *mount_points; /* real paths; an entry with such a path is not touched */
    size_t mount_point_count;
    const uint64_t *stores;           /* pairs (dev, ino) of our own stores, dev as in kav_entry */
    size_t store_count;               /* pairs */
    bool recurse;                     /* false: only the files directly in a root */
    bool follow_symlinks;             /* links met inside a root; a root that is a link is always followed */
    bool enter_pseudo;                /* for roots that the user named */
    bool count_only;                  /* open no file and send nothing: slot->total and slot->bytes are the answer */
    const kav_lookup_options *lookup; /* the stores: files that are known there are not opened; NULL = none */
    uint8_t fs[16];                   /* the file system of the roots, as places name it */
    uint64_t fs_dev;                  /* its st_dev, as in kav_entry; what lies on another is not looked up */
    bool subvolumes;                  /* btrfs: fs_dev does not matter, fs and the subvolume make the place */
    bool trusted;     /* what is on it may be remembered and looked up; else only a journal is asked. The process
                         must ignore SIGIO: files are leased for a moment */
    bool distrust;    /* files to which others than root and the scanning user may write are not remembered */
    bool names;       /* send the names of known files */
    bool cold;        /* ask for each file that is opened whether it is in the page cache */
    unsigned threads; /* 1 .. KAV_WALK_THREADS_MAX */
    unsigned max_fds; /* descriptors kept for directories that have waiting children; the others are opened again.
                         Besides: one per running root, 3 per thread, KAV_BATCH_FILES per thread */
} kav_walk_options;

/* Where messages go: a SOCK_SEQPACKET socket; waiting for the reader is the back-pressure. */
typedef struct {
    int socket;
    kav_slot
        *slot; /* progress, or NULL: beat, total (entries), index (directories listed), bytes (of regular files;
                  with count_only alone), newest, known, state (KAV_SLOT_SENDING while a thread waits for the reader) */
    uint64_t patience_ms; /* how long the kernel may refuse to take a message; then the walk fails with its reason */
} kav_walk_sink;

/* Walk all roots to the end. Returns 0, also when *stop became non-zero (it may be NULL); -errno when the walk itself
 * could not go on: no memory, no threads, the socket is gone (-EPIPE). What cannot be listed or opened is an entry,
 * never a return code. */
int kav_walk(const kav_walk_options *options, const kav_walk_sink *sink, volatile int *stop);

#endif
