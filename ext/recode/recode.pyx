"""Recode: compressed streams that Python's library does not know, unpacked and packed by libarchive.

    Unpacker("zstd", fd, base, size): read() until b"", then end
    Packer("zstd"): compress(data), flush()

libarchive gets bytes through callbacks, never a path, and may use only what is built into it. Failures are ValueError
(the stream is damaged), OSError (it cannot be read) and MemoryError.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport ENOMEM, errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy
from posix.types cimport off_t
from posix.unistd cimport pread


cdef extern from "archive.h" nogil:
    ctypedef struct archive_t "struct archive":
        pass
    ctypedef struct entry_t "struct archive_entry":
        pass
    ctypedef ssize_t (*reads)(archive_t *, void *, const void **)
    ctypedef ssize_t (*writes)(archive_t *, void *, const void *, size_t)

    int ARCHIVE_OK
    archive_t *archive_read_new()
    int archive_read_support_format_raw(archive_t *)
    int archive_read_support_format_empty(archive_t *)
    int archive_read_support_filter_zstd(archive_t *)
    int archive_read_support_filter_lz4(archive_t *)
    int archive_read_open(archive_t *, void *, void *, reads, void *)
    int archive_read_next_header(archive_t *, entry_t **)
    ssize_t archive_read_data(archive_t *, void *, size_t)
    int archive_filter_count(archive_t *)
    int64_t archive_filter_bytes(archive_t *, int)
    int archive_read_free(archive_t *)
    archive_t *archive_write_new()
    int archive_write_set_format_raw(archive_t *)
    int archive_write_add_filter_zstd(archive_t *)
    int archive_write_add_filter_lz4(archive_t *)
    int archive_write_set_bytes_per_block(archive_t *, int)
    int archive_write_set_bytes_in_last_block(archive_t *, int)
    int archive_write_open(archive_t *, void *, void *, writes, void *)
    int archive_write_header(archive_t *, entry_t *)
    ssize_t archive_write_data(archive_t *, const void *, size_t)
    int archive_write_close(archive_t *)
    int archive_write_free(archive_t *)
    int archive_errno(archive_t *)
    void archive_set_error(archive_t *, int, const char *, ...)


cdef extern from "archive_entry.h" nogil:
    entry_t *archive_entry_new()
    void archive_entry_set_filetype(entry_t *, unsigned int)
    void archive_entry_set_pathname(entry_t *, const char *)
    void archive_entry_free(entry_t *)
    unsigned int AE_IFREG


cdef enum:
    CHUNK = 1 << 16
    PIECE = 1 << 20


cdef struct feed:
    int fd
    uint64_t base
    uint64_t left
    int error
    char buffer[CHUNK]


cdef struct bucket:
    char *bytes
    size_t len
    size_t room


cdef ssize_t on_read(archive_t *a, void *context, const void **block) noexcept nogil:
    cdef feed *f = <feed *>context
    cdef size_t want = CHUNK if f.left > CHUNK else <size_t>f.left
    cdef ssize_t n = pread(f.fd, f.buffer, want, <off_t>f.base) if want else 0
    block[0] = f.buffer
    if n < 0:
        f.error = errno
        archive_set_error(a, f.error, "read")
        return -1
    f.base += <uint64_t>n
    f.left -= <uint64_t>n
    return n


cdef ssize_t on_write(archive_t *a, void *context, const void *block, size_t length) noexcept nogil:
    cdef bucket *b = <bucket *>context
    cdef size_t room = b.room
    cdef char *larger
    if length > room - b.len:
        room = b.len + length + CHUNK
        larger = <char *>realloc(b.bytes, room)
        if larger == NULL:
            archive_set_error(a, ENOMEM, "memory")
            return -1
        b.bytes = larger
        b.room = room
    memcpy(b.bytes + b.len, block, length)
    b.len += length
    return <ssize_t>length


cdef class Unpacker:
    """The bytes of the streams that begin at *base*."""

    cdef archive_t *a
    cdef feed *f
    cdef char *piece

    def __cinit__(self, str form, int fd, uint64_t base, uint64_t size):
        cdef entry_t *entry
        self.f = <feed *>malloc(sizeof(feed))
        self.piece = <char *>malloc(PIECE)
        self.a = archive_read_new()
        if self.f == NULL or self.piece == NULL or self.a == NULL:
            raise MemoryError
        self.f.fd, self.f.base, self.f.left, self.f.error = fd, base, size, 0
        if form == "zstd":
            self.check(archive_read_support_filter_zstd(self.a))
        elif form == "lz4":
            self.check(archive_read_support_filter_lz4(self.a))
        else:
            raise ValueError(form)
        self.check(archive_read_support_format_raw(self.a))
        self.check(archive_read_support_format_empty(self.a))
        self.check(archive_read_open(self.a, self.f, NULL, on_read, NULL))
        self.check(archive_read_next_header(self.a, &entry))
        if archive_filter_count(self.a) < 2:
            raise ValueError("no such stream")  # else its own bytes would come back

    def __dealloc__(self):
        if self.a != NULL:
            archive_read_free(self.a)
        free(self.f)
        free(self.piece)

    cdef int check(self, int code) except -1:
        if code == ARCHIVE_OK:
            return 0
        if self.f.error:
            raise OSError(self.f.error, "read")
        if archive_errno(self.a) == ENOMEM:
            raise MemoryError
        raise ValueError("damaged")

    def read(self):
        """The next bytes, b"" at the end."""
        cdef ssize_t n
        with nogil:
            n = archive_read_data(self.a, self.piece, PIECE)
        if n < 0:
            self.check(<int>n)
        return PyBytes_FromStringAndSize(self.piece, n)

    @property
    def end(self):
        """How many bytes the streams took; after the last read()."""
        return archive_filter_bytes(self.a, -1)


cdef class Packer:
    """Packs one stream."""

    cdef archive_t *a
    cdef bucket out

    def __cinit__(self, str form):
        cdef entry_t *entry
        cdef int code
        self.out.bytes, self.out.len, self.out.room = NULL, 0, 0
        self.a = archive_write_new()
        if self.a == NULL:
            raise MemoryError
        if form == "zstd":
            self.check(archive_write_add_filter_zstd(self.a))
        elif form == "lz4":
            self.check(archive_write_add_filter_lz4(self.a))
        else:
            raise ValueError(form)
        self.check(archive_write_set_format_raw(self.a))
        self.check(archive_write_set_bytes_per_block(self.a, 0))
        self.check(archive_write_set_bytes_in_last_block(self.a, 1))
        self.check(archive_write_open(self.a, &self.out, NULL, on_write, NULL))
        entry = archive_entry_new()
        if entry == NULL:
            raise MemoryError
        archive_entry_set_filetype(entry, AE_IFREG)
        archive_entry_set_pathname(entry, "data")
        code = archive_write_header(self.a, entry)
        archive_entry_free(entry)
        self.check(code)

    def __dealloc__(self):
        if self.a != NULL:
            archive_write_free(self.a)
        free(self.out.bytes)

    cdef int check(self, int code) except -1:
        if code == ARCHIVE_OK:
            return 0
        if archive_errno(self.a) == ENOMEM:
            raise MemoryError
        raise ValueError("cannot be packed")

    cdef bytes take(self):
        cdef bytes taken = PyBytes_FromStringAndSize(self.out.bytes, <ssize_t>self.out.len)
        self.out.len = 0
        return taken

    def compress(self, const unsigned char[::1] data not None):
        """Pack these bytes; what is packed so far."""
        cdef ssize_t done, at = 0
        cdef ssize_t length = data.shape[0]
        while at < length:
            with nogil:
                done = archive_write_data(self.a, &data[at], <size_t>(length - at))
            if done <= 0:
                self.check(<int>done if done < 0 else -1)
            at += done
        return self.take()

    def flush(self):
        """The rest of the stream."""
        self.check(archive_write_close(self.a))
        return self.take()
