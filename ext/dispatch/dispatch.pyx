"""Dispatch: the coordinator's loop over walkers and workers, for Python (contract: dispatch.h)."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport ENOENT, ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, strerror


cdef extern from "kav.h":
    ctypedef struct kav_limits:
        uint64_t max_file_size, max_member_size, max_unpacked, time_base_ms, time_rate
        uint32_t max_depth, max_members, switches, reserved


cdef extern from "type.h" nogil:
    const char *kav_format_name(uint16_t format)


cdef extern from "dispatch.h" nogil:
    ctypedef struct kav_dispatch:
        pass

    ctypedef struct kav_dispatch_class:
        uint32_t when, workers_max, start_ms

    ctypedef struct kav_dispatch_options:
        kav_limits limits
        uint32_t grace_ms, stall_ms, fd_budget
        bint want_clean, all_match, one_by_one, hand_back
        kav_dispatch_class classes[4]

    ctypedef struct kav_dispatch_stores:
        int folder, objects_memory, objects_file
        const char *journal
        bint files
        uint8_t secret[32]
        uint8_t objects_secret[32]
        uint8_t generation[16]
        const void *delta
        size_t delta_len
        uint64_t size_limit
        int64_t start_ns

    ctypedef struct kav_dispatch_totals:
        uint64_t files, bytes, scanned, members, unopened, suppressed, known, known_bytes, delta
        uint64_t statuses[10]
        uint64_t reasons[14]
        uint64_t entries[10]

    ctypedef struct kav_event:
        uint32_t kind
        uint64_t number
        const uint8_t *path
        const uint8_t *data
        const uint8_t *text
        size_t path_len, data_len, text_len

    kav_dispatch *kav_dispatch_new(const kav_dispatch_options *options)
    void kav_dispatch_free(kav_dispatch *d)
    void kav_dispatch_drop(kav_dispatch *d)
    size_t kav_dispatch_take_spent(kav_dispatch *d, int *fds, size_t most)
    int kav_dispatch_set_stores(kav_dispatch *d, const kav_dispatch_stores *stores)
    int kav_dispatch_finish(kav_dispatch *d)
    int kav_dispatch_add_walker(kav_dispatch *d, uint32_t id, int socket, int slot_fd)
    int kav_dispatch_add_worker(kav_dispatch *d, uint32_t id, uint32_t engine, int socket, int slot_fd)
    int kav_dispatch_submit(kav_dispatch *d, int fd, const void *path, size_t path_len, uint32_t delta, uint64_t tag)
    int kav_dispatch_abort(kav_dispatch *d, uint64_t tag, const void *text, size_t text_len)
    int64_t kav_dispatch_held(kav_dispatch *d, uint64_t tag)
    int kav_dispatch_retire(kav_dispatch *d, uint32_t id, const void *text, size_t text_len, bint outside)
    int kav_dispatch_give_up(kav_dispatch *d, uint32_t engine, const void *text, size_t text_len)
    int kav_dispatch_forget(kav_dispatch *d)
    void kav_dispatch_set_workers(kav_dispatch *d, uint32_t engine, uint32_t workers_max)
    void kav_dispatch_set_want_clean(kav_dispatch *d, bint want_clean)
    void kav_dispatch_set_held(kav_dispatch *d, bint held)
    int kav_dispatch_step(kav_dispatch *d, int wake_fd, uint32_t timeout_ms)
    int kav_dispatch_turn(kav_dispatch *d)
    int kav_dispatch_fileno(kav_dispatch *d)
    size_t kav_dispatch_event_count(const kav_dispatch *d)
    kav_event kav_dispatch_event(const kav_dispatch *d, size_t index)
    void kav_dispatch_clear(kav_dispatch *d)
    const kav_dispatch_totals *kav_dispatch_get_totals(const kav_dispatch *d)
    uint64_t kav_dispatch_outstanding(const kav_dispatch *d)
    uint64_t kav_dispatch_in_hand(const kav_dispatch *d)
    uint32_t kav_dispatch_workers(const kav_dispatch *d, uint32_t engine)
    uint32_t kav_dispatch_ready(const kav_dispatch *d, uint32_t engine)
    uint32_t kav_dispatch_wanted(const kav_dispatch *d)
    void kav_dispatch_walked(const kav_dispatch *d, uint64_t *entries, uint64_t *directories)
    enum:
        KAV_STEP_DONE
        KAV_STEP_WANT
        KAV_STEP_WAKE
        KAV_STEP_EVENT
        KAV_STEP_SIGNAL
        KAV_EV_RESULT
        KAV_EV_ENTRY
        KAV_EV_LOST
        KAV_EV_WALKED
        KAV_EV_STALLED
        KAV_EV_KNOWN
        KAV_EV_LISTED


cdef extern from "closer.h" nogil:
    int kav_closer_start(int socket)
    bint kav_closer_in_memory(int fd)
    uint64_t kav_closer_mount(int fd)


DONE = KAV_STEP_DONE
WANT = KAV_STEP_WANT
WAKE = KAV_STEP_WAKE
EVENT = KAV_STEP_EVENT
SIGNAL = KAV_STEP_SIGNAL

EV_RESULT = KAV_EV_RESULT
EV_ENTRY = KAV_EV_ENTRY
EV_LOST = KAV_EV_LOST
EV_WALKED = KAV_EV_WALKED
EV_STALLED = KAV_EV_STALLED
EV_KNOWN = KAV_EV_KNOWN
EV_LISTED = KAV_EV_LISTED


cdef int check(int code) except -1:
    """Turn -errno into an exception; everything else is the answer."""
    if code == -ENOMEM:
        raise MemoryError
    if code < 0:
        raise OSError(-code, strerror(-code).decode())
    return code


cdef bytes copy(const uint8_t *at, size_t length):
    return PyBytes_FromStringAndSize(<const char *>at, <Py_ssize_t>length) if length else b""


def format_name(uint16_t number):
    """The word for a kav_result's format."""
    return kav_format_name(number).decode()


