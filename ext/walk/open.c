#define _GNU_SOURCE
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LEASE_TRIES    200 /* a living server gives a lease back within milliseconds */
#define LEASE_PAUSE_NS (10 * 1000 * 1000)
#define RENAME_TRIES   16 /* with RESOLVE_IN_ROOT: a rename anywhere disturbs a way that has ".." */
#define FD_LINK_SIZE   sizeof("/proc/self/fd/2147483647")

/* openat2, where it is allowed; kernels before 5.6 and old seccomp profiles refuse it (ENOSYS, EPERM). There the way
 * may cross a mount, which the caller sees by the identity of what was opened. */
static int open_on_mount(int dirfd, const char *name, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (unsigned)flags, .resolve = resolve | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
    return openat(dirfd, name, flags);
}

int kav_open_directory(int dirfd, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW;
    int fd = open_on_mount(dirfd, name, flags | O_NOATIME, 0);
    if (fd < 0 && errno == EPERM) fd = open_on_mount(dirfd, name, flags, 0);
    return fd < 0 ? -errno : fd;
}

/* O_NOATIME is for the owner and for root; others do without. */
static int open_quietly(int dirfd, const char *name, int flags)
{
    int fd = openat(dirfd, name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM) fd = openat(dirfd, name, flags);
    return fd < 0 ? -errno : fd;
}

int kav_open_parent(int dirfd)
{
    return open_quietly(dirfd, "..", O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

int kav_open_real(const char *path)
{
    /* Not RESOLVE_NO_SYMLINKS: the identity, which the caller compares, says whether it is the place that was meant. */
    return open_quietly(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
}

int kav_open_file(int dirfd, const char *name, bool follow, bool patient)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    struct timespec pause = {0, LEASE_PAUSE_NS};
    int fd = open_quietly(dirfd, name, flags);
    for (int i = 0; patient && fd == -EAGAIN && i < LEASE_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = open_quietly(dirfd, name, flags);
    }
    return fd;
}

static void fd_link(char *out, int fd)
{
    snprintf(out, FD_LINK_SIZE, "/proc/self/fd/%d", fd);
}

int kav_open_looked(int fd, bool patient)
{
    char link[FD_LINK_SIZE];
    fd_link(link, fd);
    return kav_open_file(AT_FDCWD, link, true, patient);
}

int kav_look(int dirfd, const char *path, bool in_root)
{
    int fd = -1;
    errno = EAGAIN;
    for (int i = 0; fd < 0 && errno == EAGAIN && i < RENAME_TRIES; i++)
        fd = open_on_mount(dirfd, path, O_PATH | O_CLOEXEC, in_root ? RESOLVE_IN_ROOT : 0);
    return fd < 0 ? -errno : fd;
}

char *kav_real_path(int fd)
{
    char link[FD_LINK_SIZE], target[PATH_MAX + 1];
    struct stat st;
    fd_link(link, fd);
    ssize_t len = readlink(link, target, PATH_MAX);
    if (len < 0) return NULL;
    target[len] = '\0';
    if (len == PATH_MAX || target[0] != '/') errno = ENAMETOOLONG;
    else if (fstat(fd, &st) == 0 && st.st_nlink == 0) errno = ESTALE; /* "/path (deleted)" */
    else {
        if (target[len - 1] != '/') strcpy(target + len, "/");
        return strdup(target);
    }
    return NULL;
}

int kav_identify(int fd, struct statx *out)
{
    /* What open() has just learned is fresh enough; asking a file server again could block. */
    int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    return statx(fd, "", flags, KAV_STATX_MASK, out) != 0 ? -errno : 0;
}
