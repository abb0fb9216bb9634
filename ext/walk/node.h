/* Node: a directory of the tree in hand, and its descriptor.
 *
 * Two counts, because memory and descriptors have different lives:
 *
 *     refs    why the node must stay: it waits or is listed (1), and 1 per child node
 *     holds   why its descriptor must stay: it is listed (1), 1 per child not yet opened, 1 per borrower;
 *             a root has one more until it is freed, so that there is always an open ancestor
 *
 * When holds falls to 0 the descriptor is closed, and nobody can take a hold again. A node opened while more than
 * max_fds are kept does not keep its descriptor (fd stays -1); it is reached again by ".." from the directory that the
 * thread was in last, or from the nearest ancestor that has one, comparing (dev, ino) on each step. A kept descriptor
 * is never taken away while there are holds, so threads use it without a lock.
 */
#ifndef KAV_NODE_H
#define KAV_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KAV_NODE_LINK = 1 }; /* reached by a link that was followed */

typedef struct kav_node {
    struct kav_node *parent; /* NULL for a root */
    struct kav_node *next;   /* below it on the stack */
    char *real;              /* of a root or a followed link: its real path with final '/'; NULL = parent's + name */
    uint64_t dev, ino;       /* known once it has been opened */
    uint64_t mount;          /* the mount the walk stays on; a root's is known once it has been opened */
    atomic_int fd;           /* -1 = not kept */
    atomic_uint holds, refs;
    uint32_t shown_len; /* of its path as shown, with final '/' */
    uint32_t name_len;
    unsigned flags;
    char name[]; /* NUL-terminated; of a root: the path as the user gave it */
} kav_node;

/* Descriptors kept by nodes, roots not counted. */
typedef struct {
    atomic_uint kept;
    unsigned most;
} kav_fd_budget;

/* One thread's way back to directories that keep no descriptor. All zero = empty. */
typedef struct {
    kav_node *at;     /* the last one it was in, or NULL; holds a reference */
    int fd;           /* open on it */
    kav_node **nodes; /* scratch: those between an open ancestor and a node */
    size_t room;
} kav_trail;

/* A waiting node; takes a reference and a hold on its parent. NULL = no memory. *len* is at most KAV_PATH_MAX. */
kav_node *kav_node_new(kav_node *parent, const char *name, size_t len, unsigned flags);

/* One more reference. */
kav_node *kav_node_ref(kav_node *node);

/* Give back a reference, and those of ancestors that nothing else needs. */
void kav_node_unref(kav_node *node);

/* Give back a hold. */
void kav_node_release(kav_node *node, kav_fd_budget *budget);

/* Open a waiting node for listing, relative to its parent; the hold on the parent is still the caller's to release.
 * Returns the descriptor or -errno: -EXDEV = something is mounted there (it was not touched), -ESTALE = an ancestor
 * that had to be opened again is gone or another one. */
int kav_node_open(kav_node *node, kav_fd_budget *budget, kav_trail *trail);

/* Be in a directory; the descriptor is the trail's from now on. */
void kav_trail_move(kav_trail *trail, kav_node *node, int fd);
void kav_trail_free(kav_trail *trail);

/* Leave the descriptor to the node if the budget allows. True = the node owns it; false = the caller still does. */
bool kav_node_keep(kav_node *node, int fd, kav_fd_budget *budget);

/* Write the path as shown, shown_len bytes with final '/', no NUL. *out* has room for KAV_PATH_MAX. */
void kav_node_shown(const kav_node *node, char *out);

/* The same for the real path; returns its length, at most KAV_PATH_MAX + PATH_MAX. */
size_t kav_node_real(const kav_node *node, char *out);

#endif
