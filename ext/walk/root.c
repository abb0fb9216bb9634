#define _GNU_SOURCE
#include "walker.h"

#include "open.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Length of what a root's path says of its directory, with final '/'; 0 = it is the current one. */
static size_t dir_len_of(const kav_node *node)
{
    const char *slash = memrchr(node->name, '/', node->name_len);
    return slash ? (size_t)(slash - node->name) + 1 : 0;
}

/* The directory by the path of a root, which lister->shown holds. */
static int open_dir(kav_lister *lister, size_t dir_len)
{
    lister->shown[dir_len] = '\0';
    return open(dir_len ? lister->shown : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static bool is_in_hand(const kav_lister *lister, const kav_node *node, size_t dir_len, const struct statx *dir)
{
    const kav_node *among = lister->among;
    return among && dir_len_of(among) == dir_len && memcmp(among->name, node->name, dir_len) == 0 &&
           lister->dev == kav_dev(dir) && lister->mount == kav_mount(dir) && lister->among_ino == dir->stx_ino &&
           lister->among_btime == kav_btime(dir);
}

int kav_enter_among(kav_lister *lister, kav_node *node, const struct statx *seen, size_t *dir_len)
{
    struct statx dir;
    *dir_len = dir_len_of(node);
    if (!lister->lookup) return -1;
    int fd = open_dir(lister, *dir_len);
    if (fd < 0) return -1;
    /* Something else may be mounted on the file itself; a link may lead to another file system. */
    if (kav_identify(fd, &dir) != 0 || kav_dev(&dir) != kav_dev(seen) || kav_mount(&dir) != kav_mount(seen)) {
        close(fd);
        return -1;
    }
    if (!is_in_hand(lister, node, *dir_len, &dir)) {
        kav_leave_among(lister);
        kav_ask_directory(lister, fd, &dir);
        lister->partial = true; /* of this directory only the roots are looked at */
        lister->among = kav_node_ref(node);
        lister->among_ino = dir.stx_ino;
        lister->among_btime = kav_btime(&dir);
    }
    if (lister->placed) return fd;
    close(fd);
    return -1;
}

void kav_leave_among(kav_lister *lister)
{
    kav_node *among = lister->among;
    if (!among) return;
    kav_ask_rest(lister, among->name, dir_len_of(among));
    lister->placed = lister->asks = false;
    lister->among = NULL;
    kav_node_unref(among);
}
