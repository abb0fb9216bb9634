# Walk: the border between Python and ext/walk/walk.h; the contract for Python is kavfs/_native/walk.pyi.

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport calloc, free


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"


cdef extern from "kav.h" nogil:
    enum:
        KAV_PATH_MAX
    ctypedef struct kav_slot:
        pass


cdef extern from "walk.h" nogil:
    enum:
        KAV_WALK_THREADS_MAX
    ctypedef struct kav_walk_options:
        const char **roots
        size_t root_count
        const char **exclude_masks
        size_t exclude_mask_count
        const char **exclude_dirs
        size_t exclude_dir_count
        const char **mount_points
        size_t mount_point_count
        const uint64_t *stores
        size_t store_count
        c_bool recurse
        c_bool follow_symlinks
        c_bool enter_pseudo
        c_bool count_only
        unsigned threads
        unsigned max_fds
    ctypedef struct kav_walk_sink:
        int socket
        kav_slot *slot
    int kav_walk(const kav_walk_options *options, const kav_walk_sink *sink, volatile int *stop)


cdef class Stop:
    cdef volatile int flag

    def set(self):
        self.flag = 1

    @property
    def is_set(self):
        return self.flag != 0


cdef class _Strings:
    """Byte strings as C wants them; keeps the Python objects alive."""

    cdef const char **items
    cdef size_t count
    cdef list kept

    def __cinit__(self, strings):
        cdef size_t i
        self.kept = list(strings)
        self.count = len(self.kept)
        self.items = <const char **>calloc(self.count + 1, sizeof(char *))
        if self.items == NULL:
            raise MemoryError
        for i in range(self.count):
            if not isinstance(self.kept[i], bytes):
                raise TypeError(f"a path or mask must be bytes, not {type(self.kept[i]).__name__}")
            if b"\0" in self.kept[i]:
                raise ValueError(f"NUL in {self.kept[i]!r}")
            self.items[i] = <bytes>self.kept[i]

    def __dealloc__(self):
        free(self.items)


cdef class _Stores:
    """Pairs (st_dev, st_ino) with the device as the wire has it."""

    cdef uint64_t *items
    cdef size_t count

    def __cinit__(self, pairs):
        cdef size_t i
        kept = list(pairs)
        self.count = len(kept)
        self.items = <uint64_t *>calloc(2 * self.count + 1, sizeof(uint64_t))
        if self.items == NULL:
            raise MemoryError
        for i in range(self.count):
            dev, ino = kept[i]
            self.items[2 * i] = os.major(dev) << 32 | os.minor(dev)
            self.items[2 * i + 1] = ino

    def __dealloc__(self):
        free(self.items)


cdef class _Slot:
    """The slot's memory, held for as long as the walk writes to it."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, buffer):
        if buffer is None:
            return
        PyObject_GetBuffer(buffer, &self.view, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.held = True
        if self.view.len < <Py_ssize_t>sizeof(kav_slot) or <uintptr_t>self.view.buf % 8 != 0:
            raise ValueError(f"a slot has {sizeof(kav_slot)} bytes and begins at a multiple of 8")

    cdef kav_slot *pointer(self) noexcept:
        return <kav_slot *>self.view.buf if self.held else NULL

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


def walk(
    int socket_fd,
    roots,
    *,
    slot=None,
    exclude_masks=(),
    exclude_dirs=(),
    mount_points=(),
    stores=(),
    bint recurse=True,
    bint follow_symlinks=False,
    bint enter_pseudo=False,
    bint count_only=False,
    unsigned threads=1,
    unsigned max_fds=1024,
    Stop stop=None,
):
    cdef _Strings root_strings = _Strings(roots)
    cdef _Strings masks = _Strings(exclude_masks)
    cdef _Strings dirs = _Strings(exclude_dirs)
    cdef _Strings mounts = _Strings(mount_points)
    cdef _Stores pairs = _Stores(stores)
    cdef _Slot memory = _Slot(slot)
    cdef Stop flag = stop if stop is not None else Stop()
    cdef kav_walk_options options
    cdef kav_walk_sink sink
    cdef volatile int *flag_pointer = &flag.flag
    cdef int answer
    for root in root_strings.kept:
        if not 0 < len(root) < KAV_PATH_MAX:
            raise ValueError("a root must have 1 to %d bytes" % (KAV_PATH_MAX - 1))
    if not 1 <= threads <= KAV_WALK_THREADS_MAX:
        raise ValueError("threads must be 1 to %d" % KAV_WALK_THREADS_MAX)
    options.roots, options.root_count = root_strings.items, root_strings.count
    options.exclude_masks, options.exclude_mask_count = masks.items, masks.count
    options.exclude_dirs, options.exclude_dir_count = dirs.items, dirs.count
    options.mount_points, options.mount_point_count = mounts.items, mounts.count
    options.stores, options.store_count = pairs.items, pairs.count
    options.recurse, options.follow_symlinks = recurse, follow_symlinks
    options.enter_pseudo, options.count_only = enter_pseudo, count_only
    options.threads, options.max_fds = threads, max_fds
    sink.socket, sink.slot = socket_fd, memory.pointer()
    with nogil:
        answer = kav_walk(&options, &sink, flag_pointer)
    if answer != 0:
        raise OSError(-answer, os.strerror(-answer))
