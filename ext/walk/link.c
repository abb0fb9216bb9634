#define _GNU_SOURCE
#include "walker.h"

#include "open.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A link is looked at (O_PATH) before anything is opened, and the look must not leave the mount of the walk: what is
 * mounted elsewhere may be dead, so that is the coordinator's to walk (KAV_E_SUBMOUNT at the link's path).
 *
 * openat2's RESOLVE_NO_XDEV refuses every absolute link as soon as the way begins below a directory, because it jumps
 * to a root whose mount is not known yet. So these begin a second time, at the mount's own root: where that is "/",
 * with RESOLVE_IN_ROOT, which takes absolute links on the way too; elsewhere by the link's text, and an absolute link
 * to an absolute link counts as leaving. */

/* The walk's mount point: where the real path of its root and the longest mount point in it agree. */
static size_t mount_point(const kav_lister *lister, const kav_node *node, const char **path)
{
    while (node->parent) node = node->parent;
    const kav_paths *mounts = &lister->walker->mounts;
    size_t longest = 0;
    for (size_t i = 0; i < mounts->count; i++) {
        size_t len = strlen(mounts->items[i]);
        if (len > longest && strncmp(node->real, mounts->items[i], len) == 0 && node->real[len] == '/') longest = len;
    }
    *path = node->real;
    return longest;
}

/* From the mount's root, without its path: "x/y" of /mnt/data/x/y. */
static int look_from_mount(const char *mount, size_t mount_len, const char *path)
{
    char top[PATH_MAX];
    if (mount_len + 2 > sizeof top || strlen(path) >= PATH_MAX) return -ENAMETOOLONG;
    if (strncmp(path, mount, mount_len) != 0 || (path[mount_len] && path[mount_len] != '/')) return -EXDEV;
    memcpy(top, mount, mount_len);
    strcpy(top + mount_len, "/");
    path += mount_len + strspn(path + mount_len, "/");
    int from = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (from < 0) return -errno;
    int fd = kav_look(from, *path ? path : ".", mount_len == 0);
    close(from);
    return fd;
}

static int look(kav_lister *lister, const kav_node *node, int dirfd, const kav_where *where)
{
    const char *mount;
    int fd = kav_look(dirfd, where->name, false);
    if (fd != -EXDEV) return fd;
    size_t mount_len = mount_point(lister, node, &mount);
    if (mount_len == 0) {
        memcpy(lister->real + lister->real_len, where->name, where->name_len + 1);
        return look_from_mount("", 0, lister->real);
    }
    char text[PATH_MAX];
    ssize_t len = readlinkat(dirfd, where->name, text, sizeof text - 1);
    if (len < 0) return -errno;
    text[len] = '\0';
    return text[0] == '/' ? look_from_mount(mount, mount_len, text) : -EXDEV;
}

/* A directory's node remembers where it really is, because that is how it will be opened, and who it was. */
static kav_node *directory_at(kav_lister *lister, kav_node *node, const kav_where *where, int fd,
                              const struct statx *st)
{
    if (!lister->walker->options->recurse) return NULL;
    char *real = kav_real_path(fd);
    kav_node *child = real ? kav_node_new(node, where->name, where->name_len, KAV_NODE_LINK) : NULL;
    if (!child) {
        int error = real ? -ENOMEM : -errno;
        free(real);
        if (error == -ENOMEM) kav_walker_fail(lister->walker, error);
        else kav_tell(lister, where, KAV_E_ERROR, KAV_EF_DIR, error, NULL);
        return NULL;
    }
    child->real = real;
    child->dev = kav_dev(st);
    child->ino = st->stx_ino;
    return child;
}

static kav_node *follow(kav_lister *lister, kav_node *node, const kav_where *where, int fd)
{
    struct statx st;
    int error = kav_identify(fd, &st);
    if (error) kav_tell(lister, where, KAV_E_ERROR, 0, error, NULL);
    else if (kav_mount(&st) != node->mount)
        kav_tell(lister, where, KAV_E_SUBMOUNT, S_ISDIR(st.stx_mode) ? KAV_EF_DIR : 0, 0, NULL);
    else if (S_ISDIR(st.stx_mode)) return directory_at(lister, node, where, fd, &st);
    else if (S_ISREG(st.stx_mode)) kav_meet_looked(lister, node, where, fd);
    else kav_tell(lister, where, KAV_E_SPECIAL, 0, 0, &st);
    return NULL;
}

kav_node *kav_meet_link(kav_lister *lister, kav_node *node, int dirfd, const kav_where *where)
{
    bool wanted = lister->walker->options->follow_symlinks;
    int fd = wanted ? look(lister, node, dirfd, where) : -ENOENT;
    if (fd >= 0) {
        kav_node *child = follow(lister, node, where, fd);
        close(fd);
        return child;
    }
    if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR) /* not to be followed, or it leads nowhere */
        kav_tell(lister, where, KAV_E_SYMLINK, 0, 0, NULL);
    else kav_tell(lister, where, kav_kind_of_failure(fd), 0, fd, NULL);
    return NULL;
}
