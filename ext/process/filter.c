#define _GNU_SOURCE /* O_PATH, CLONE_THREAD, F_SETLEASE */

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The same on every machine; libseccomp may be older than they are. */
#define CACHESTAT 451
#define STATMOUNT 457
#define LISTMOUNT 458
#define GET_UUID  0x80111500u /* FS_IOC_GETFSUUID */
#define NO_WAIT   0x5421u     /* FIONBIO */

/* A call that is allowed where (argument & mask) == value; mask 0: always. */
typedef struct {
    int call;
    unsigned argument;
    uint64_t mask, value;
} permit;

typedef struct {
    const permit *permits;
    size_t count;
} permits;

#define WHOLE UINT64_MAX
#define INT   UINT32_MAX /* the kernel does not look at the upper half either */
#define ANY(name)                                                                                                      \
    {                                                                                                                  \
        SCMP_SYS(name), 0, 0, 0                                                                                        \
    }
#define LENGTH(list) (sizeof(list) / sizeof *(list))
#define PERMITS(list)                                                                                                  \
    {                                                                                                                  \
        list, LENGTH(list)                                                                                             \
    }

/* clang-format off */

/* Everybody: what is open, memory that is not executable, time, the end. The C library's fstat() is a newfstatat()
 * whose name is empty, which no filter can see: whether a path exists, and how large it is, can be found out by it. */
static const permit BASE[] = {
    ANY(read), ANY(pread64), ANY(readv), ANY(write), ANY(pwrite64), ANY(writev), ANY(close), ANY(fstat), ANY(lseek),
    ANY(recvmsg), ANY(recvfrom), ANY(sendmsg), ANY(sendto), ANY(getsockname),
    ANY(getsockopt), ANY(poll), ANY(ppoll), ANY(select), ANY(pselect6),
    ANY(ftruncate), ANY(fadvise64), ANY(dup), ANY(brk), ANY(munmap), ANY(mremap), ANY(madvise), ANY(futex),
    ANY(set_robust_list), ANY(rseq), ANY(rt_sigaction), ANY(rt_sigprocmask), ANY(rt_sigreturn), ANY(sigaltstack),
    ANY(restart_syscall), ANY(pause), ANY(nanosleep), ANY(clock_nanosleep), ANY(clock_gettime), ANY(clock_getres),
    ANY(gettimeofday), ANY(time), ANY(getrandom), ANY(getpid), ANY(gettid), ANY(getppid), ANY(getuid), ANY(geteuid),
    ANY(getgid), ANY(getegid), ANY(getrusage), ANY(times), ANY(sysinfo), ANY(uname), ANY(sched_yield),
    ANY(sched_getaffinity), ANY(getrlimit), ANY(exit), ANY(exit_group),
    {SCMP_SYS(prlimit64), 2, WHOLE, 0}, /* to ask, not to set */
    {SCMP_SYS(fcntl), 1, INT, F_GETFD}, {SCMP_SYS(fcntl), 1, INT, F_SETFD}, {SCMP_SYS(fcntl), 1, INT, F_GETFL},
    {SCMP_SYS(fcntl), 1, INT, F_DUPFD_CLOEXEC}, {SCMP_SYS(fcntl), 1, INT, F_GET_SEALS},
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0}, {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
};

static const permit FSTAT[] = {{SCMP_SYS(newfstatat), 3, AT_EMPTY_PATH, AT_EMPTY_PATH}};

/* Threads, and what only reads by path; leases, so that what is remembered of a file can be believed. The flags of
 * openat2() are in memory, which no filter reads: that it writes nothing is Landlock's to see to. */
