"""Serve: the front of the service, for Python (contract: serve.h)."""

from collections import namedtuple

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EINVAL, ENOENT, ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport strerror


cdef extern from "serve.h" nogil:
    ctypedef struct kav_front:
        pass

    ctypedef struct kav_front_options:
        uint32_t connections, per_client, line_max, idle_ms, stall_ms, send_ms
        uint64_t stream_max, memory_max, memory_total, spill_total
        const char *spill_dir

    ctypedef struct kav_request:
        uint64_t connection, number
        uint32_t verb
        int fd
        const uint8_t *option
        const uint8_t *argument
        size_t option_len, argument_len

    ctypedef struct kav_unwanted:
        int64_t uid
        int fd

    ctypedef struct kav_peer:
        int64_t pid, uid, gid
        uint32_t *groups
        size_t group_count
        char address[128]

    ctypedef struct kav_front_counts:
        uint64_t connections, clamd, accepted, busy, requests, stalled, slow, stream_bytes, spilled
        uint64_t memory_used, spill_used

    int kav_front_new(const kav_front_options *options, kav_front **front)
    void kav_front_free(kav_front *f)
    void kav_front_drop(kav_front *f)
    int kav_front_fileno(const kav_front *f)
    int kav_front_say(kav_front *f, int protocol, int which, const void *text, size_t length)
    int kav_front_listen(kav_front *f, int fd, int protocol)
    int kav_front_adopt(kav_front *f, int fd, int protocol, const char *address, uint64_t *id)
    int kav_front_accepting(kav_front *f, bint on)
    int kav_front_step(kav_front *f)
    size_t kav_front_request_count(const kav_front *f)
    kav_request kav_front_request(const kav_front *f, size_t index)
    void kav_front_clear_requests(kav_front *f, size_t taken)
    size_t kav_front_unwanted_count(const kav_front *f)
    kav_unwanted kav_front_unwanted(const kav_front *f, size_t index)
    void kav_front_clear_unwanted(kav_front *f)
    bint kav_front_mute(kav_front *f, int64_t uid, bint on)
    size_t kav_front_gone_count(const kav_front *f)
    uint64_t kav_front_gone(const kav_front *f, size_t index)
    void kav_front_clear_gone(kav_front *f)
    int kav_front_peer(const kav_front *f, uint64_t connection, kav_peer *peer)
    Py_ssize_t kav_front_reply(kav_front *f, uint64_t connection, uint64_t number, const void *text, size_t length,
                               unsigned int how)
    size_t kav_front_waits(const kav_front *f, uint64_t connection)
    void kav_front_end(kav_front *f, uint64_t connection)
    kav_front_counts kav_front_get_counts(const kav_front *f)
    enum:
        KAV_SERVE_FLIGHTS
        KAV_SERVE_OUT_HIGH
        KAV_REPLY_LAST
        KAV_REPLY_APART
        KAV_TEXT_GREETING
        KAV_TEXT_BUSY
        KAV_TEXT_LATE
        KAV_AVE
        KAV_CLAMD
        KAV_VERB_SCAN
        KAV_VERB_CONTSCAN
        KAV_VERB_MULTISCAN
        KAV_VERB_ALLMATCHSCAN
        KAV_VERB_INSTREAM
        KAV_VERB_FILDES
        KAV_VERB_PING
        KAV_VERB_VERSION
        KAV_VERB_VERSIONCOMMANDS
        KAV_VERB_RELOAD
        KAV_VERB_SHUTDOWN
        KAV_VERB_STATS
        KAV_VERB_QUIT
        KAV_VERB_UNKNOWN
        KAV_VERB_TOO_LONG
        KAV_VERB_TOO_LARGE
        KAV_VERB_BROKEN


AVE = KAV_AVE
CLAMD = KAV_CLAMD

SCAN = KAV_VERB_SCAN
CONTSCAN = KAV_VERB_CONTSCAN
MULTISCAN = KAV_VERB_MULTISCAN
ALLMATCHSCAN = KAV_VERB_ALLMATCHSCAN
INSTREAM = KAV_VERB_INSTREAM
FILDES = KAV_VERB_FILDES
PING = KAV_VERB_PING
VERSION = KAV_VERB_VERSION
VERSIONCOMMANDS = KAV_VERB_VERSIONCOMMANDS
RELOAD = KAV_VERB_RELOAD
SHUTDOWN = KAV_VERB_SHUTDOWN
STATS = KAV_VERB_STATS
QUIT = KAV_VERB_QUIT
UNKNOWN = KAV_VERB_UNKNOWN
TOO_LONG = KAV_VERB_TOO_LONG
TOO_LARGE = KAV_VERB_TOO_LARGE
BROKEN = KAV_VERB_BROKEN

FLIGHTS = KAV_SERVE_FLIGHTS
HIGH = KAV_SERVE_OUT_HIGH

Request = tuple[int, int, int, bytes, bytes, int]  # connection, number, verb, option, argument, descriptor
Peer = namedtuple("Peer", ("pid", "uid", "gid", "groups", "address"))


cdef int check(int code) except -1:
    """Turn -errno into an exception."""
    if code == -ENOMEM:
        raise MemoryError
    if code < 0:
        raise OSError(-code, strerror(-code).decode())
    return code


cdef bytes copy(const uint8_t *at, size_t length):
    return PyBytes_FromStringAndSize(<const char *>at, <Py_ssize_t>length) if length else b""


cdef int protocol_of(int number) except -1:
    if number not in (KAV_AVE, KAV_CLAMD):
        raise ValueError("no such protocol")
    return number


