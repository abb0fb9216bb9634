#define _GNU_SOURCE
#include "walker.h"

#include "open.h"
#include "pseudo.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BEAT_EACH 16 /* entries that need no system call but statx; threads share the line of the slot */

/* ---- about the directory itself --------------------------------------------------------------------------------- */

/* Send an entry about a node: a root stands alone, any other in its parent's directory. */
static void tell_node(kav_lister *lister, const kav_node *node, uint8_t kind, int error, const struct statx *st)
{
    size_t dir_len = node->parent ? node->parent->shown_len : 0;
    kav_where where = {0, lister->shown, dir_len, node->name, node->name_len};
    kav_tell(lister, &where, kind, KAV_EF_DIR | (node->parent ? 0 : KAV_EF_ROOT), error, st);
}

/* Note who it is and, of a root, where it really is. 0 or -ENOMEM. */
static int settle(const kav_lister *lister, kav_node *node, int fd, const struct statx *st)
{
    node->dev = kav_dev(st);
    node->ino = st->stx_ino;
    node->mount = kav_mount(st);
    if (node->parent) return 0;
    node->real = kav_real_path(fd);
    /* Without /proc, or deeper than the kernel tells, the path as shown has to do: names of mount points are then
     * missed, but openat2 stops at them all the same. */
    if (!node->real) node->real = strndup(lister->shown, lister->shown_len);
    return node->real ? 0 : -ENOMEM;
}

