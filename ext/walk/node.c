#define _GNU_SOURCE
#include "node.h"

#include "open.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NODES_FIRST 64

kav_node *kav_node_new(kav_node *parent, const char *name, size_t len, unsigned flags)
{
    kav_node *node = malloc(sizeof *node + len + 1);
    if (!node) return NULL;
    *node = (kav_node){.parent = parent, .flags = flags, .name_len = (uint32_t)len};
    memcpy(node->name, name, len);
    node->name[len] = '\0';
    atomic_init(&node->fd, -1);
    atomic_init(&node->refs, 1);
    atomic_init(&node->holds, parent ? 1 : 2);
    bool slash = !parent && len > 0 && name[len - 1] == '/';
    node->shown_len = (uint32_t)((parent ? parent->shown_len : 0) + len + !slash);
    if (parent) {
        node->mount = parent->mount;
        atomic_fetch_add(&parent->refs, 1);
        atomic_fetch_add(&parent->holds, 1);
    }
    return node;
}

kav_node *kav_node_ref(kav_node *node)
{
    atomic_fetch_add(&node->refs, 1);
    return node;
}

void kav_node_unref(kav_node *node)
{
    while (node && atomic_fetch_sub(&node->refs, 1) == 1) {
        kav_node *parent = node->parent;
        int fd = atomic_load(&node->fd);
        if (fd >= 0) close(fd); /* a root, or a walk that was broken off */
        free(node->real);
        free(node);
        node = parent;
    }
}

void kav_node_release(kav_node *node, kav_fd_budget *budget)
{
    if (atomic_fetch_sub(&node->holds, 1) != 1) return;
    int fd = atomic_exchange(&node->fd, -1);
    if (fd < 0) return;
    close(fd);
    atomic_fetch_sub(&budget->kept, 1);
}

bool kav_node_keep(kav_node *node, int fd, kav_fd_budget *budget)
{
    int none = -1;
    if (!node->parent) {
        atomic_store(&node->fd, fd);
        return true;
    }
    if (atomic_fetch_add(&budget->kept, 1) < budget->most && atomic_compare_exchange_strong(&node->fd, &none, fd))
        return true;
    atomic_fetch_sub(&budget->kept, 1);
    return false;
}

/* Take a hold on a node whose descriptor is open, from outside its children. */
static bool borrow(kav_node *node, kav_fd_budget *budget)
{
    unsigned holds = atomic_load(&node->holds);
    do {
        if (holds == 0) return false;
    } while (!atomic_compare_exchange_weak(&node->holds, &holds, holds + 1));
    if (atomic_load(&node->fd) >= 0) return true;
    kav_node_release(node, budget);
    return false;
}

/* ---- opening, and opening again --------------------------------------------------------------------------------- */

static int put(kav_trail *trail, size_t at, kav_node *node)
{
    if (at == trail->room) {
        size_t room = trail->room ? trail->room * 2 : NODES_FIRST;
        kav_node **nodes = realloc(trail->nodes, room * sizeof *nodes);
        if (!nodes) return -ENOMEM;
        trail->nodes = nodes;
        trail->room = room;
    }
    trail->nodes[at] = node;
    return 0;
}

static int open_below(int dirfd, const kav_node *node)
{
    if (node->flags & KAV_NODE_LINK) return kav_open_real(node->real);
    return kav_open_directory(dirfd, node->name);
}

/* Close what is not the directory that *node* was when it was first opened. */
static int same(int fd, const kav_node *node)
{
    struct statx st;
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV) return -ESTALE;
    if (fd < 0) return fd;
    int error = kav_identify(fd, &st);
    if (error == 0 && (kav_dev(&st) != node->dev || st.stx_ino != node->ino)) error = -ESTALE;
    if (error == 0) return fd;
    close(fd);
    return error;
}

/* Up from where the thread is, if the node stands above; a depth-first walk comes back by few steps. -ENOENT if not. */
static int climb(const kav_trail *trail, const kav_node *node)
{
    const kav_node *at = trail->at;
    while (at && at->shown_len > node->shown_len && !(at->flags & KAV_NODE_LINK)) at = at->parent;
    if (at != node) return -ENOENT;
    int fd = trail->fd;
    for (at = trail->at; fd >= 0 && at != node; at = at->parent) {
        int next = same(kav_open_parent(fd), at->parent);
        if (fd != trail->fd) close(fd);
        fd = next;
    }
    return fd;
}

/* Down from the nearest ancestor that keeps a descriptor. */
static int reopen(kav_node *node, kav_fd_budget *budget, kav_trail *trail)
{
    size_t steps = 0;
    while (!borrow(node, budget)) { /* ends at the root, whose descriptor is always open */
        int error = put(trail, steps++, node);
        if (error) return error;
        node = node->parent;
    }
    int from = atomic_load(&node->fd);
    int fd = from;
    while (fd >= 0 && steps > 0) {
        const kav_node *below = trail->nodes[--steps];
        int next = same(open_below(fd, below), below);
        if (fd != from) close(fd);
        fd = next;
    }
    /* Somebody else may have reopened and kept it meanwhile: then no step was taken. */
    if (fd == from) {
        fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) fd = -errno;
    }
    kav_node_release(node, budget);
    return fd;
}

int kav_node_open(kav_node *node, kav_fd_budget *budget, kav_trail *trail)
{
    kav_node *parent = node->parent;
    int from = atomic_load(&parent->fd);
    if (from >= 0) return open_below(from, node); /* our hold keeps it open */
    if (trail->at == parent) return open_below(trail->fd, node);
    from = climb(trail, parent);
    if (from < 0) from = reopen(parent, budget, trail);
    if (from < 0) return from;
    int fd = open_below(from, node);
    if (!kav_node_keep(parent, from, budget)) kav_trail_move(trail, parent, from);
    return fd;
}

void kav_trail_move(kav_trail *trail, kav_node *node, int fd)
{
    kav_node *left = trail->at;
    if (left) close(trail->fd);
    atomic_fetch_add(&node->refs, 1);
    trail->at = node;
    trail->fd = fd;
    kav_node_unref(left); /* last: it may have been the only one that kept its ancestors */
}

void kav_trail_free(kav_trail *trail)
{
    if (trail->at) close(trail->fd);
    kav_node_unref(trail->at);
    free(trail->nodes);
    *trail = (kav_trail){0};
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

/* Both paths are a fixed beginning and then the names from the base down, each with '/'. */
static void names_from(const kav_node *base, const kav_node *node, char *out, size_t begin)
{
    for (; node != base; node = node->parent) {
        char *at = out + begin + (node->parent->shown_len - base->shown_len);
        memcpy(at, node->name, node->name_len);
        at[node->name_len] = '/';
    }
}

void kav_node_shown(const kav_node *node, char *out)
{
    const kav_node *root = node;
    while (root->parent) root = root->parent;
    memcpy(out, root->name, root->name_len);
    if (root->shown_len > root->name_len) out[root->name_len] = '/';
    names_from(root, node, out, root->shown_len);
}

size_t kav_node_real(const kav_node *node, char *out)
{
    const kav_node *base = node;
    while (!base->real) base = base->parent;
    size_t begin = strlen(base->real);
    memcpy(out, base->real, begin);
    names_from(base, node, out, begin);
    return begin + (node->shown_len - base->shown_len);
}
