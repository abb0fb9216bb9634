#define _GNU_SOURCE /* O_PATH */

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

#define TRIES 100 /* when others have to do something first */

static const struct timespec PAUSE = {0, 10 * 1000 * 1000};

typedef struct {
    kav_open_request head;
    char names[2 * KAV_OPEN_MAX];
} request;

typedef struct {
    int base; /* where the path begins: a descriptor, or AT_FDCWD */
    const char *path;
    uint64_t resolve;
    int nofollow; /* O_NOFOLLOW or 0 */
} way;

/* openat2, where it is allowed; kernels before 5.6 and old seccomp profiles refuse it (ENOSYS, EPERM). There links of
 * proc are followed: they lead to what this process has open, which is nothing, and to "/". What has to stay below a
 * folder cannot be had without. */
static int open_way(const way *to, int flags)
{
    struct open_how how = {.flags = (uint64_t)(flags | to->nofollow | O_CLOEXEC), .resolve = to->resolve};
    int fd = (int)syscall(SYS_openat2, to->base, to->path, &how, sizeof how);
    if (fd >= 0) return fd;
    if ((errno != ENOSYS && errno != EPERM) || to->base != AT_FDCWD) return -errno;
    fd = openat(AT_FDCWD, to->path, flags | to->nofollow | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int error_of(const struct stat *st)
{
    if (S_ISLNK(st->st_mode)) return ELOOP; /* O_PATH opens the link itself */
    return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) ? 0 : ENXIO;
}

/* Looked at before: opening a device can do things already. 0 or an errno. */
static int look(const way *to)
{
    int fd = open_way(to, O_PATH);
    if (fd < 0) return -fd;
    struct stat st;
    struct statfs where;
    int error = fstat(fd, &st) || fstatfs(fd, &where) ? errno : error_of(&st);
    if (!error && where.f_type == PROC_SUPER_MAGIC) error = EACCES;
    close(fd);
    return error;
}

/* Somebody has a lease on it, which the first attempt asks him to give back. A living holder does within milliseconds.
 */
static int open_patiently(const way *to)
{
    int fd = open_way(to, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    for (int i = 0; fd == -EAGAIN && i < TRIES; i++) {
        nanosleep(&PAUSE, NULL);
        fd = open_way(to, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    }
    return fd;
}

/* And again afterwards: it may have been exchanged. The descriptor, or -errno. */
static int open_seen(const way *to, kav_open_answer *answer)
{
    int error = look(to);
    if (error) return -error;
    int fd = open_patiently(to);
    if (fd < 0) return fd;
    struct stat st;
    struct statfs where;
    error = fstat(fd, &st) || fstatfs(fd, &where) ? errno : error_of(&st);
    if (!error && where.f_type == PROC_SUPER_MAGIC) error = EACCES;
    if (error) {
        close(fd);
        return -error;
    }
    answer->directory = S_ISDIR(st.st_mode);
    return fd;
}

static int open_asked(const request *asked, kav_open_answer *answer)
{
    const char *folder = asked->names;
    way to = {
        .base = AT_FDCWD,
        .path = asked->names + asked->head.folder_len + 1,
        .resolve = RESOLVE_NO_MAGICLINKS,
        .nofollow = asked->head.flags & KAV_OPEN_FOLLOW ? 0 : O_NOFOLLOW,
    };
    if (!asked->head.folder_len) return to.path[0] == '/' ? open_seen(&to, answer) : -EINVAL;
    to.base = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (to.base < 0) return -errno;
    to.resolve |= RESOLVE_BENEATH;
    int fd = open_seen(&to, answer);
    close(to.base);
    return fd;
}

/* Both names with their NULs, and nothing else. */
static bool is_request(const request *asked, size_t len)
{
    if (len < sizeof asked->head) return false;
    size_t folder = asked->head.folder_len, path = asked->head.path_len;
    if (folder >= KAV_OPEN_MAX || path >= KAV_OPEN_MAX || len != sizeof asked->head + folder + path + 2) return false;
    const char *second = asked->names + folder + 1;
    return strnlen(asked->names, folder + 1) == folder && strnlen(second, path + 1) == path;
}

static int send_answer(int socket, const kav_open_answer *answer, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)answer, .iov_len = sizeof *answer};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static int answer_one(int socket, const request *asked)
{
    kav_open_answer answer = {.id = asked->head.id};
    int fd = open_asked(asked, &answer);
    if (fd < 0) answer.error = -fd;
    int failed = send_answer(socket, &answer, fd);
    for (int i = 0; failed == -ETOOMANYREFS && i < TRIES; i++) { /* of all processes of this user together */
        nanosleep(&PAUSE, NULL);
        failed = send_answer(socket, &answer, fd);
    }
    if (fd >= 0) close(fd);
    if (failed != -ETOOMANYREFS) return failed;
    answer.error = EMFILE;
    return send_answer(socket, &answer, -1);
}

int kav_process_open_for(int socket)
{
    request asked;
    for (;;) {
        ssize_t got = recv(socket, &asked, sizeof asked, MSG_TRUNC);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got < 0 ? -errno : 0;
        if ((size_t)got > sizeof asked || !is_request(&asked, (size_t)got)) return -EPROTO;
        int failed = answer_one(socket, &asked);
        if (failed) return failed == -EPIPE ? 0 : failed;
    }
}
