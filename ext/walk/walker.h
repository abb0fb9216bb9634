/* Walker: what all threads of a walk share; lister: what one of them has for itself. */
#ifndef KAV_WALKER_H
#define KAV_WALKER_H

#include "batch.h"
#include "node.h"
#include "paths.h"
#include "unscanned.h"
#include "visited.h"
#include "walk.h"
#include <limits.h>
#include <sys/stat.h>

#define KAV_DIRENTS_SIZE (64u << 10) /* of one getdents64; 256 KiB was not faster */

typedef struct {
    const kav_walk_options *options;
    kav_outlet outlet;
    kav_paths mounts, excluded;
    kav_fd_budget budget;
    kav_lookup_options lookup; /* with options->lookup: what each thread asks */
    bool asks;                 /* there is something to ask */
    int failure;               /* atomic: -errno of what ended the walk early */

    pthread_mutex_t lock; /* over everything below */
    pthread_cond_t more;  /* the stack grew, or the walk is over */
    kav_node *stack;
    size_t busy; /* nodes that wait or are being listed; 0 = the end */
    kav_visited visited;
} kav_walker;

typedef struct {
    kav_walker *walker;
    kav_batch batch;
    kav_unscanned unscanned;
    kav_trail trail;
    kav_lookup *lookup;  /* NULL = no store */
    uint64_t dev, mount; /* of the directory in hand */
    uint8_t place[16];   /* its name in the stores */
    bool placed;         /* that is known: it lies on the file system of this walk */
    bool asks;           /* its files are looked up before they are opened */
    bool partial;        /* some of them were not: nobody can say which ones it has no longer */
    bool fs_known;       /* with options->subvolumes: fs is that of fs_dev */
    uint8_t fs[16];      /* file system or subvolume */
    uint64_t fs_dev;
    uint64_t known_files;        /* since slot->known was raised */
    int64_t newest;              /* ctime; INT64_MIN = none seen */
    unsigned unbeaten;           /* entries seen since the last beat */
    kav_node *among;             /* a root that is a file, with a reference, when the directory in hand is its */
    uint64_t among_ino;          /* of that directory */
    int64_t among_btime;         /* likewise */
    uint64_t dir_id;             /* of the directory in hand; goes up with each */
    size_t shown_len, real_len;  /* with final '/' */
    kav_paths_below mounts;      /* mount points directly in it */
    kav_paths_below excluded[2]; /* excluded directories directly in it, by its shown and by its real path */
    bool too_long;               /* it has entries whose paths are longer than KAV_PATH_MAX */
    char shown[KAV_PATH_MAX + NAME_MAX + 2]; /* room for a name behind it */
    char real[KAV_PATH_MAX + PATH_MAX + 2];  /* likewise */
    char dirents[KAV_DIRENTS_SIZE] __attribute__((aligned(16)));
} kav_lister;

/* ---- walker.c: the stack and the end ------------------------------------------------------------------------------
 */

/* Put a list of nodes, linked by next, on the stack. */
void kav_walker_push(kav_walker *walker, kav_node *first, kav_node *last, size_t count);

/* End the walk early; the first error stays. */
void kav_walker_fail(kav_walker *walker, int error);

/* Whether it ended early: it failed, or stop was set. */
bool kav_walker_over(const kav_walker *walker);

/* One step of progress and *entries* more entries seen. */
void kav_walker_beat(const kav_walker *walker, unsigned entries);

/* The same for what the lister has seen since the last time; before anything that may take long. */
void kav_beat(kav_lister *lister);

/* ---- list.c: one directory -------------------------------------------------------------------------------------- */

/* Open and list a waiting node, push what is to be listed below it; the node itself is the caller's to give back. */
void kav_list(kav_lister *lister, kav_node *node);

/* ---- meet.c: one entry ------------------------------------------------------------------------------------------ */

/* Deal with one entry of the directory in hand, open as *dirfd*. Returns the node of a directory to be listed, or NULL.
 * *type* is the d_type. */
kav_node *kav_meet(kav_lister *lister, kav_node *node, int dirfd, const char *name, size_t len, unsigned char type);

/* ---- file.c: one file ------------------------------------------------------------------------------------------- */

