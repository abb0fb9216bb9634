/* Preloaded into kavscanner: something goes wrong at the STORE_FAULT_AT-th change of what lies in a folder "cache".
 *
 *     STORE_FAULT_LOG      each change is one line of this file: its number and what it was
 *     STORE_FAULT_ACTION   an errno, or kill, torn (half is written, then killed), stop
 *     STORE_FAULT_ON       set: every change from that one on (a disk stays full)
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int changes;

static int in_cache(const char *path)
{
    size_t len = strlen(path);
    return strstr(path, "/cache/") || (len >= 6 && !strcmp(path + len - 6, "/cache"));
}

static int fd_in_cache(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return 0;
    path[len] = '\0';
    return in_cache(path);
}

static int name_in_cache(int dirfd, const char *name)
{
    return *name == '/' || dirfd == AT_FDCWD ? in_cache(name) : fd_in_cache(dirfd);
}

static void note(int number, const char *what)
{
    const char *path = getenv("STORE_FAULT_LOG");
    char line[64];
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0) return;
    int len = snprintf(line, sizeof line, "%d %s\n", number, what);
    if (syscall(SYS_write, fd, line, (size_t)len) != len) abort();
    close(fd);
}

/* Whether this change fails, errno set. */
static int fails(const char *what, int fd, const void *bytes, size_t length, off_t at)
{
    const char *when = getenv("STORE_FAULT_AT"), *action = getenv("STORE_FAULT_ACTION");
    int number = __atomic_add_fetch(&changes, 1, __ATOMIC_SEQ_CST), due = when ? atoi(when) : 0;
    note(number, what);
    if (!due || !action || number < due || (number > due && !getenv("STORE_FAULT_ON"))) return 0;
    if (!strcmp(action, "stop")) raise(SIGSTOP);
    else if (!strcmp(action, "kill")) raise(SIGKILL);
    else if (!strcmp(action, "torn")) {
        if (bytes && syscall(SYS_pwrite64, fd, bytes, length / 2, at) < 0) abort();
        raise(SIGKILL);
    } else {
        errno = atoi(action);
        return 1;
    }
    return 0;
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int fd, const void *bytes, size_t length, off_t at)                                                   \
    {                                                                                                                  \
        return fd_in_cache(fd) && fails("pwrite", fd, bytes, length, at) ? -1 : REAL(name)(fd, bytes, length, at);     \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *bytes, size_t length)
{
    return fd_in_cache(fd) && fails("write", fd, bytes, length, 0) ? -1 : REAL(write)(fd, bytes, length);
}

#define ON_FD(name)                                                                                                    \
    int name(int fd)                                                                                                   \
    {                                                                                                                  \
        return fd_in_cache(fd) && fails(#name, fd, NULL, 0, 0) ? -1 : REAL(name)(fd);                                  \
    }
ON_FD(fsync)
ON_FD(fdatasync)

#define FTRUNCATE(name)                                                                                                \
    int name(int fd, off_t length)                                                                                     \
    {                                                                                                                  \
        return fd_in_cache(fd) && fails("ftruncate", fd, NULL, 0, 0) ? -1 : REAL(name)(fd, length);                    \
    }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        if (flags & O_CREAT && name_in_cache(AT_FDCWD, path) && fails("open", -1, NULL, 0, 0)) return -1;              \
        return REAL(name)(path, flags, mode);                                                                          \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
    int name(int dirfd, const char *path, int flags, ...)                                                              \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        if (flags & O_CREAT && name_in_cache(dirfd, path) && fails("openat", -1, NULL, 0, 0)) return -1;               \
        return REAL(name)(dirfd, path, flags, mode);                                                                   \
    }
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode)
{
    return in_cache(path) && fails("mkdir", -1, NULL, 0, 0) ? -1 : REAL(mkdir)(path, mode);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    int ours = name_in_cache(to_dir, to);
    return ours && fails("renameat", -1, NULL, 0, 0) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    int ours = name_in_cache(to_dir, to);
    return ours && fails("linkat", -1, NULL, 0, 0) ? -1 : REAL(linkat)(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    return name_in_cache(dirfd, path) && fails("unlinkat", -1, NULL, 0, 0) ? -1 : REAL(unlinkat)(dirfd, path, flags);
}
