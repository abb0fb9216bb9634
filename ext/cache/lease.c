#define _GNU_SOURCE
#include "lease.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451 /* the same on every architecture */
#endif

bool kav_others_write(const struct statx *st)
{
    if (st->stx_uid != 0 && st->stx_uid != geteuid()) return true;
    return (st->stx_mode & (S_IWGRP | S_IWOTH)) != 0;
}

/* Without the right to a lease (neither owner nor CAP_LEASE): files that root alone can write. Root can do anything to
 * this scan anyway. */
static bool is_roots_alone(int fd, const struct statx *st)
{
    if (st->stx_uid != 0 || kav_others_write(st)) return false;
    return syscall(SYS_faccessat2, fd, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) != 0 && errno == EACCES;
}

bool kav_unwritten(int fd, const struct statx *st)
{
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0) return errno == EACCES && is_roots_alone(fd, st);
    return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

bool kav_is_cold(int fd)
{
    struct {
        uint64_t offset, length; /* length 0: to the end */
    } range = {0, 0};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } pages = {0};
    return syscall(SYS_cachestat, fd, &range, &pages, 0) == 0 && pages.cached == 0;
}
