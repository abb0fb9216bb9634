#define _GNU_SOURCE
#include "closer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

/* A copy of a process that may have threads: only system calls from here on, and no signal is for us. */
static void serve(int socket, pid_t parent)
{
    int fd;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "kavfs-closer");
    if (getppid() != parent) _exit(0);
    while (recv(socket, &fd, sizeof fd, 0) == sizeof fd && fd >= 0) {
        close(fd);
        send(socket, &fd, sizeof fd, MSG_NOSIGNAL);
    }
    _exit(0);
}

int kav_closer_start(int socket)
{
    sigset_t all, before;
    pid_t parent = getpid();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int pid = (int)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    int failed = pid < 0 ? -errno : 0;
    if (pid == 0) serve(socket, parent);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return failed ? failed : pid;
}

bool kav_closer_in_memory(int fd)
{
    return fcntl(fd, F_GET_SEALS) >= 0;
}

uint64_t kav_closer_mount(int fd)
{
    struct statx st;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &st) != 0) return 0;
    return st.stx_mask & STATX_MNT_ID ? st.stx_mnt_id : 0;
}
