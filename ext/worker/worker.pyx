"""Worker: scanning objects in C, for Python (contracts: object.h, loop.h)."""

from collections import namedtuple

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strerror

from core_c cimport (
    KAV_D_MD5, KAV_D_SHA1, KAV_D_SHA256, KAV_IMAGE_SYSTEM, cbool, kav_format_name, kav_image, kav_image_close,
    kav_image_open, kav_part, kav_session, kav_session_free,
)


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
        uint16_t views, depth
        uint32_t layers, layers_len, learned

    ctypedef struct kav_layer:
        uint64_t size
        uint8_t have, target

    ctypedef struct kav_learned:
        pass

    ctypedef struct kav_note:
        uint32_t name_len, member_len, reasons
        uint64_t offset, size
        uint8_t status, engine, is_container

    ctypedef struct kav_slot:
        pass

    enum:
        KAV_F_SHA256


cdef extern from "fingerprint.h" nogil:
    ctypedef struct kav_fingerprint:
        pass

    kav_fingerprint *kav_fingerprint_new(const uint8_t *secret)
    void kav_fingerprint_free(kav_fingerprint *f)
    int kav_fingerprint_start(kav_fingerprint *f)
    int kav_fingerprint_feed(kav_fingerprint *f, const void *data, size_t len)
    int kav_fingerprint_finish(kav_fingerprint *f, uint8_t *out)


cdef extern from "objects.h" nogil:
    ctypedef struct kav_objects:
        pass

    ctypedef struct kav_objects_options:
        int memory, file
        uint64_t memory_len, file_len
        uint8_t secret[32]
        cbool writable

    kav_objects *kav_objects_new(const kav_objects_options *options)
    void kav_objects_free(kav_objects *o)
    void kav_objects_key(const kav_objects *o, const uint8_t *context, const uint8_t *fingerprint, uint64_t size,
                         uint16_t format, uint8_t target, uint8_t *out)
    cbool kav_objects_find(const kav_objects *o, const uint8_t *key, cbool costly, kav_learned *out)
    void kav_objects_put(kav_objects *o, const kav_learned *learned)
    int kav_objects_flush(kav_objects *o)


cdef extern from "object.h" nogil:
    ctypedef struct kav_object_scanner:
        pass

    ctypedef struct kav_object_delta:
        const kav_part *parts
        size_t count

    ctypedef struct kav_object_options:
        kav_session *session
        const kav_image *image
        kav_limits limits
        int spill_fd
        uint64_t spill_max
        const kav_object_delta *deltas
        size_t delta_count
        const kav_objects *objects
        const uint8_t *secret
        uint8_t objects_context[16]

    ctypedef int (*kav_note_sink)(void *context, const kav_note *note, const char *name, const char *member) noexcept
    ctypedef void (*kav_progress)(void *context, uint64_t bytes) noexcept

    ctypedef struct kav_object_sinks:
        kav_note_sink note
        kav_progress progress
        void *context

    kav_object_scanner *kav_object_scanner_new(const kav_object_options *options)
    void kav_object_scanner_free(kav_object_scanner *scanner)
    void kav_object_scan(kav_object_scanner *scanner, int fd, uint32_t delta, const kav_object_sinks *sinks,
                         kav_result *result)
    const uint8_t *kav_object_layers(const kav_object_scanner *scanner)
    const kav_learned *kav_object_learned(const kav_object_scanner *scanner)
    uint32_t kav_object_known(const kav_object_scanner *scanner)


cdef extern from "layer.h" nogil:
    kav_session *kav_session_new(const kav_image *image)


cdef extern from "opener.h" nogil:
    void kav_mail_init()


cdef extern from "openssl/crypto.h" nogil:
    int OPENSSL_init_crypto(uint64_t options, const void *settings)
    uint64_t OPENSSL_INIT_LOAD_CONFIG


cdef extern from "loop.h" nogil:
    int kav_worker_run(int socket, kav_slot *slot, kav_object_scanner *scanner)


Found = namedtuple(
    "Found",
    "status target format reasons flags size scanned members sha256 mtime_ns ctime_ns dev ino"
    " views depth layers learned known",
)
Layer = namedtuple("Layer", "size target md5 sha1 sha256")
Note = namedtuple("Note", "name member offset size reasons status engine is_container")

cdef uint64_t NO_OFFSET = <uint64_t>-1
cdef bint mail_ready = False


def prepare():
    """Let the libraries read what they find by name (tables of characters, OpenSSL's configuration): no worker can any
    more. Once is enough."""
    global mail_ready
    if not mail_ready:
        OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL)
        kav_mail_init()
        mail_ready = True


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


