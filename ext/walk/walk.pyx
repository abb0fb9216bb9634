# Walk: the border between Python and ext/walk/walk.h; the contract for Python is kavfs/_native/walk.pyi.

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"


cdef extern from "kav.h" nogil:
    enum:
        KAV_PATH_MAX
    ctypedef struct kav_slot:
        pass


cdef extern from "lookup.h" nogil:
    enum:
        KAV_SECRET
        KAV_SETTINGS_MAX
    ctypedef struct kav_delta:
        pass
    kav_delta *kav_delta_open(const void *bytes, size_t length)
    void kav_delta_close(kav_delta *delta)
    ctypedef struct kav_lookup_options:
        int file
        int journal
        uint8_t secret[32]
        uint8_t generation[16]
        uint8_t settings[4][16]
        uint32_t settings_count
        const kav_delta *delta


cdef extern from "filesystem.h" nogil:
    ctypedef struct kav_file_system:
        uint64_t dev
        uint64_t mount
        uint64_t unique_mount
        uint8_t uuid[16]
        uint8_t uuid_len
    int kav_subvolume(int fd, const uint8_t *fs, uint8_t *out)
    int kav_file_system_ask(int fd, kav_file_system *out)


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
        const kav_lookup_options *lookup
        uint8_t fs[16]
        uint64_t fs_dev
        c_bool subvolumes
        c_bool trusted
        c_bool distrust
        c_bool names
        c_bool cold
        unsigned threads
        unsigned max_fds
    ctypedef struct kav_walk_sink:
        int socket
        kav_slot *slot
        uint64_t patience_ms
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


cdef class Lookup:
    """What walk() asks; keeps the delta table."""

    cdef kav_lookup_options options
    cdef kav_delta *delta
    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, secret, generation, settings, *, int file=-1, int journal=-1, delta=None):
        cdef uint32_t i
        kept = list(settings)
        if len(secret) != KAV_SECRET or len(generation) != 16 or any(len(one) != 16 for one in kept):
            raise ValueError("a secret has 32 bytes, a generation and settings have 16")
        if not 1 <= len(kept) <= KAV_SETTINGS_MAX:
            raise ValueError("settings must be 1 to %d" % KAV_SETTINGS_MAX)
        memcpy(self.options.secret, <const char *>secret, KAV_SECRET)
        memcpy(self.options.generation, <const char *>generation, 16)
        for i in range(len(kept)):
            memcpy(self.options.settings[i], <const char *>kept[i], 16)
        self.options.settings_count = len(kept)
        self.options.file, self.options.journal = file, journal
        if delta is None:
            return
        PyObject_GetBuffer(delta, &self.view, PyBUF_SIMPLE)
        self.held = True
        self.delta = kav_delta_open(self.view.buf, self.view.len)
        if self.delta == NULL:
            raise ValueError("the delta table is malformed")
        self.options.delta = self.delta

    def __dealloc__(self):
        kav_delta_close(self.delta)
        if self.held:
            PyBuffer_Release(&self.view)


def file_system(int fd):
    cdef kav_file_system found
    cdef int answer
    with nogil:
        answer = kav_file_system_ask(fd, &found)
    if answer != 0:
        raise OSError(-answer, os.strerror(-answer))
    return found.dev, found.mount, found.unique_mount, bytes(found.uuid[: found.uuid_len])


def subvolume(int fd, bytes fs not None):
    cdef uint8_t out[16]
    if len(fs) != 16:
        raise ValueError("a file system is named by 16 bytes")
    cdef int answer = kav_subvolume(fd, <const uint8_t *><const char *>fs, out)
    if answer != 0:
        raise OSError(-answer, os.strerror(-answer))
    return out[:16]


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
    Lookup lookup=None,
    bytes fs=bytes(16),
    uint64_t fs_dev=0,
    bint subvolumes=False,
    bint trusted=False,
    bint distrust=False,
    bint names=False,
    bint cold=False,
    unsigned threads=1,
    unsigned max_fds=1024,
    double patience=300.0,
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
    if len(fs) != 16:
        raise ValueError("a file system is named by 16 bytes")
    if not 1 <= threads <= KAV_WALK_THREADS_MAX:
        raise ValueError("threads must be 1 to %d" % KAV_WALK_THREADS_MAX)
    if not 0 <= patience <= 86400:
        raise ValueError("patience is 0 to 86400 seconds")
    options.roots, options.root_count = root_strings.items, root_strings.count
    options.exclude_masks, options.exclude_mask_count = masks.items, masks.count
    options.exclude_dirs, options.exclude_dir_count = dirs.items, dirs.count
    options.mount_points, options.mount_point_count = mounts.items, mounts.count
    options.stores, options.store_count = pairs.items, pairs.count
    options.recurse, options.follow_symlinks = recurse, follow_symlinks
    options.enter_pseudo, options.count_only = enter_pseudo, count_only
    options.lookup = &lookup.options if lookup is not None else NULL
    memcpy(options.fs, <const char *>fs, 16)
    options.fs_dev, options.subvolumes, options.trusted = fs_dev, subvolumes, trusted
    options.distrust, options.names, options.cold = distrust, names, cold
    options.threads, options.max_fds = threads, max_fds
    sink.socket, sink.slot = socket_fd, memory.pointer()
    sink.patience_ms = <uint64_t>(patience * 1000)
    with nogil:
        answer = kav_walk(&options, &sink, flag_pointer)
    if answer != 0:
        raise OSError(-answer, os.strerror(-answer))