/* A file: open and send it, or say why not. */
void kav_meet_file(kav_lister *lister, const kav_node *node, int dirfd, const kav_where *where);

/* The same for a root, *seen* when it was looked at; it may be a link. */
void kav_meet_root(kav_lister *lister, kav_node *node, const struct statx *seen);

/* A file that a link led to, *looked* at with O_PATH. */
void kav_meet_looked(kav_lister *lister, const kav_node *node, const kav_where *where, int looked);

/* A file as it was looked up. */
typedef struct {
    kav_identity id;
    uint32_t delta; /* as in kav_entry */
} kav_asked;

/* ---- ask.c: what the stores know -------------------------------------------------------------------------------- */

/* Begin with the directory in hand, open as *fd*. */
void kav_ask_directory(kav_lister *lister, int fd, const struct statx *st);

/* Ask for a file of it (lister->placed). True = it has been dealt with; false = it is to be opened. */
bool kav_ask(kav_lister *lister, int dirfd, const kav_where *where, kav_asked *asked);

/* It has been listed; *dir* is how it is shown, with final '/'. */
void kav_ask_rest(kav_lister *lister, const char *dir, size_t dir_len);

/* It is done with in any case: raise what the slot tells. */
void kav_ask_end(kav_lister *lister);

/* ---- root.c: roots that are files ------------------------------------------------------------------------------- */

/* Have the directory of such a root in hand, unless it is already; returns it open (O_PATH), or -1: it has no place in
 * the stores. *dir_len* of the root's path name it. */
int kav_enter_among(kav_lister *lister, kav_node *node, const struct statx *seen, size_t *dir_len);

/* Another directory comes to hand, or none for a while. */
void kav_leave_among(kav_lister *lister);

/* ---- tell.c: what is sent --------------------------------------------------------------------------------------- */

/* Send an entry; the descriptor, or -1, belongs to the lister from now on. */
void kav_send(kav_lister *lister, const kav_entry *entry, const kav_where *where, int fd);

/* Whether the lister has gathered something, and sending it. */
bool kav_has_unsent(const kav_lister *lister);
void kav_flush(kav_lister *lister);

/* End the walk if that is an error. */
void kav_check(kav_lister *lister, int error);

/* Send an entry without a descriptor: kind, flags, errno; *st* is what is known of it or NULL. */
void kav_tell(kav_lister *lister, const kav_where *where, uint8_t kind, uint8_t flags, int error,
              const struct statx *st);

/* The kind for something that was listed and then could not be opened: it is gone, replaced, mounted over, or an error.
 */
uint8_t kav_kind_of_failure(int error);

/* Whether (dev, ino) is one of our own stores that were named. */
bool kav_is_store(const kav_walker *walker, const struct statx *st);

/* ---- marked.c ----------------------------------------------------------------------------------------------------
 */

#define KAV_STORE_MARK "kavfs.store"

/* Whether an open directory is a store of ours that nobody has named: it and the mark in it belong to root or to us,
 * nobody else may write to them, and the mark has the directory's inode and time of birth. What was unpacked or copied
 * has others, so nobody can have a directory left out by what an archive brings. */
bool kav_is_marked(int fd, const struct statx *st);

/* Fill in the identity. */
void kav_describe(kav_entry *entry, const struct statx *st);

int64_t kav_nanoseconds(struct statx_timestamp time);
int64_t kav_btime(const struct statx *st);

static inline kav_identity kav_identity_of(const struct statx *st)
{
    return (kav_identity){st->stx_ino, st->stx_size, kav_nanoseconds(st->stx_mtime), kav_nanoseconds(st->stx_ctime),
                          kav_btime(st)};
}

static inline void kav_note_time(kav_lister *lister, const struct statx *st)
{
    int64_t ctime = kav_nanoseconds(st->stx_ctime);
    if (ctime > lister->newest) lister->newest = ctime;
}

/* ---- link.c: one link ------------------------------------------------------------------------------------------- */

/* As kav_meet, for an entry that is a link. */
kav_node *kav_meet_link(kav_lister *lister, kav_node *node, int dirfd, const kav_where *where);

#endif
