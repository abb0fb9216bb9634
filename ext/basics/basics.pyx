"""Basics: sources, types, digests, hash sets and sets of lines of the C core, for library, tools and tests (contracts:
source.h, type.h, digest.h, hashset.h, lines.h)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport ENOMEM
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from core_c cimport (
    KAV_D_MD5, KAV_D_SHA1, KAV_D_SHA256, KAV_HASH_LAYER, cbool, kav_buffer, kav_buffer_free, kav_digests,
    kav_format_name, kav_hashset, kav_hashset_at, kav_hashset_build, kav_hashset_built, kav_hashset_built_free,
    kav_hashset_count, kav_hashset_hit, kav_hashset_open, kav_part_check, kav_source, kav_type,
)

import errno
import os


cdef extern from "source.h" nogil:
    Py_ssize_t kav_source_read(const kav_source *s, uint64_t offset, void *out, size_t len)
    uint64_t kav_source_next_data(const kav_source *s, uint64_t offset)
    uint64_t kav_source_next_hole(const kav_source *s, uint64_t offset)


cdef extern from "type.h" nogil:
    enum:
        KAV_TYPE_HEAD
    kav_type kav_type_detect(const uint8_t *head, size_t len, uint64_t size)


cdef extern from "digest.h" nogil:
    ctypedef struct kav_digest:
        pass
    kav_digest *kav_digest_new()
    void kav_digest_free(kav_digest *d)
    int kav_digest_start(kav_digest *d, uint32_t kinds)
    int kav_digest_feed(kav_digest *d, const void *data, size_t len)
    int kav_digest_finish(kav_digest *d, kav_digests *out)


cdef extern from "hashset.h" nogil:
    uint32_t kav_hashset_kinds(const kav_hashset *set, uint64_t size)
    size_t kav_hashset_find(const kav_hashset *set, uint64_t size, const kav_digests *digests, kav_hashset_hit *out,
                            size_t max)


cdef extern from "lines.h" nogil:
    ctypedef struct kav_lines_header:
        uint8_t source[32]
    ctypedef struct kav_lines:
        const kav_lines_header *header
        uint64_t count
    ctypedef struct kav_lines_text:
        const char *text
        uint64_t length
        uint8_t form[16]
    enum:
        KAV_LINES_FORM, KAV_LINES_OK, KAV_LINES_MEMORY, KAV_LINES_DAMAGED
    int kav_lines_build(const kav_lines_text *text, const uint8_t *part, kav_buffer *out)
    bint kav_lines_open(kav_lines *lines, const uint8_t *data, uint64_t length)
    bint kav_lines_without(const kav_lines *lines, const kav_lines *older, kav_buffer *out)
    int kav_lines_pick(const kav_lines_text *text, const kav_lines *wanted, kav_buffer *out)


cdef extern from "patch.h" nogil:
    ctypedef struct kav_moved:
        const uint32_t *now
        uint32_t count
    ctypedef struct kav_patch:
        kav_buffer fresh, moved
        uint32_t kept
    int kav_patch_split(const kav_lines_text *text, const kav_lines *base, kav_patch *out)
    void kav_patch_free(kav_patch *patch)
    int kav_patch_lines(const kav_lines *base, const kav_moved *moved, const kav_lines *fresh, const uint8_t *source,
                        kav_buffer *out)
    bint kav_patch_write(const uint8_t *const *parts, uint32_t count, const kav_moved *moved, const uint8_t *source,
                         kav_buffer *out)


MD5 = KAV_D_MD5
SHA1 = KAV_D_SHA1
SHA256 = KAV_D_SHA256
TYPE_HEAD = KAV_TYPE_HEAD

cdef enum:
    PIECE = 1 << 18
    HITS = 64


def detect(const uint8_t[::1] head not None, size=None):
    cdef uint64_t whole = head.shape[0] if size is None else size
    cdef kav_type found = kav_type_detect(&head[0] if head.shape[0] else NULL, head.shape[0], whole)
    return kav_format_name(found.format).decode("ascii"), found.target


cdef class Source:
    """One layer: bytes in memory, or size bytes of a descriptor from base on (the descriptor stays the caller's)."""

    cdef kav_source source
    cdef const uint8_t[::1] held

    def __cinit__(self, origin not None, *, base=0, size=None):
        if isinstance(origin, int):
            self.source.fd = origin
            self.source.base = base
            self.source.size = max(os.fstat(origin).st_size - base, 0) if size is None else size
            return
        self.held = origin
        if base or size is not None:
            raise ValueError("base and size are for descriptors")
        self.source.fd = -1
        self.source.size = self.held.shape[0]
        self.source.memory = &self.held[0] if self.held.shape[0] else NULL

    @property
    def size(self):
        return self.source.size

    def read(self, uint64_t offset, size_t length):
        cdef bytes out = PyBytes_FromStringAndSize(NULL, length)
        cdef char *room = PyBytes_AS_STRING(out)
        cdef Py_ssize_t n
        with nogil:
            n = kav_source_read(&self.source, offset, room, length)
        if n < 0:
            raise OSError(-n, os.strerror(-n))
        return out[:n]

    def next_data(self, uint64_t offset):
        return kav_source_next_data(&self.source, offset)

    def next_hole(self, uint64_t offset):
        return kav_source_next_hole(&self.source, offset)


cdef int digest_all(const kav_source *source, uint32_t kinds, kav_digests *out) noexcept nogil:
    """0, or an errno."""
    cdef kav_digest *d = kav_digest_new()
    cdef uint8_t *piece = <uint8_t *>malloc(PIECE)
    cdef uint64_t at = 0
    cdef Py_ssize_t n = 0
    cdef int failed = ENOMEM if d == NULL or piece == NULL else kav_digest_start(d, kinds)
    while not failed:
        n = kav_source_read(source, at, piece, PIECE)
        if n <= 0:
            failed = <int>-n
            break
        failed = kav_digest_feed(d, piece, n)
        at += n
    if not failed:
        failed = kav_digest_finish(d, out)
    kav_digest_free(d)
    free(piece)
    return failed


def digests(origin, kinds=MD5 | SHA1 | SHA256):
    cdef Source source = origin if isinstance(origin, Source) else Source(origin)
    cdef kav_digests out
    cdef uint32_t wanted = kinds
    cdef int failed
    with nogil:
        failed = digest_all(&source.source, wanted, &out)
    if failed == ENOMEM:
        raise MemoryError
    if failed:
        failed = failed if failed > 0 else errno.EIO
        raise OSError(failed, os.strerror(failed))
    return (
        out.md5[:16] if out.have & KAV_D_MD5 else None,
        out.sha1[:20] if out.have & KAV_D_SHA1 else None,
        out.sha256[:32] if out.have & KAV_D_SHA256 else None,
    )


cdef int put(object given, uint8_t *out, size_t length, uint32_t kind, kav_digests *d) except -1:
    if given is None:
        return 0
    cdef const uint8_t[::1] view = given
    if <size_t>view.shape[0] != length:
        raise ValueError(f"a digest of {view.shape[0]} bytes where {length} are wanted")
    for i in range(length):
        out[i] = view[i]
    d.have |= kind
    return 0


cdef object hit_of(const kav_hashset_hit *hit):
    return PyBytes_FromStringAndSize(hit.name, hit.name_len), hit.line


cdef class HashSet:
    """The hash signatures of one database file; table is what build made, kept or mapped by the caller."""

    cdef kav_hashset set
    cdef Py_buffer held
    cdef bint holds

    def __cinit__(self, table not None):
        PyObject_GetBuffer(table, &self.held, PyBUF_SIMPLE)
        self.holds = True
        if kav_hashset_open(&self.set, self.held.buf, self.held.len) != 0:
            raise ValueError("this is no hash table, or a damaged one")

    def __dealloc__(self):
        if self.holds:
            PyBuffer_Release(&self.held)

    @staticmethod
    def build(const uint8_t[::1] text not None, uint32_t level):
        cdef kav_hashset_built built
        cdef uint64_t length = text.shape[0]
        cdef const uint8_t *start = &text[0] if length else NULL
        cdef int failed
        with nogil:
            failed = kav_hashset_build(<const char *>start, length, KAV_HASH_LAYER, level, &built)
        if failed:
            raise MemoryError
        try:
            rejects = [(built.rejects[i].line, built.rejects[i].why) for i in range(built.reject_kept)]
            table = PyBytes_FromStringAndSize(<char *>built.table, built.length)
            return Built(table, built.accepted, built.comments, rejects, built.reject_count)
        finally:
            kav_hashset_built_free(&built)

    def __len__(self):
        return kav_hashset_count(&self.set)

    def kinds(self, uint64_t size):
        return kav_hashset_kinds(&self.set, size)

    def find(self, uint64_t size, *, md5=None, sha1=None, sha256=None):
        cdef kav_digests d
        cdef kav_hashset_hit hits[HITS]
        d.have = 0
        put(md5, d.md5, 16, KAV_D_MD5, &d)
        put(sha1, d.sha1, 20, KAV_D_SHA1, &d)
        put(sha256, d.sha256, 32, KAV_D_SHA256, &d)
        cdef size_t n = kav_hashset_find(&self.set, size, &d, hits, HITS)
        return [hit_of(&hits[i]) for i in range(n)]

    def at(self, uint64_t i):
        cdef kav_hashset_hit hit
        if not kav_hashset_at(&self.set, i, &hit):
            raise IndexError(i)
        return hit_of(&hit)


class Built:
    """What HashSet.build made: the table, and what became of every line."""

    __slots__ = ("accepted", "comments", "reject_count", "rejects", "table")

    def __init__(self, table, accepted, comments, rejects, reject_count):
        self.table = table
        self.accepted = accepted
        self.comments = comments
        self.rejects = rejects
        self.reject_count = reject_count


cdef class Checked:
    """A part of an image as it lies in the caller's object, checked."""

    cdef Py_buffer view
    cdef bint holds

    def __cinit__(self, part not None):
        cdef cbool foreign
        cdef const char *why
        PyObject_GetBuffer(part, &self.view, PyBUF_SIMPLE)
        self.holds = True
        if <size_t>self.view.buf % 8:
            raise ValueError("a part must lie at a multiple of 8 bytes")
        with nogil:
            why = kav_part_check(<const uint8_t *>self.view.buf, self.view.len, &foreign)
        if why != NULL:
            raise ValueError(why.decode("ascii"))

    def __dealloc__(self):
        if self.holds:
            PyBuffer_Release(&self.view)


cdef class Lines:
    """The lines of a segment as digests (ext/match/lines.h), where they lie in the caller's object, checked."""

    cdef Py_buffer view
    cdef bint holds
    cdef kav_lines lines

    def __cinit__(self, data not None):
        PyObject_GetBuffer(data, &self.view, PyBUF_SIMPLE)
        self.holds = True
        if <size_t>self.view.buf % 8:
            raise ValueError("lines must lie at a multiple of 8 bytes")
        cdef bint ok
        with nogil:
            ok = kav_lines_open(&self.lines, <const uint8_t *>self.view.buf, self.view.len)
        if not ok:
            raise ValueError("lines are not what was written")

    def __dealloc__(self):
        if self.holds:
            PyBuffer_Release(&self.view)

    def __len__(self):
        return self.lines.count

    @property
    def source(self):
        return self.lines.header.source[:32]

    def without(self, Lines older not None):
        cdef kav_buffer out
        cdef bint ok
        memset(&out, 0, sizeof(out))
        with nogil:
            ok = kav_lines_without(&self.lines, &older.lines, &out)
        if not ok:
            kav_buffer_free(&out)
            raise MemoryError
        try:
            return Lines(PyBytes_FromStringAndSize(<char *>out.data, out.length))
        finally:
            kav_buffer_free(&out)


cdef int lines_text(kav_lines_text *out, const uint8_t[::1] text, bytes form) except -1:
    """Fill in a text whose lines are looked at."""
    if len(form) > KAV_LINES_FORM:
        raise ValueError("the name of a form is too long")
    memset(out, 0, sizeof(out[0]))
    memcpy(out.form, PyBytes_AS_STRING(form), len(form))
    out.length = text.shape[0]
    out.text = <const char *>&text[0] if out.length else <const char *>out.form  # nothing is read from it
    return 0


cdef bytes lines_taken(kav_buffer *out, int error):
    """The bytes that were made; frees them."""
    try:
        if error == KAV_LINES_DAMAGED:
            raise ValueError("not made from this text")
        if error != KAV_LINES_OK:
            raise MemoryError
        return PyBytes_FromStringAndSize(<char *>out.data, out.length)
    finally:
        kav_buffer_free(out)


def build_lines(part, const uint8_t[::1] text not None, bytes form not None):
    cdef Checked held = Checked(part)
    cdef kav_lines_text given
    cdef kav_buffer out
    cdef int error
    lines_text(&given, text, form)
    memset(&out, 0, sizeof(out))
    with nogil:
        error = kav_lines_build(&given, <const uint8_t *>held.view.buf, &out)
    return lines_taken(&out, error)


def pick_lines(const uint8_t[::1] text not None, bytes form not None, Lines wanted not None):
    cdef kav_lines_text given
    cdef kav_buffer out
    cdef int error
    lines_text(&given, text, form)
    memset(&out, 0, sizeof(out))
    with nogil:
        error = kav_lines_pick(&given, &wanted.lines, &out)
    return lines_taken(&out, error)


def split_patch(const uint8_t[::1] text not None, bytes form not None, Lines base not None):
    cdef kav_lines_text given
    cdef kav_patch patch
    cdef int error
    lines_text(&given, text, form)
    memset(&patch, 0, sizeof(patch))
    with nogil:
        error = kav_patch_split(&given, &base.lines, &patch)
    try:
        if error != KAV_LINES_OK:
            raise MemoryError
        fresh = PyBytes_FromStringAndSize(<char *>patch.fresh.data, patch.fresh.length)
        return fresh, PyBytes_FromStringAndSize(<char *>patch.moved.data, patch.moved.length), patch.kept
    finally:
        kav_patch_free(&patch)


def patched_lines(Lines base not None, bytes moved not None, Lines fresh, bytes source not None):
    cdef kav_moved where
    cdef kav_lines none
    cdef const kav_lines *more = &none
    cdef const uint8_t *digest = <const uint8_t *>PyBytes_AS_STRING(source)
    cdef kav_buffer out
    cdef int error
    if len(source) != 32:
        raise ValueError("the digest of a database has 32 bytes")
    memset(&none, 0, sizeof(none))
    memset(&out, 0, sizeof(out))
    where.now, where.count = <const uint32_t *>PyBytes_AS_STRING(moved), <uint32_t>(len(moved) // sizeof(uint32_t))
    if fresh is not None:
        more = &fresh.lines
    with nogil:
        error = kav_patch_lines(&base.lines, &where, more, digest, &out)
    return lines_taken(&out, error)


def build_patch(parts, bytes moved not None, bytes digest not None):
    cdef const uint8_t *data[2]
    cdef kav_moved where
    cdef kav_buffer out
    held = [Checked(part) for part in parts]
    if len(digest) != 32 or not 1 <= len(held) <= 2:
        raise ValueError("a patch ties one or two parts, and its digest has 32 bytes")
    for i, part in enumerate(held):
        data[i] = <const uint8_t *>(<Checked>part).view.buf
    where.now, where.count = <const uint32_t *>PyBytes_AS_STRING(moved), <uint32_t>(len(moved) // sizeof(uint32_t))
    memset(&out, 0, sizeof(out))
    ok = kav_patch_write(data, <uint32_t>len(held), &where, <const uint8_t *>PyBytes_AS_STRING(digest), &out)
    return lines_taken(&out, KAV_LINES_OK if ok else KAV_LINES_MEMORY)