cdef class Front:
    """All sockets of the service. Belongs to one thread; close() is idempotent and closes every descriptor it holds."""

    cdef kav_front *f

    def __cinit__(self, *, uint32_t connections, uint32_t per_client, uint32_t line_max, uint64_t stream_max,
                  uint64_t memory_max, bytes spill_dir, uint32_t idle_ms, uint32_t stall_ms, uint32_t send_ms,
                  uint64_t memory_total=256 << 20, uint64_t spill_total=16 << 30):
        cdef kav_front_options options = kav_front_options(
            connections=connections, per_client=per_client, line_max=line_max, stream_max=stream_max,
            memory_max=memory_max, memory_total=memory_total, spill_total=spill_total,
            spill_dir=<const char *>spill_dir, idle_ms=idle_ms, stall_ms=stall_ms, send_ms=send_ms,
        )
        cdef int code = kav_front_new(&options, &self.f)
        if code == -EINVAL:
            raise ValueError("connections: 1 to 1048575; line_max: 1 to 1048576")
        check(code)

    def __dealloc__(self):
        kav_front_free(self.f)

    cdef kav_front *alive(self) except NULL:
        if self.f is NULL:
            raise ValueError("the front is closed")
        return self.f

    def close(self):
        """What is unwanted."""
        cdef list left = []
        if self.f is not NULL:
            kav_front_drop(self.f)
            left = self.unwanted()
            kav_front_free(self.f)
            self.f = NULL
        return left

    def fileno(self):
        return kav_front_fileno(self.alive())

    def listen(self, int fd, int protocol):
        check(kav_front_listen(self.alive(), fd, protocol_of(protocol)))

    def adopt(self, int fd, int protocol, bytes address=None):
        """The connection's number, 0 when there was no room for it. With an address it stands for a peer elsewhere."""
        cdef uint64_t id = 0
        cdef const char *text = NULL
        if address is not None:
            text = <const char *>address
        check(kav_front_adopt(self.alive(), fd, protocol_of(protocol), text, &id))
        return id

    def accepting(self, bint on):
        check(kav_front_accepting(self.alive(), on))

    def greet(self, int protocol, bytes text):
        self.say(protocol, KAV_TEXT_GREETING, text)

    def set_busy(self, int protocol, bytes text):
        self.say(protocol, KAV_TEXT_BUSY, text)

    def set_late(self, int protocol, bytes text):
        self.say(protocol, KAV_TEXT_LATE, text)

    cdef say(self, int protocol, int which, bytes text):
        check(kav_front_say(self.alive(), protocol_of(protocol), which, <const char *>text, <size_t>len(text)))

    def step(self):
        check(kav_front_step(self.alive()))

    def requests(self):
        """(connection, number, verb, option, argument, descriptor) of each; the descriptors are the caller's."""
        cdef kav_front *f = self.alive()
        cdef size_t i, count = kav_front_request_count(f), taken = 0
        cdef kav_request r
        cdef list rows = []
        try:
            for i in range(count):
                r = kav_front_request(f, i)
                rows.append((r.connection, r.number, r.verb, copy(r.option, r.option_len),
                             copy(r.argument, r.argument_len), r.fd))
            taken = count
        finally:
            if count:
                kav_front_clear_requests(f, taken)
        return rows

    def unwanted(self):
        """(uid, descriptor) of those that came and are of no use; the caller closes them. -1: nobody knows whose."""
        cdef kav_front *f = self.alive()
        cdef size_t count = kav_front_unwanted_count(f)
        if not count:
            return []
        cdef list rows = [(kav_front_unwanted(f, i).uid, kav_front_unwanted(f, i).fd) for i in range(count)]
        kav_front_clear_unwanted(f)
        return rows

    def mute(self, int64_t uid, bint on):
        """Take no descriptors from this user, or take them again; whether none are taken now."""
        return bool(kav_front_mute(self.alive(), uid, on))

    def gone(self):
        """Connections that ended with requests unanswered."""
        cdef kav_front *f = self.alive()
        cdef list ids = [kav_front_gone(f, i) for i in range(kav_front_gone_count(f))]
        kav_front_clear_gone(f)
        return ids

    def peer(self, uint64_t connection):
        """Who is at the other end; LookupError: the connection has ended."""
        cdef kav_peer peer
        cdef int code = kav_front_peer(self.alive(), connection, &peer)
        if code == -ENOENT:
            raise LookupError("the connection has ended")
        check(code)
        try:
            groups = tuple([peer.groups[i] for i in range(peer.group_count)])
        finally:
            free(peer.groups)
        return Peer(peer.pid, peer.uid, peer.gid, groups, <bytes>peer.address)

    def reply(self, uint64_t connection, uint64_t number, bytes text, bint last, bint apart=False):
        """One line of an answer; bytes that wait to be sent (above HIGH: better hold back). *apart*: no recv of an AVE
        client on a UNIX socket goes on behind it; once in an answer."""
        cdef unsigned int how = (KAV_REPLY_LAST if last else 0) | (KAV_REPLY_APART if apart else 0)
        cdef Py_ssize_t waits = kav_front_reply(self.alive(), connection, number, <const char *>text,
                                                <size_t>len(text), how)
        if waits == -EINVAL:
            raise ValueError("no such request is open")
        if waits < 0:
            raise MemoryError
        return waits

    def waits(self, uint64_t connection):
        return kav_front_waits(self.alive(), connection)

    def end(self, uint64_t connection):
        kav_front_end(self.alive(), connection)

    def counts(self):
        return kav_front_get_counts(self.alive())