cdef kav_part *parts_of(list parts) except NULL:
    """A list for C, to be freed with free()."""
    cdef size_t i, count = len(parts)
    cdef kav_part *out = <kav_part *>calloc(count + 1, sizeof(kav_part))
    if out is NULL:
        raise MemoryError
    try:
        for i in range(count):
            fd, offset, length = parts[i]
            out[i].fd = fd
            out[i].offset = offset
            out[i].length = length
    except BaseException:
        free(out)
        raise
    return out


cdef bytes digest_at(const uint8_t **at, int wanted, Py_ssize_t length):
    cdef const uint8_t *begin = at[0]
    if not wanted:
        return None
    at[0] += length
    return (<const char *>begin)[:length]


cdef list layers_of(const uint8_t *bytes, uint32_t count):
    """The list of layers as kav.h draws it, out of our own memory."""
    cdef list layers = []
    cdef const uint8_t *at = bytes
    cdef kav_layer layer
    for _ in range(count):
        memcpy(&layer, at, sizeof(layer))
        at += sizeof(layer)
        md5 = digest_at(&at, layer.have & KAV_D_MD5, 16)
        sha1 = digest_at(&at, layer.have & KAV_D_SHA1, 20)
        sha256 = digest_at(&at, layer.have & KAV_D_SHA256, 32)
        layers.append(Layer(layer.size, layer.target, md5, sha1, sha256))
        at += <size_t>(bytes - at) % 8
    return layers


