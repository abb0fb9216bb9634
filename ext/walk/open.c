#define _GNU_SOURCE
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LEASE_TRIES    200 /* 2 s: a living server gives a lease back within milliseconds */
#define LEASE_PAUSE_NS (10 * 1000 * 1000)

/* openat2, where it is allowed; kernels before 5.6 and old seccomp profiles refuse it (ENOSYS, EPERM). There the way
 * may cross a mount, which the caller sees by the identity of what was opened. */
static int open_on_mount(int dirfd, const char *name, int flags)
{
    struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return fd;
    return openat(dirfd, name, flags);
}

/* O_NOATIME is for the owner and for root; others do without. */
static int open_quietly(int dirfd, const char *name, int flags, bool on_mount)
{
    int fd = on_mount ? open_on_mount(dirfd, name, flags | O_NOATIME) : openat(dirfd, name, flags | O_NOATIME);
    if (fd < 0 && errno == EPERM) fd = on_mount ? open_on_mount(dirfd, name, flags) : openat(dirfd, name, flags);
    return fd < 0 ? -errno : fd;
}

int kav_open_directory(int dirfd, const char *name, bool follow)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    return open_quietly(dirfd, name, flags, true);
}

int kav_open_file(int dirfd, const char *name, bool follow, bool on_mount)
{
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    struct timespec pause = {0, LEASE_PAUSE_NS};
    /* Without following, openat cannot leave the mount but by a file mounted over the name; the identity shows that,
     * and openat2 would cost 4 % more per file. */
    on_mount = on_mount && follow;
    int fd = open_quietly(dirfd, name, flags, on_mount);
    for (int i = 0; fd == -EAGAIN && i < LEASE_TRIES; i++) {
        nanosleep(&pause, NULL);
        fd = open_quietly(dirfd, name, flags, on_mount);
    }
    return fd;
}

int kav_open_link(int dirfd, const char *name)
{
    int fd = open_on_mount(dirfd, name, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int kav_identify(int fd, struct statx *out)
{
    /* What open() has just learned is fresh enough; asking a file server again could block. */
    int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    return statx(fd, "", flags, KAV_STATX_MASK, out) != 0 ? -errno : 0;
}
