/* Open: the only calls of the walker that open anything, and the identity of what was opened. */
#ifndef KAV_WALK_OPEN_H
#define KAV_WALK_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What statx is asked for. */
#define KAV_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* A directory for listing; *follow*: the name may be a link, but the way must not leave the mount (-EXDEV). */
int kav_open_directory(int dirfd, const char *name, bool follow);

/* What should be a regular file: opened so that a FIFO or device put in its place neither blocks nor becomes our
 * terminal. *follow*: the name may be a link; *on_mount*: then the way must not leave the mount (-EXDEV). A write lease
 * on it (Samba's oplocks) is waited for. */
int kav_open_file(int dirfd, const char *name, bool follow, bool on_mount);

/* The end of a link without opening it (O_PATH); -EXDEV when the way leaves the mount. */
int kav_open_link(int dirfd, const char *name);

/* 0 or -errno. */
int kav_identify(int fd, struct statx *out);

/* dev as in kav_entry. */
static inline uint64_t kav_dev(const struct statx *st)
{
    return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

/* What tells mounts apart: the mount's number, or the device where the kernel (before 5.8) does not give it. A btrfs
 * subvolume has its own device within one mount, so the number is the better answer. */
static inline uint64_t kav_mount(const struct statx *st)
{
    return st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : kav_dev(st);
}

#endif