def start_closer(int socket_fd):
    """The number of a process that closes descriptors of this one (closer.h)."""
    return check(kav_closer_start(socket_fd))


def in_memory(int fd):
    """Whether what is open lies in memory and takes no time to close."""
    return kav_closer_in_memory(fd)


def mount_of(int fd):
    """The mount of an open file, by its number in /proc/self/mountinfo; 0: not told."""
    return kav_closer_mount(fd)


cdef class Dispatcher:
    """One loop. Belongs to one thread; close() is idempotent and closes every descriptor it holds."""

    cdef kav_dispatch *d
    cdef bytes delta  # the dispatcher reads it as long as it lives

    def __cinit__(self, *, uint64_t max_unpacked, uint64_t time_base_ms, uint64_t time_rate, uint32_t grace_ms,
                  uint32_t stall_ms, uint32_t fd_budget, classes, bint want_clean, bint all_match=False,
                  bint one_by_one=False, bint hand_back=False):
        cdef kav_dispatch_options options = kav_dispatch_options(
            limits=kav_limits(
                max_file_size=0, max_member_size=0, max_unpacked=max_unpacked, time_base_ms=time_base_ms,
                time_rate=time_rate, max_depth=0, max_members=0, switches=0, reserved=0,
            ),
            grace_ms=grace_ms, stall_ms=stall_ms, fd_budget=fd_budget, want_clean=want_clean, all_match=all_match,
            one_by_one=one_by_one, hand_back=hand_back,
        )
        for number in range(4):
            options.classes[number] = kav_dispatch_class(when=0, workers_max=0, start_ms=0)
        for engine, (when, most, start_ms) in classes.items():
            if not 0 <= engine < 4:
                raise ValueError("no such engine")
            options.classes[<int>engine] = kav_dispatch_class(when=when, workers_max=most, start_ms=start_ms)
        self.d = kav_dispatch_new(&options)
        if self.d is NULL:
            raise MemoryError

    def __dealloc__(self):
        kav_dispatch_free(self.d)

    cdef kav_dispatch *alive(self) except NULL:
        if self.d is NULL:
            raise ValueError("the dispatcher is closed")
        return self.d

    def close(self):
        """Descriptors that are handed back."""
        cdef list left = []
        if self.d is not NULL:
            kav_dispatch_drop(self.d)
            left = self.spent()
            kav_dispatch_free(self.d)
            self.d = NULL
        return left

    def spent(self):
        """Descriptors that are handed back since the last call; the caller closes them."""
        cdef kav_dispatch *d = self.alive()
        cdef int fds[64]
        cdef size_t count = kav_dispatch_take_spent(d, fds, 64)
        cdef list rows = []
        while count:
            rows += [fds[i] for i in range(count)]
            count = kav_dispatch_take_spent(d, fds, 64)
        return rows

    def set_stores(self, *, int folder, str journal, bint files, bytes secret, bytes objects_secret, bytes generation,
                   bytes delta, uint64_t size_limit, int64_t start_ns, int objects_memory, int objects_file):
        """Remember what is found; OSError says what of it cannot be used, the rest is."""
        cdef kav_dispatch *d = self.alive()
        cdef kav_dispatch_stores stores
        cdef bytes name = journal.encode()
        if len(secret) != 32 or len(objects_secret) != 32 or len(generation) != 16:
            raise ValueError("a secret has 32 bytes, a generation 16")
        self.delta = delta
        stores.folder = folder
        stores.journal = <const char *>name
        stores.files = files
        memcpy(stores.secret, <const char *>secret, 32)
        memcpy(stores.objects_secret, <const char *>objects_secret, 32)
        memcpy(stores.generation, <const char *>generation, 16)
        stores.delta = NULL
        if delta:
            stores.delta = <const char *>delta
        stores.delta_len = <size_t>len(delta)
        stores.size_limit = size_limit
        stores.start_ns = start_ns
        stores.objects_memory = objects_memory
        stores.objects_file = objects_file
        check(kav_dispatch_set_stores(d, &stores))

    def finish(self):
        """Write what is to be remembered; OSError says why some of it cannot be."""
        cdef kav_dispatch *d = self.alive()
        cdef int code
        with nogil:
            code = kav_dispatch_finish(d)
        check(code)

    def add_walker(self, uint32_t id, int socket_fd, int slot_fd):
        check(kav_dispatch_add_walker(self.alive(), id, socket_fd, slot_fd))

    def add_worker(self, uint32_t id, int socket_fd, int slot_fd, uint32_t engine=0):
        check(kav_dispatch_add_worker(self.alive(), id, engine, socket_fd, slot_fd))

    def submit(self, int fd, bytes path, uint64_t tag, uint32_t delta=0):
        check(kav_dispatch_submit(self.alive(), fd, <const char *>path, <size_t>len(path), delta, tag))

    def abort(self, uint64_t tag, bytes text):
        """Whether there was such an object without a verdict."""
        cdef int code = kav_dispatch_abort(self.alive(), tag, <const char *>text, <size_t>len(text))
        if code == -ENOENT:
            return False
        check(code)
        return True

    def held_ms(self, uint64_t tag):
        """Milliseconds that a worker has had this object in hand; -1: it waits."""
        return kav_dispatch_held(self.alive(), tag)

    def retire(self, uint32_t id, bytes text, bint outside):
        return check(kav_dispatch_retire(self.alive(), id, <const char *>text, <size_t>len(text), outside)) == 1

    def give_up(self, uint32_t engine, bytes text):
        check(kav_dispatch_give_up(self.alive(), engine, <const char *>text, <size_t>len(text)))

    def forget(self):
        check(kav_dispatch_forget(self.alive()))

    def set_workers(self, uint32_t workers_max, uint32_t engine=0):
        kav_dispatch_set_workers(self.alive(), engine, workers_max)

    def set_want_clean(self, bint want_clean):
        kav_dispatch_set_want_clean(self.alive(), want_clean)

    def set_held(self, bint held):
        kav_dispatch_set_held(self.alive(), held)

    def step(self, int wake_fd, uint32_t timeout_ms):
        cdef kav_dispatch *d = self.alive()
        cdef int flags
        with nogil:
            flags = kav_dispatch_step(d, wake_fd, timeout_ms)
        return check(flags)

    def turn(self):
        cdef kav_dispatch *d = self.alive()
        cdef int flags
        with nogil:
            flags = kav_dispatch_turn(d)
        return check(flags)

    def fileno(self):
        return check(kav_dispatch_fileno(self.alive()))

    def events(self):
        """What happened since the last call: (kind, number, path, data, text)."""
        cdef kav_dispatch *d = self.alive()
        cdef size_t i
        cdef kav_event e
        cdef list rows = []
        for i in range(kav_dispatch_event_count(d)):
            e = kav_dispatch_event(d, i)
            rows.append((e.kind, e.number, copy(e.path, e.path_len), copy(e.data, e.data_len),
                         copy(e.text, e.text_len)))
        kav_dispatch_clear(d)
        return rows

    def totals(self):
        """Counts so far as plain lists and numbers, in the order of kav_dispatch_totals."""
        cdef const kav_dispatch_totals *t = kav_dispatch_get_totals(self.alive())
        return (t.files, t.bytes, t.scanned, t.members, t.unopened, t.suppressed, t.known, t.known_bytes, t.delta,
                [t.statuses[i] for i in range(10)], [t.reasons[i] for i in range(14)],
                [t.entries[i] for i in range(10)])

    @property
    def outstanding(self):
        return kav_dispatch_outstanding(self.alive())

    @property
    def in_hand(self):
        return kav_dispatch_in_hand(self.alive())

    def workers(self, uint32_t engine=0):
        return kav_dispatch_workers(self.alive(), engine)

    def ready(self, uint32_t engine=0):
        return kav_dispatch_ready(self.alive(), engine)

    @property
    def wanted(self):
        return kav_dispatch_wanted(self.alive())

    @property
    def walked(self):
        cdef uint64_t entries = 0, directories = 0
        kav_dispatch_walked(self.alive(), &entries, &directories)
        return entries, directories
