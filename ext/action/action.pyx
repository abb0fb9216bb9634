"""Action: the calls by which files are acted on, for Python (contract: act.h). Failures are OSError."""

import os

from libc.stdint cimport int64_t


cdef extern from "act.h" nogil:
    int kav_act_directory(int dirfd, const char *path)
    int64_t kav_act_born(int fd)
    int kav_act_rename_new(int source, const char *name, int to, const char *new_name)
    int kav_act_exchange(int one, const char *name, int other, const char *other_name)
    int kav_act_link(int fd, int to, const char *name)


cdef int check(int code, bytes name) except -1:
    if code < 0:
        raise OSError(-code, os.strerror(-code), name)
    return code


cdef const char *text(bytes name) except NULL:
    """The bytes for C, in which no NUL may hide what follows it."""
    if b"\0" in name:
        raise ValueError("a name cannot hold a NUL byte")
    return name


def directory(int dirfd, bytes path):
    """A descriptor of a directory on whose way no link stands; *path* is absolute or below *dirfd*."""
    cdef const char *way = text(path)
    cdef int code
    with nogil:
        code = kav_act_directory(dirfd, way)
    return check(code, path)


def born(int fd):
    """When the inode came to be, in ns since 1970; None where the file system does not know."""
    cdef int64_t when = kav_act_born(fd)
    return when if when > 0 else None


def rename_new(int source, bytes name, int to, bytes new_name):
    """Move an entry to a name that is free; FileExistsError when it is not."""
    cdef const char *old = text(name)
    cdef const char *new = text(new_name)
    cdef int code
    with nogil:
        code = kav_act_rename_new(source, old, to, new)
    check(code, name)


def exchange(int one, bytes name, int other, bytes other_name):
    """Let two entries change places."""
    cdef const char *first = text(name)
    cdef const char *second = text(other_name)
    cdef int code
    with nogil:
        code = kav_act_exchange(one, first, other, second)
    check(code, name)


def link(int fd, int to, bytes name):
    """Give the file behind *fd* a name that is free; FileExistsError when it is not."""
    cdef const char *new = text(name)
    cdef int code
    with nogil:
        code = kav_act_link(fd, to, new)
    check(code, name)
