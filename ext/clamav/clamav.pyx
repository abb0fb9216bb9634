"""ClamAV: its library for Python (contract: library.h), opened by the first who asks for its version or an engine."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset


cdef extern from "library.h" nogil:
    ctypedef struct kav_clamav_engine:
        pass

    ctypedef struct kav_clamav_options:
        uint32_t general, parse, heuristic

    ctypedef struct kav_clamav:
        const char *version
        unsigned level
        int (*init)(unsigned) noexcept nogil
        kav_clamav_engine *(*engine_new)() noexcept nogil
        int (*engine_free)(kav_clamav_engine *) noexcept nogil
        int (*engine_compile)(kav_clamav_engine *) noexcept nogil
        int (*set_num)(kav_clamav_engine *, int, long long) noexcept nogil
        int (*set_str)(kav_clamav_engine *, int, const char *) noexcept nogil
        int (*load)(const char *, kav_clamav_engine *, unsigned *, unsigned) noexcept nogil
        const char *(*error)(int) noexcept nogil

    ctypedef struct kav_clamav_found:
        char *names
        size_t length
        int full
        uint64_t scanned

    int kav_clamav_open(kav_clamav *lib, char *trouble, size_t room)
    int kav_clamav_scan(const kav_clamav *lib, kav_clamav_engine *engine, int fd, const kav_clamav_options *options,
                        kav_clamav_found *found)

    enum:
        KAV_CL_MAX_SCANSIZE
        KAV_CL_MAX_FILESIZE
        KAV_CL_MAX_RECURSION
        KAV_CL_MAX_FILES
        KAV_CL_TMPDIR
        KAV_CL_BYTECODE_SECURITY
        KAV_CL_BYTECODE_MODE
        KAV_CL_DISABLE_CACHE
        KAV_CL_MAX_SCANTIME
        KAV_CL_TRUST_SIGNED
        KAV_CL_INTERPRETER
        KAV_CL_DB_USUAL
        KAV_CL_DB_PUA
        KAV_CL_ALL_MATCHES
        KAV_CL_HEURISTICS
        KAV_CL_PARSE_ARCHIVE
        KAV_CL_PARSE_MAIL
        KAV_CL_PARSE_EVERYTHING
        KAV_CL_TELL_LIMITS
        KAV_CL_TELL_ENCRYPTED


class LibraryError(Exception):
    """The library is not there, is of another version, or refused something; str() says what."""


cdef class Library:
    """libclamav in this process."""

    cdef kav_clamav lib

    def __init__(self):
        cdef char trouble[256]
        trouble[0] = 0
        if kav_clamav_open(&self.lib, trouble, sizeof(trouble)) < 0:
            raise LibraryError((<bytes>trouble).decode("utf-8", "replace"))

    @property
    def version(self):
        return (<bytes>self.lib.version).decode("utf-8", "replace")

    @property
    def level(self):
        return self.lib.level


cdef class Engine:
    """An engine with its databases. One thread; keeps nothing from one object to the next."""

    cdef Library library
    cdef kav_clamav_engine *engine
    cdef kav_clamav_options options
    cdef readonly unsigned int signatures

    def __cinit__(self):
        self.engine = NULL

    def __init__(self, Library library not None, bytes folder not None, *, bint archives=True, bint mail=True,
                 bint heuristics=True):
        """*folder*: where it may make temporary files. What the switches leave out is not opened."""
        if self.engine is not NULL:
            raise LibraryError("an engine is made once")
        self.library = library
        self._expect(library.lib.init(0), "start")
        self.engine = library.lib.engine_new()
        if self.engine is NULL:
            raise MemoryError
        self._expect(library.lib.set_str(self.engine, KAV_CL_TMPDIR, folder), "temporary folder")
        self._set(KAV_CL_DISABLE_CACHE, 1)
        self._set(KAV_CL_BYTECODE_MODE, KAV_CL_INTERPRETER)
        self._set(KAV_CL_BYTECODE_SECURITY, KAV_CL_TRUST_SIGNED)
        memset(&self.options, 0, sizeof(self.options))
        self.options.general = KAV_CL_ALL_MATCHES | (KAV_CL_HEURISTICS if heuristics else 0)
        self.options.parse = (KAV_CL_PARSE_EVERYTHING & ~(0 if archives else KAV_CL_PARSE_ARCHIVE)
                              & ~(0 if mail else KAV_CL_PARSE_MAIL))
        self.options.heuristic = KAV_CL_TELL_LIMITS | KAV_CL_TELL_ENCRYPTED

    def __dealloc__(self):
        if self.engine is not NULL:
            self.library.lib.engine_free(self.engine)

    def limit(self, *, long long scan_size, long long file_size, long long depth, long long files):
        """Bytes of all layers of an object, of one layer; layers inside one another; layers."""
        self._set(KAV_CL_MAX_SCANSIZE, scan_size)
        self._set(KAV_CL_MAX_FILESIZE, file_size)
        self._set(KAV_CL_MAX_RECURSION, depth)
        self._set(KAV_CL_MAX_FILES, files)

    def load(self, bytes path not None):
        """A database, or a folder of them."""
        cdef unsigned int count = 0
        cdef const char *text = path
        cdef kav_clamav_engine *engine = self._open()
        cdef int code
        with nogil:
            code = self.library.lib.load(text, engine, &count, KAV_CL_DB_USUAL | KAV_CL_DB_PUA)
        self._expect(code, path.decode("utf-8", "backslashreplace"))
        self.signatures += count

    def compile(self):
        """After the last load, before the first scan."""
        cdef kav_clamav_engine *engine = self._open()
        cdef int code
        with nogil:
            code = self.library.lib.engine_compile(engine)
        self._expect(code, "compile")

    def scan(self, int fd, long long milliseconds):
        """(code of enum in library.h, its text, names in the order found, bytes, whether that are all names)."""
        cdef kav_clamav_found found
        cdef kav_clamav_engine *engine = self._open()
        cdef int code
        memset(&found, 0, sizeof(found))
        self._set(KAV_CL_MAX_SCANTIME, milliseconds)
        try:
            with nogil:
                code = kav_clamav_scan(&self.library.lib, engine, fd, &self.options, &found)
            names = found.names[:found.length] if found.length else b""
            return code, self._text(code), [name for name in names.split(b"\0") if name], found.scanned, not found.full
        finally:
            free(found.names)

    cdef kav_clamav_engine *_open(self) except NULL:
        if self.engine is NULL:
            raise LibraryError("there is no engine")
        return self.engine

    cdef int _set(self, int field, long long value) except -1:
        return self._expect(self.library.lib.set_num(self._open(), field, value), f"setting {field}")

    cdef str _text(self, int code):
        cdef const char *text = self.library.lib.error(code)
        return (<bytes>text).decode("utf-8", "replace") if text is not NULL else f"error {code}"

    cdef int _expect(self, int code, str what) except -1:
        if code != 0:
            raise LibraryError(f"{what}: {self._text(code)}")
        return 0
