"""Recall: what this process has seen to be clean, for Python (contract: recall.h)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "recall.h" nogil:
    ctypedef struct kav_recall:
        pass

    ctypedef struct kav_recall_key:
        uint64_t mount, size

    enum kav_recalled:
        KAV_RECALL_NEVER
        KAV_RECALL_NEW
        KAV_RECALL_KNOWN
        KAV_RECALL_ASK

    enum:
        KAV_RECALL_PLACE

    kav_recall *kav_recall_new(uint32_t places, bint distrust)
    void kav_recall_free(kav_recall *r)
    kav_recalled kav_recall_look(kav_recall *r, int fd, uint32_t context, kav_recall_key *key)
    int64_t kav_recall_mount_of(int fd)
    void kav_recall_mount(kav_recall *r, uint64_t mount, bint trusted)
    uint32_t kav_recall_row(const kav_recall *r, const kav_recall_key *key)
    bint kav_recall_add(kav_recall *r, int fd, const kav_recall_key *key, const uint8_t *said, size_t length)
    void kav_recall_renew(kav_recall *r, const uint8_t *now, const void *delta, size_t length)
    void kav_recall_forget(kav_recall *r)


cdef const kav_recall_key *key_of(bytes key) except NULL:
    if len(key) != sizeof(kav_recall_key):
        raise ValueError("no key")
    return <const kav_recall_key *>PyBytes_AS_STRING(key)


PLACE = KAV_RECALL_PLACE  # bytes


cdef class Recall:
    """The table. Belongs to one thread. SIGIO must be ignored. *trusts*: whether the file system of a mount, given by
    its number in /proc/self/mountinfo (-1: not told), stamps every change itself; asked once for each mount."""

    cdef kav_recall *r
    cdef object trusts

    def __cinit__(self, trusts, *, uint32_t places=1 << 15, bint distrust=False):
        if places < 4 or places & (places - 1):
            raise ValueError("places: a power of two")
        self.trusts = trusts
        self.r = kav_recall_new(places, distrust)
        if self.r is NULL:
            raise MemoryError("a table of what is known cannot be made")

    def __dealloc__(self):
        kav_recall_free(self.r)

    def look(self, int fd, uint32_t context):
        """An int: known to be clean and complete, so many bytes. bytes: it is not, but may be added under these. None: it may not."""
        cdef kav_recall_key key
        cdef kav_recalled answer = kav_recall_look(self.r, fd, context, &key)
        if answer == KAV_RECALL_ASK:
            kav_recall_mount(self.r, key.mount, bool(self.trusts(kav_recall_mount_of(fd))))
            answer = kav_recall_look(self.r, fd, context, &key)
        if answer == KAV_RECALL_KNOWN:
            return key.size
        if answer == KAV_RECALL_NEW:
            return PyBytes_FromStringAndSize(<const char *>&key, sizeof(kav_recall_key))
        return None

    def row(self, bytes key not None):
        """Of what look() gave: the row of the delta table that a scan needs, counted from 1; 0 = it needs all."""
        return kav_recall_row(self.r, key_of(key))

    def add(self, int fd, bytes key not None, bytes said not None):
        """What look() gave was scanned and is clean and complete; *said* is the record of that, with notes and layers.
        Whether it is known now: it has not changed."""
        cdef const uint8_t *record = <const uint8_t *>PyBytes_AS_STRING(said)
        return bool(kav_recall_add(self.r, fd, key_of(key), record, <size_t>len(said)))

    def renew(self, bytes now not None, bytes delta not None):
        """Other signatures, of generation *now*. *delta*: their table (ext/cache/delta.h), or b""; what it does not
        speak of is forgotten."""
        cdef const char *table = PyBytes_AS_STRING(delta)
        if len(now) != 16:
            raise ValueError("a generation has 16 bytes")
        kav_recall_renew(self.r, <const uint8_t *>PyBytes_AS_STRING(now), table if delta else NULL, <size_t>len(delta))

    def forget(self):
        kav_recall_forget(self.r)
