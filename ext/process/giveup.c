#define _GNU_SOURCE /* setresuid */

#include "process.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAST_CAPABILITY 63

static int done(int code)
{
    return code < 0 ? -errno : 0;
}

int kav_process_name(const char *name)
{
    return done(prctl(PR_SET_NAME, name, 0, 0, 0));
}

int kav_process_follow(int signal, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) < 0) return -errno;
    return getppid() == parent ? 0 : -ESRCH; /* it may have died before we asked */
}

int kav_process_stand_in(uid_t uid, gid_t gid, const gid_t *groups, size_t count)
{
    if (setgroups(count, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) return -errno;
    return 0;
}

int kav_process_become(uid_t uid, gid_t gid)
{
    return kav_process_stand_in(uid, gid, NULL, 0);
}

int kav_process_bound(uint64_t mask)
{
    for (int capability = 0; capability <= LAST_CAPABILITY; capability++) {
        if (mask & (1ull << capability)) continue;
        int there = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (there < 0) return 0; /* the kernel knows no more of them */
        if (there && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return errno == EPERM ? 0 : -errno;
    }
    return 0;
}

int kav_process_keep(uint64_t mask)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;

    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct sets[2];
    memset(sets, 0, sizeof sets);
    if (syscall(SYS_capget, &header, sets) < 0) return -errno;
    for (int half = 0; half < 2; half++) {
        uint32_t keep = (uint32_t)(mask >> (32 * half));
        sets[half].permitted &= keep;
        sets[half].effective = sets[half].permitted;
        sets[half].inheritable = 0;
    }
    return done((int)syscall(SYS_capset, &header, sets));
}

int kav_process_no_new_privs(void)
{
    return done(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int kav_process_idle_io(void)
{
    return done((int)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)));
}

int kav_process_hide(void)
{
    return done(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}