/* Whether this walk comes here for the first time: 1, 0, or -ENOMEM. */
static int first_visit(kav_walker *walker, const struct statx *st)
{
    pthread_mutex_lock(&walker->lock);
    int added = kav_visited_add(&walker->visited, kav_dev(st), st->stx_ino);
    pthread_mutex_unlock(&walker->lock);
    return added;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* Whether an opened directory is to be listed; if not, that has been told. */
static bool admit(kav_lister *lister, kav_node *node, int fd, struct statx *st)
{
    int error = kav_identify(fd, st);
    if (error) {
        tell_node(lister, node, KAV_E_ERROR, error, NULL);
        return false;
    }
    if (node->flags & KAV_NODE_LINK && (kav_dev(st) != node->dev || st->stx_ino != node->ino)) {
        tell_node(lister, node, KAV_E_VANISHED, 0, NULL); /* the link's end was replaced after it had been looked at */
        return false;
    }
    if (node->parent && kav_mount(st) != node->mount) {
        tell_node(lister, node, KAV_E_SUBMOUNT, 0, st);
        return false;
    }
    if (node->parent && (kav_is_store(lister->walker, st) || kav_is_marked(fd, st))) {
        tell_node(lister, node, KAV_E_STORE, 0, st);
        return false;
    }
    int first = first_visit(lister->walker, st);
    if (first == 0) tell_node(lister, node, KAV_E_SEEN, 0, st);
    if (first == 1) first = settle(lister, node, fd, st) == 0 ? 1 : -ENOMEM;
    if (first < 0) kav_walker_fail(lister->walker, first);
    return first == 1;
}

static int open_child(kav_lister *lister, kav_node *node)
{
    kav_walker *walker = lister->walker;
    int fd = kav_node_open(node, &walker->budget, &lister->trail);
    if (fd == -EMFILE || fd == -ENFILE) { /* our own batch may be what fills the table */
        kav_flush(lister);
        fd = kav_node_open(node, &walker->budget, &lister->trail);
    }
    kav_node_release(node->parent, &walker->budget);
    /* ESTALE is said of an ancestor: what stands below it now has not been walked, so it is no mere vanishing. */
    if (fd < 0) tell_node(lister, node, fd == -ESTALE ? KAV_E_ERROR : kav_kind_of_failure(fd), fd, NULL);
    return fd;
}

/* A root may be anything. It is looked at (O_PATH) before it is opened, so that a device or FIFO stays untouched. */
static int open_root(kav_lister *lister, kav_node *node)
{
    kav_walker *walker = lister->walker;
    kav_where where = {0, "", 0, node->name, node->name_len};
    struct statx st;
    int seen = open(node->name, O_PATH | O_CLOEXEC);
    int error = seen < 0 ? -errno : kav_identify(seen, &st);
    int fd = -1;
    if (error) kav_tell(lister, &where, KAV_E_ERROR, KAV_EF_ROOT, error, NULL);
    else if (!walker->options->enter_pseudo && kav_is_pseudo(seen))
        kav_tell(lister, &where, KAV_E_PSEUDO, KAV_EF_ROOT | (S_ISDIR(st.stx_mode) ? KAV_EF_DIR : 0), 0, &st);
    else if (S_ISREG(st.stx_mode)) kav_meet_root(lister, node, &st);
    else if (!S_ISDIR(st.stx_mode)) kav_tell(lister, &where, KAV_E_SPECIAL, KAV_EF_ROOT, 0, &st);
    else if ((fd = kav_open_directory(seen, ".")) < 0) tell_node(lister, node, KAV_E_ERROR, fd, NULL);
    if (seen >= 0) close(seen);
    return fd;
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

/* Find what is known by name about entries of the directory in hand. */
static void look_up_names(kav_lister *lister, const kav_node *node)
{
    kav_walker *walker = lister->walker;
    lister->real_len = 0;
    if (walker->mounts.count + walker->excluded.count > 0 || walker->options->follow_symlinks)
        lister->real_len = kav_node_real(node, lister->real);
    lister->mounts = kav_paths_in(&walker->mounts, lister->real, lister->real_len);
    lister->excluded[0] = kav_paths_in(&walker->excluded, lister->shown, lister->shown_len);
    lister->excluded[1] = kav_paths_in(&walker->excluded, lister->real, lister->real_len);
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* The entries of one getdents64; the directories among them go on the stack at once, so that idle threads have work
 * before a wide directory is at its end. */
static void list_some(kav_lister *lister, kav_node *node, int fd, size_t len)
{
    kav_walker *walker = lister->walker;
    kav_node *first = NULL, *last = NULL;
    size_t count = 0;
    for (size_t at = 0; at < len && !kav_walker_over(walker);) {
        const struct dirent64 *entry = (const void *)(lister->dirents + at);
        at += entry->d_reclen;
        if (is_dots(entry->d_name)) continue;
        if (++lister->unbeaten == BEAT_EACH) kav_beat(lister);
        kav_node *child = kav_meet(lister, node, fd, entry->d_name, strlen(entry->d_name), entry->d_type);
        if (!child) continue;
        child->next = first;
        first = child;
        if (!last) last = child;
        count++;
    }
    if (first) kav_walker_push(walker, first, last, count);
    kav_beat(lister);
}

static void list_all(kav_lister *lister, kav_node *node, int fd, const struct statx *st)
{
    kav_leave_among(lister);
    lister->dir_id++;
    lister->too_long = false;
    kav_ask_directory(lister, fd, st);
    look_up_names(lister, node);
    while (!kav_walker_over(lister->walker)) {
        ssize_t len = getdents64(fd, lister->dirents, sizeof lister->dirents);
        if (len > 0) {
            list_some(lister, node, fd, (size_t)len);
            continue;
        }
        /* ENOENT: the directory was removed after it had been opened. */
        int error = len < 0 ? -errno : 0;
        if (error) tell_node(lister, node, error == -ENOENT ? KAV_E_VANISHED : KAV_E_ERROR, error, NULL);
        lister->partial |= error || lister->too_long;
        kav_ask_rest(lister, lister->shown, lister->shown_len);
        break;
    }
    if (lister->too_long) tell_node(lister, node, KAV_E_ERROR, -ENAMETOOLONG, NULL);
    kav_ask_end(lister);
}

void kav_list(kav_lister *lister, kav_node *node)
{
    kav_walker *walker = lister->walker;
    kav_node_shown(node, lister->shown);
    lister->shown_len = node->shown_len;
    int fd = node->parent ? open_child(lister, node) : open_root(lister, node);
    struct statx st;
    if (fd < 0) return;
    if (!admit(lister, node, fd, &st)) {
        close(fd);
        return;
    }
    bool kept = kav_node_keep(node, fd, &walker->budget);
    list_all(lister, node, fd, &st);
    if (!kept) kav_trail_move(&lister->trail, node, fd);
    kav_node_release(node, &walker->budget);
    if (walker->outlet.sink->slot) __atomic_fetch_add(&walker->outlet.sink->slot->index, 1, __ATOMIC_RELAXED);
}
