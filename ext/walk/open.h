/* Open: the only calls of the walker that open anything, and the identity of what was opened. */
#ifndef KAV_WALK_OPEN_H
#define KAV_WALK_OPEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/* What statx is asked for. */
#define KAV_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* A directory for listing; -EXDEV when something is mounted there (it was not touched). */
int kav_open_directory(int dirfd, const char *name);

/* The one above an open one. */
int kav_open_parent(int dirfd);

/* The same for one that a link led to, by its real path, on which no link may stand (-ELOOP). */
int kav_open_real(const char *path);

/* What should be a regular file: opened so that a FIFO or device put in its place neither blocks nor becomes our
 * terminal. *follow*: the name may be a link. -EAGAIN = somebody has a write lease on it (Samba's oplocks) and has been
 * asked to give it back; *patient*: that is waited for, two seconds. */
int kav_open_file(int dirfd, const char *name, bool follow, bool patient);

/* The same for what has been looked at, by its descriptor. Needs /proc. */
int kav_open_looked(int fd, bool patient);

/* Look at what a path leads to without opening it (O_PATH); -EXDEV when the way leaves the mount. *in_root*: dirfd is
 * taken for "/". */
int kav_look(int dirfd, const char *path, bool in_root);

/* Where an open directory really is, with final '/'; to be freed. NULL and errno: no /proc (ENOENT), longer than the
 * kernel tells (ENAMETOOLONG), removed (ESTALE), ENOMEM. */
char *kav_real_path(int fd);

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
