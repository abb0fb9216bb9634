#define _GNU_SOURCE /* O_PATH, renameat2 */
#include "act.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#endif

#define NS        1000000000ll
#define PIECE     2048 /* bytes of a path in one call: half of PATH_MAX, so that a name more never reaches it */
#define OPEN_DIR  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define LOOK_DIR  (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FD_LENGTH sizeof("/proc/self/fd/2147483647")

static bool unknown_call(int error)
{
    return error == ENOSYS || error == EPERM; /* a kernel before 5.6, or a filter older than the call */
}

/* Length of the next piece of a path: as many whole components as fit. -ENAMETOOLONG: not even one does. */
static int piece_length(const char *path)
{
    size_t length = strlen(path);
    if (length < PIECE) return (int)length;
    for (size_t end = PIECE - 1; end > 0; end--)
        if (path[end] == '/') return (int)end;
    return -ENAMETOOLONG;
}

/* One name after the other. */
static int open_by_names(int dirfd, char *path, int flags)
{
    int at = dirfd, fd = -1;
    char *rest = path;
    for (char *name; (name = strsep(&rest, "/")) != NULL;) {
        if (*name == '\0' || strcmp(name, ".") == 0) continue;
        if (strcmp(name, "..") == 0) fd = -EXDEV;
        else {
            fd = openat(at, name, rest && *rest ? LOOK_DIR : flags);
            if (fd < 0) fd = -errno;
        }
        if (at != dirfd) close(at);
        if (fd < 0) return fd;
        at = fd;
    }
    if (at != dirfd) return fd;
    fd = openat(dirfd, ".", flags); /* there was no name in it */
    return fd < 0 ? -errno : fd;
}

/* *path* is relative and shorter than PIECE. */
static int open_piece(int dirfd, char *path, int flags)
{
    struct open_how how = {
        .flags = (unsigned)flags,
        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH,
    };
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    if (fd >= 0) return fd;
    return unknown_call(errno) ? open_by_names(dirfd, path, flags) : -errno;
}

int kav_act_directory(int dirfd, const char *path)
{
    int at = openat(dirfd, *path == '/' ? "/" : ".", LOOK_DIR);
    if (at < 0) return -errno;
    for (;;) {
        char piece[PIECE];
        path += strspn(path, "/");
        int length = piece_length(path);
        if (length < 0) {
            close(at);
            return length;
        }
        bool last = path[length + (int)strspn(path + length, "/")] == '\0';
        memcpy(piece, path, (size_t)length);
        piece[length] = '\0';
        int fd = open_piece(at, length ? piece : (char[]){"."}, last ? OPEN_DIR : LOOK_DIR);
        close(at);
        if (fd < 0 || last) return fd;
        at = fd;
        path += length;
    }
}

int64_t kav_act_born(int fd)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BTIME, &st) != 0) return -errno;
    if (!(st.stx_mask & STATX_BTIME) || st.stx_btime.tv_sec <= 0 || st.stx_btime.tv_sec >= INT64_MAX / NS)
        return -ENODATA;
    return st.stx_btime.tv_sec * NS + st.stx_btime.tv_nsec;
}

static int rename_flags(int from, const char *name, int to, const char *new_name, unsigned flags)
{
    return syscall(SYS_renameat2, from, name, to, new_name, flags) == 0 ? 0 : -errno;
}

int kav_act_rename_new(int from, const char *name, int to, const char *new_name)
{
    int done = rename_flags(from, name, to, new_name, RENAME_NOREPLACE);
    if (done != -EINVAL && done != -ENOSYS) return done;
    if (linkat(from, name, to, new_name, 0) != 0) return -errno;
    return unlinkat(from, name, 0) == 0 ? 0 : -errno;
}

int kav_act_exchange(int one, const char *name, int other, const char *other_name)
{
    return rename_flags(one, name, other, other_name, RENAME_EXCHANGE);
}

int kav_act_link(int fd, int to, const char *name)
{
    if (linkat(fd, "", to, name, AT_EMPTY_PATH) == 0) return 0;
    if (errno == EEXIST) return -EEXIST;
    char own[FD_LENGTH]; /* without CAP_DAC_READ_SEARCH, by way of /proc */
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, own, to, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : -errno;
}
