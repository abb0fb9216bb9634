"""Recall: what this process has seen to be clean, for Python (contract: recall.h)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t


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

    kav_recall *kav_recall_new(uint32_t places, bint distrust)
    void kav_recall_free(kav_recall *r)
    kav_recalled kav_recall_look(kav_recall *r, int fd, uint32_t context, kav_recall_key *key)
    int64_t kav_recall_mount_of(int fd)
    void kav_recall_mount(kav_recall *r, uint64_t mount, bint trusted)
    bint kav_recall_add(kav_recall *r, int fd, const kav_recall_key *key)
    void kav_recall_forget(kav_recall *r)


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

    def add(self, int fd, bytes key not None):
        """What look() gave was scanned and is clean and complete. Whether it is known now: it has not changed."""
        if len(key) != sizeof(kav_recall_key):
            raise ValueError("no key")
        return bool(kav_recall_add(self.r, fd, <const kav_recall_key *>PyBytes_AS_STRING(key)))

    def forget(self):
        kav_recall_forget(self.r)
