"""Worker: scanning objects in C, for Python (contracts: object.h, loop.h)."""

from collections import namedtuple

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset, strerror


cdef extern from "kav.h":
    ctypedef struct kav_limits:
        uint64_t max_file_size, max_member_size, max_unpacked, time_base_ms, time_rate
        uint32_t max_depth, max_members, switches, reserved

    ctypedef struct kav_result:
        uint8_t status, target
        uint16_t format
        uint32_t reasons, flags, members
        uint64_t size, scanned, dev, ino
        uint8_t sha256[32]
        int64_t mtime_ns, ctime_ns

    ctypedef struct kav_note:
        uint32_t name_len, member_len, reasons
        uint64_t offset, size
        uint8_t status, engine, is_container

    ctypedef struct kav_slot:
        pass

    enum:
        KAV_F_SHA256


cdef extern from "type.h":
    const char *kav_format_name(uint16_t format) nogil


cdef extern from "layer.h" nogil:
    ctypedef struct kav_image:
        pass

    ctypedef struct kav_session:
        pass

    ctypedef struct kav_part:
        int fd
        uint64_t offset, length

    enum:
        KAV_IMAGE_SYSTEM

    int kav_image_open(const kav_part *parts, size_t count, kav_image **out, char *why, size_t why_len)
    void kav_image_close(kav_image *image)
    kav_session *kav_session_new(const kav_image *image)
    void kav_session_free(kav_session *session)


cdef extern from "object.h" nogil:
    ctypedef struct kav_object_scanner:
        pass

    ctypedef int (*kav_note_sink)(void *context, const kav_note *note, const char *name, const char *member) noexcept
    ctypedef void (*kav_progress)(void *context, uint64_t bytes) noexcept

    ctypedef struct kav_object_sinks:
        kav_note_sink note
        kav_progress progress
        void *context

    kav_object_scanner *kav_object_scanner_new(kav_session *session, const kav_image *image, const kav_limits *limits,
                                               int spill_fd, uint64_t spill_max)
    void kav_object_scanner_free(kav_object_scanner *scanner)
    void kav_object_scan(kav_object_scanner *scanner, int fd, const kav_object_sinks *sinks, kav_result *result)


cdef extern from "opener.h" nogil:
    void kav_mail_init()


cdef extern from "loop.h" nogil:
    int kav_worker_run(int socket, kav_slot *slot, kav_object_scanner *scanner)


Found = namedtuple(
    "Found",
    "status target format reasons flags size scanned members sha256 mtime_ns ctime_ns dev ino",
)
Note = namedtuple("Note", "name member offset size reasons status engine is_container")

cdef uint64_t NO_OFFSET = <uint64_t>-1
cdef bint mail_ready = False


cdef int take_note(void *context, const kav_note *note, const char *name, const char *member) noexcept with gil:
    """Keep one note; anything but 0 stops the object."""
    try:
        (<list>context).append(Note(
            name[:note.name_len] if note.name_len else b"",
            member[:note.member_len] if note.member_len else b"",
            None if note.offset == NO_OFFSET else note.offset,
            note.size, note.reasons, note.status, note.engine, bool(note.is_container),
        ))
    except MemoryError:
        return -1
    return 0


cdef void ignore_progress(void *context, uint64_t bytes) noexcept nogil:
    pass


cdef kav_limits limits_of(limits, uint32_t switches) except *:
    return kav_limits(
        max_file_size=limits.max_file_size, max_member_size=limits.max_member_size,
        max_unpacked=limits.max_unpacked, time_base_ms=<uint64_t>(limits.time_base * 1000),
        time_rate=limits.time_rate, max_depth=limits.max_depth, max_members=limits.max_members,
        switches=switches, reserved=0,
    )


cdef class ObjectScanner:
    """Scans whole objects with one image. Belongs to one thread; the image parts' descriptors may be closed afterwards.

    ValueError: the image is damaged or made for another machine. OSError: the system refused to map it.
    """

    cdef kav_image *image
    cdef kav_session *session
    cdef kav_object_scanner *scanner

    def __cinit__(self, parts, limits, switches, int spill_fd=-1):
        global mail_ready
        cdef kav_limits bounds = limits_of(limits, switches)
        cdef uint64_t spill_max = limits.spill
        if not mail_ready:
            kav_mail_init()
            mail_ready = True
        self.open_image(list(parts))
        self.session = kav_session_new(self.image)
        if self.session is NULL:
            raise MemoryError
        self.scanner = kav_object_scanner_new(self.session, self.image, &bounds, spill_fd, spill_max)
        if self.scanner is NULL:
            raise MemoryError

    cdef int open_image(self, list parts) except -1:
        cdef char why[256]
        cdef size_t i, count = len(parts)
        cdef int error
        cdef kav_part *list_of_parts = <kav_part *>calloc(count or 1, sizeof(kav_part))
        if list_of_parts is NULL:
            raise MemoryError
        memset(why, 0, sizeof(why))
        try:
            for i in range(count):
                fd, offset, length = parts[i]
                list_of_parts[i].fd = fd
                list_of_parts[i].offset = offset
                list_of_parts[i].length = length
            with nogil:
                error = kav_image_open(list_of_parts, count, &self.image, why, sizeof(why))
        finally:
            free(list_of_parts)
        if error == KAV_IMAGE_SYSTEM:
            raise OSError(why.decode("utf-8", "replace"))
        if error:
            raise ValueError(why.decode("utf-8", "replace"))
        return 0

    def __dealloc__(self):
        kav_object_scanner_free(self.scanner)
        if self.session is not NULL:
            kav_session_free(self.session)
        if self.image is not NULL:
            kav_image_close(self.image)

    def scan(self, int fd):
        """Scan the regular file behind fd. What goes wrong with it is in the answer, never an exception."""
        cdef kav_result result
        cdef list notes = []
        cdef kav_object_sinks sinks = kav_object_sinks(
            note=take_note, progress=ignore_progress, context=<void *>notes
        )
        with nogil:
            kav_object_scan(self.scanner, fd, &sinks, &result)
        found = Found(
            result.status, result.target, kav_format_name(result.format).decode(), result.reasons, result.flags,
            result.size, result.scanned, result.members,
            (<const char *>result.sha256)[:32] if result.flags & KAV_F_SHA256 else None,
            result.mtime_ns, result.ctime_ns, result.dev, result.ino,
        )
        return found, notes

    def serve(self, int socket_fd, slot=None):
        """Answer batches from a SOCK_SEQPACKET socket until its other end closes; see run()."""
        cdef Py_buffer view
        cdef int error
        if slot is None:
            with nogil:
                error = kav_worker_run(socket_fd, NULL, self.scanner)
        else:
            PyObject_GetBuffer(slot, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
            try:
                if view.len < <Py_ssize_t>sizeof(kav_slot) or <uintptr_t>view.buf % 8 != 0:
                    raise ValueError(f"a slot has {sizeof(kav_slot)} bytes and begins at a multiple of 8")
                with nogil:
                    error = kav_worker_run(socket_fd, <kav_slot *>view.buf, self.scanner)
            finally:
                PyBuffer_Release(&view)
        if error:
            raise OSError(-error, strerror(-error).decode())


def run(socket_fd, slot, parts, limits, switches, spill_fd=-1):
    """Be a worker: map the image, then scan what comes over the socket until it closes.

    slot: a writable buffer of 64 bytes shared with the coordinator, or None. OSError with EPROTO: the other end does not
    speak our protocol.
    """
    ObjectScanner(parts, limits, switches, spill_fd).serve(socket_fd, slot)
