"""Process: what a child gives up, for Python (contract: process.h). Failures are OSError."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport strerror
from posix.types cimport gid_t, pid_t, uid_t


cdef extern from "process.h" nogil:
    int kav_process_name(const char *name)
    int kav_process_follow(int signal, pid_t parent)
    int kav_process_become(uid_t uid, gid_t gid)
    int kav_process_stand_in(uid_t uid, gid_t gid, const gid_t *groups, size_t count)
    int kav_process_open_for(int socket)
    int kav_process_bound(uint64_t mask)
    int kav_process_keep(uint64_t mask)
    int kav_process_no_new_privs()
    int kav_process_idle_io()
    int kav_process_hide()

    ctypedef bint cbool "bool"

    ctypedef struct kav_landlock:
        cbool reads
        const char *folder
        uint16_t port

    int kav_landlock_version()
    int kav_landlock_close(const kav_landlock *allowed)

    ctypedef enum kav_calls:
        KAV_CALLS_NATIVE
        KAV_CALLS_WALKER
        KAV_CALLS_FILES
        KAV_CALLS_UNIX
        KAV_CALLS_TCP
        KAV_CALLS_OPENER

    int kav_calls_filter(kav_calls calls)
    cbool kav_calls_supported()


cdef extern from "rest.h" nogil:
    void kav_rest()


CALLS = {
    "native": KAV_CALLS_NATIVE, "walker": KAV_CALLS_WALKER, "files": KAV_CALLS_FILES, "unix": KAV_CALLS_UNIX,
    "tcp": KAV_CALLS_TCP, "opener": KAV_CALLS_OPENER,
}


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


def stand_in(uid_t uid, gid_t gid, groups):
    """Change user, group and other groups for good."""
    cdef size_t count = <size_t>len(groups)
    cdef gid_t *list_of = <gid_t *>PyMem_Malloc((count + 1) * sizeof(gid_t))
    if list_of is NULL:
        raise MemoryError
    try:
        for i in range(count):
            list_of[i] = groups[i]
        check(kav_process_stand_in(uid, gid, list_of, count))
    finally:
        PyMem_Free(list_of)


def open_for(int socket):
    """Open files for who asks at the other end, until that is closed."""
    cdef int code
    with nogil:
        code = kav_process_open_for(socket)
    check(code)


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


def rest():
    """Give back free memory, and pages of libraries that the start alone has looked at."""
    kav_rest()


def landlock_version():
    """The version of Landlock that the kernel has; 0 = none that can be used."""
    return max(0, kav_landlock_version())


def landlock(*, bint reads=False, bytes folder=None, uint16_t port=0):
    """Forbid access by path, TCP, abstract sockets and signals to others, but for what is named."""
    cdef kav_landlock allowed
    allowed.reads, allowed.port = reads, port
    allowed.folder = NULL if folder is None else <const char *>folder
    check(kav_landlock_close(&allowed))


def filter_calls(str calls not None):
    """Allow the system calls of a list of filter.c and no others."""
    check(kav_calls_filter(CALLS[calls]))


def can_filter_calls():
    """Whether the kernel can filter system calls."""
    return bool(kav_calls_supported())