cdef class ObjectScanner:
    """Scans whole objects with one image. Belongs to one thread. The image's descriptors may be closed afterwards; those
    of deltas are mapped when an object first asks for them, and must stay open.

    ValueError: the image is damaged or made for another machine. OSError: the system refused to map it. An object cache
    that cannot be mapped is done without: trouble says why, and is "" otherwise.
    """

    cdef kav_image *image
    cdef kav_session *session
    cdef kav_object_scanner *scanner
    cdef kav_objects *objects
    cdef kav_object_delta *deltas
    cdef size_t delta_count
    cdef uint8_t secret[32]
    cdef readonly str trouble

    def __cinit__(self, parts, limits, switches, int spill_fd=-1, deltas=(), objects=None):
        cdef kav_object_options options
        self.trouble = ""
        memset(&options, 0, sizeof(options))
        options.limits = limits_of(limits, switches)
        options.spill_fd = spill_fd
        options.spill_max = limits.spill
        prepare()
        self.open_image(list(parts))
        self.take_deltas(list(deltas))
        if objects is not None:
            self.open_objects(objects, &options)
        self.session = kav_session_new(self.image)
        if self.session is NULL:
            raise MemoryError
        options.session = self.session
        options.image = self.image
        options.deltas = self.deltas
        options.delta_count = self.delta_count
        self.scanner = kav_object_scanner_new(&options)
        if self.scanner is NULL:
            raise MemoryError

    cdef int open_image(self, list parts) except -1:
        cdef char why[256]
        cdef size_t count = len(parts)
        cdef int error
        cdef kav_part *list_of_parts = parts_of(parts)
        memset(why, 0, sizeof(why))
        with nogil:
            error = kav_image_open(list_of_parts, count, &self.image, why, sizeof(why))
        free(list_of_parts)
        if error == KAV_IMAGE_SYSTEM:
            raise OSError(why.decode("utf-8", "replace"))
        if error:
            raise ValueError(why.decode("utf-8", "replace"))
        return 0

    cdef int take_deltas(self, list deltas) except -1:
        cdef Py_ssize_t i
        self.deltas = <kav_object_delta *>calloc(len(deltas) + 1, sizeof(kav_object_delta))
        if self.deltas is NULL:
            raise MemoryError
        for i in range(len(deltas)):
            parts = list(deltas[i])
            self.deltas[i].parts = parts_of(parts)
            self.deltas[i].count = len(parts)
            self.delta_count = i + 1
        return 0

    cdef int open_objects(self, objects, kav_object_options *options) except -1:
        cdef kav_objects_options given
        cdef bytes secret, context
        given.memory, given.memory_len, given.file, given.file_len, secret, context = objects
        if len(secret) != 32 or len(context) != 16:
            raise ValueError("a secret has 32 bytes and a context 16")
        given.writable = False
        memcpy(given.secret, <const char *>secret, 32)
        memcpy(self.secret, <const char *>secret, 32)
        memcpy(options.objects_context, <const char *>context, 16)
        self.objects = kav_objects_new(&given)
        if self.objects is NULL:
            self.trouble = f"the object cache: {strerror(errno).decode()}"
            return 0
        options.objects = self.objects
        options.secret = self.secret
        return 0

    def __dealloc__(self):
        cdef size_t i
        kav_object_scanner_free(self.scanner)
        kav_objects_free(self.objects)
        for i in range(self.delta_count):
            free(<void *>self.deltas[i].parts)
        free(self.deltas)
        if self.session is not NULL:
            kav_session_free(self.session)
        if self.image is not NULL:
            kav_image_close(self.image)

    def scan(self, int fd, uint32_t delta=0):
        """Scan the regular file behind fd. What goes wrong with it is in the answer, never an exception."""
        cdef kav_result result
        cdef list notes = []
        cdef kav_object_sinks sinks = kav_object_sinks(
            note=take_note, progress=ignore_progress, context=<void *>notes
        )
        with nogil:
            kav_object_scan(self.scanner, fd, delta, &sinks, &result)
        learned = <const char *>kav_object_learned(self.scanner)
        found = Found(
            result.status, result.target, kav_format_name(result.format).decode(), result.reasons, result.flags,
            result.size, result.scanned, result.members,
            (<const char *>result.sha256)[:32] if result.flags & KAV_F_SHA256 else None,
            result.mtime_ns, result.ctime_ns, result.dev, result.ino,
            result.views, result.depth, layers_of(kav_object_layers(self.scanner), result.layers),
            [learned[i * sizeof(kav_learned):(i + 1) * sizeof(kav_learned)] for i in range(result.learned)],
            kav_object_known(self.scanner),
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


def run(socket_fd, slot, parts, limits, switches, spill_fd=-1, deltas=(), objects=None):
    """Be a worker: map the image, then scan what comes over the socket until it closes.

    slot: a writable buffer of 64 bytes shared with the coordinator, or None. OSError with EPROTO: the other end does not
    speak our protocol.
    """
    ObjectScanner(parts, limits, switches, spill_fd, deltas, objects).serve(socket_fd, slot)


cdef class Fingerprint:
    """Fingerprints under one secret, one content after the other."""

    cdef kav_fingerprint *state

    def __cinit__(self, bytes secret not None):
        if len(secret) != 32:
            raise ValueError("a secret has 32 bytes")
        self.state = kav_fingerprint_new(<const uint8_t *><const char *>secret)
        if self.state is NULL:
            raise MemoryError

    def __dealloc__(self):
        kav_fingerprint_free(self.state)

    def of(self, *pieces):
        cdef uint8_t out[16]
        cdef const uint8_t[::1] view
        cdef bint ok = kav_fingerprint_start(self.state) == 0
        for piece in pieces:
            view = piece
            if ok and view.shape[0]:
                ok = kav_fingerprint_feed(self.state, &view[0], view.shape[0]) == 0
        if not ok or kav_fingerprint_finish(self.state, out) != 0:
            raise MemoryError
        return out[:16]


cdef class ObjectCache:
    """The two-level object cache by itself, for tests and tools. Descriptors stay the caller's; -1 = no such level."""

    cdef kav_objects *objects

    def __cinit__(self, bytes secret not None, *, int memory=-1, uint64_t memory_len=0, int file=-1,
                  uint64_t file_len=0, bint writable=False):
        cdef kav_objects_options options
        if len(secret) != 32:
            raise ValueError("a secret has 32 bytes")
        options.memory, options.memory_len, options.file, options.file_len = memory, memory_len, file, file_len
        options.writable = writable
        memcpy(options.secret, <const char *>secret, 32)
        self.objects = kav_objects_new(&options)
        if self.objects is NULL:
            raise OSError(errno, strerror(errno).decode())

    def __dealloc__(self):
        kav_objects_free(self.objects)

    def key(self, bytes context not None, bytes fingerprint not None, uint64_t size, uint16_t format, uint8_t target):
        cdef uint8_t out[16]
        if len(context) != 16 or len(fingerprint) != 16:
            raise ValueError("context and fingerprint have 16 bytes each")
        kav_objects_key(self.objects, <const uint8_t *><const char *>context,
                        <const uint8_t *><const char *>fingerprint, size, format, target, out)
        return out[:16]

    def find(self, bytes key not None):
        cdef kav_learned out
        if len(key) != 16:
            raise ValueError("a key has 16 bytes")
        if not kav_objects_find(self.objects, <const uint8_t *><const char *>key, True, &out):
            return None
        return (<const char *>&out)[:sizeof(kav_learned)]

    def put(self, bytes learned not None):
        if len(learned) != sizeof(kav_learned):
            raise ValueError(f"a record has {sizeof(kav_learned)} bytes")
        kav_objects_put(self.objects, <const kav_learned *><const char *>learned)

    def flush(self):
        cdef int error
        with nogil:
            error = kav_objects_flush(self.objects)
        if error:
            raise OSError(-error, strerror(-error).decode())
