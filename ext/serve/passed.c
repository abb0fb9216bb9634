/* Descriptors that come along with bytes on a UNIX socket. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "front.h"

#define TAKEN 4 /* room for so many in one message; more are closed by the kernel, and it says so */

static int64_t user_of(const kav_conn *c)
{
    struct ucred who;
    socklen_t len = sizeof who;
    return getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? (int64_t)who.uid : -1;
}

void kav_passed_drop(kav_front *f, const kav_conn *c, int fd)
{
    kav_inbox_add_unwanted(&f->inbox, user_of(c), fd);
}

static uint32_t find_muted(const kav_front *f, int64_t uid)
{
    uint32_t at = 0;
    while (at < f->muted_count && f->muted[at] != uid) at++;
    return at;
}

bool kav_front_mute(kav_front *f, int64_t uid, bool on)
{
    uint32_t at = find_muted(f, uid);
    if (on && at == f->muted_count && at < KAV_SERVE_MUTED) f->muted[f->muted_count++] = uid;
    if (!on && at < f->muted_count) f->muted[at] = f->muted[--f->muted_count];
    return find_muted(f, uid) < f->muted_count;
}

/* Keeps the first, when nothing was kept before; all others are unwanted and remembered as too many. */
static void keep(kav_front *f, kav_conn *c, const struct cmsghdr *part)
{
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
        if (c->passed < 0 && count == 1 && !c->several) {
            c->passed = fd;
            continue;
        }
        kav_passed_drop(f, c, fd);
        c->several = true;
    }
}

ssize_t kav_passed_receive(kav_front *f, kav_conn *c, uint8_t *bytes, size_t len)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(TAKEN * sizeof(int))];
    } control;
    struct iovec piece = {bytes, len};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    /* What is not even received is dropped by the kernel, which asks no file system about it. */
    bool muted = f->muted_count && find_muted(f, user_of(c)) < f->muted_count;
    if (muted) message.msg_controllen = 0;
    ssize_t got = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 || !(message.msg_controllen || message.msg_flags & MSG_CTRUNC)) return got;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) keep(f, c, part);
    if (message.msg_flags & MSG_CTRUNC && muted) c->refused = true;
    else if (message.msg_flags & MSG_CTRUNC) c->several = true;
    return got;
}

const char *kav_passed_wrong(int fd)
{
    struct statx about;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY) return KAV_BROKEN_CLOSED;
    /* A type never changes, so nobody needs to be asked: a file system that its owner has stopped would let us wait. */
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &about) != 0) return KAV_BROKEN_CLOSED;
    return S_ISREG(about.stx_mode) ? NULL : KAV_BROKEN_KIND;
}
