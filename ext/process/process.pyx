"""Process: what a child gives up, for Python (contract: process.h). Failures are OSError."""

from libc.stdint cimport uint64_t
from libc.string cimport strerror
from posix.types cimport gid_t, pid_t, uid_t


cdef extern from "process.h" nogil:
    int kav_process_name(const char *name)
    int kav_process_follow(int signal, pid_t parent)
    int kav_process_become(uid_t uid, gid_t gid)
    int kav_process_bound(uint64_t mask)
    int kav_process_keep(uint64_t mask)
    int kav_process_no_new_privs()
    int kav_process_idle_io()
    int kav_process_hide()


cdef int check(int code) except -1:
    if code < 0:
        raise OSError(-code, strerror(-code).decode())
    return 0


def name(bytes text):
    """Set the name that ps and top show."""
    check(kav_process_name(text))


def follow(int signal, pid_t parent):
    """Be sent *signal* when *parent* dies; ESRCH when it is dead already."""
    check(kav_process_follow(signal, parent))


def become(uid_t uid, gid_t gid):
    """Change user and group for good and leave all other groups."""
    check(kav_process_become(uid, gid))


def bound_capabilities(uint64_t mask):
    """Let no execve() give capabilities that are not in *mask* (bit n = capability n). Before they are given up."""
    check(kav_process_bound(mask))


def keep_capabilities(uint64_t mask):
    """Give up all capabilities but those in *mask* (bit n = capability n)."""
    check(kav_process_keep(mask))


def no_new_privs():
    """Never gain privileges again."""
    check(kav_process_no_new_privs())


def idle_io():
    """Read and write only when nobody else wants the disk, where its scheduler knows of that."""
    check(kav_process_idle_io())


def hide():
    """No core dump, no ptrace, no /proc/self/mem for others of the same user."""
    check(kav_process_hide())