static const permit WALKER[] = {
    ANY(openat2), ANY(statx), ANY(newfstatat), ANY(getdents64), ANY(readlink), ANY(readlinkat), ANY(statfs),
    ANY(fstatfs), ANY(getcwd), ANY(fchdir), ANY(preadv2), ANY(name_to_handle_at),
    {SCMP_SYS(ioctl), 1, INT, GET_UUID},
    {CACHESTAT, 0, 0, 0}, {STATMOUNT, 0, 0, 0}, {LISTMOUNT, 0, 0, 0},
    {SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
    {SCMP_SYS(fcntl), 1, INT, F_SETLEASE}, {SCMP_SYS(fcntl), 1, INT, F_GETLEASE}, {SCMP_SYS(fcntl), 1, INT, F_SETFL},
};

/* A library that insists on temporary files. Where it makes them is Landlock's to see to. */
static const permit FILES[] = {
    ANY(openat), ANY(open), ANY(stat), ANY(lstat), ANY(newfstatat), ANY(statx), ANY(access), ANY(faccessat),
    ANY(faccessat2), ANY(mkdir), ANY(mkdirat), ANY(rmdir), ANY(unlink), ANY(unlinkat), ANY(rename), ANY(renameat),
    ANY(renameat2), ANY(readlink), ANY(readlinkat), ANY(getdents64), ANY(getcwd), ANY(fsync), ANY(fdatasync),
    ANY(umask), ANY(statfs), ANY(fstatfs),
    {SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
    {SCMP_SYS(fcntl), 1, INT, F_SETFL}, {SCMP_SYS(fcntl), 1, INT, F_SETLK},
};

/* A client of one server. */
#define CLIENT \
    ANY(connect), ANY(setsockopt), ANY(getpeername), ANY(shutdown), \
    {SCMP_SYS(fcntl), 1, INT, F_SETFL}, {SCMP_SYS(ioctl), 1, INT, NO_WAIT}
static const permit UNIX[] = {CLIENT, {SCMP_SYS(socket), 0, INT, AF_UNIX}};
static const permit TCP[] = {CLIENT, {SCMP_SYS(socket), 0, INT, AF_INET}, {SCMP_SYS(socket), 0, INT, AF_INET6}};

/* Who opens in another's name. openat2() as with walkers. */
static const permit OPENER[] = {
    ANY(openat2), ANY(newfstatat), ANY(fstatfs),
    {SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
};

/* What libraries try on their way; refused, they go on without. Whatever is in no list fails as on a kernel that is too
 * old for it, and so does what is allowed under a condition that does not hold. */
static const int REFUSED[] = {
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(creat), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(socket),
    SCMP_SYS(connect), SCMP_SYS(clone), SCMP_SYS(fork), SCMP_SYS(vfork),
};

/* What none of our libraries ever does: whoever asks for it has taken the process over, and it ends. */
static const int FATAL[] = {
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(open_tree),
    SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pkey_mprotect), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(setuid), SCMP_SYS(setresuid),
    SCMP_SYS(capset), SCMP_SYS(modify_ldt), SCMP_SYS(memfd_create),
};

/* clang-format on */

static const permits PROFILES[KAV_CALLS_COUNT] = {
    [KAV_CALLS_NATIVE] = PERMITS(FSTAT), [KAV_CALLS_WALKER] = PERMITS(WALKER), [KAV_CALLS_FILES] = PERMITS(FILES),
    [KAV_CALLS_UNIX] = PERMITS(UNIX),    [KAV_CALLS_TCP] = PERMITS(TCP),       [KAV_CALLS_OPENER] = PERMITS(OPENER),
};

static int allow(scmp_filter_ctx filter, const permit *p)
{
    if (p->mask == 0) return seccomp_rule_add(filter, SCMP_ACT_ALLOW, p->call, 0);
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, p->call, 1,
                            SCMP_CMP64(p->argument, SCMP_CMP_MASKED_EQ, p->mask, p->value));
}

static int allow_all(scmp_filter_ctx filter, permits list)
{
    int error = 0;
    for (size_t i = 0; i < list.count && error == 0; i++) error = allow(filter, &list.permits[i]);
    return error;
}

static bool is_among(permits list, int call)
{
    for (size_t i = 0; i < list.count; i++)
        if (list.permits[i].call == call) return true;
    return false;
}

/* The process may end itself (abort), and nobody else. */
static int allow_own_end(scmp_filter_ctx filter)
{
    const permit ends[] = {{SCMP_SYS(kill), 0, INT, (uint32_t)getpid()},
                           {SCMP_SYS(tgkill), 0, INT, (uint32_t)getpid()}};
    return allow_all(filter, (permits)PERMITS(ends));
}

static int forbid_code(scmp_filter_ctx filter)
{
    const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
    int error = 0;
    for (size_t i = 0; i < LENGTH(calls) && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, calls[i], 1,
                                 SCMP_CMP64(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    return error;
}

static int forbid(scmp_filter_ctx filter, permits allowed)
{
    int error = forbid_code(filter);
    for (size_t i = 0; i < LENGTH(FATAL) && error == 0; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, FATAL[i], 0);
    for (size_t i = 0; i < LENGTH(REFUSED) && error == 0; i++)
        if (!is_among(allowed, REFUSED[i])) error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), REFUSED[i], 0);
    return error;
}

int kav_calls_filter(kav_calls calls)
{
    if ((unsigned)calls >= KAV_CALLS_COUNT) return -EINVAL;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (filter == NULL) return -ENOMEM;
    permits own = PROFILES[calls];
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0); /* it is set already */
    if (error == 0) error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (error == 0) error = allow_all(filter, (permits)PERMITS(BASE));
    if (error == 0 && !is_among(own, SCMP_SYS(newfstatat))) error = allow_all(filter, (permits)PERMITS(FSTAT));
    if (error == 0) error = allow_all(filter, own);
    if (error == 0) error = allow_own_end(filter);
    if (error == 0) error = forbid(filter, own);
    if (error == 0) error = seccomp_load(filter);
    seccomp_release(filter);
    return error;
}

bool kav_calls_supported(void)
{
    /* Without an address the kernel says EFAULT where it knows filters, EINVAL where it does not. */
    return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, NULL, 0, 0) < 0 && errno != EINVAL && errno != ENOSYS;
}
