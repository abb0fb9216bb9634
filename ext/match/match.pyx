"""Match: building parts of an image and scanning with them (contracts: segment.h, group.h, layer.h)."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from core_c cimport (
    KAV_HASH_IMPORTS, KAV_HASH_LAYER, KAV_HASH_SECTION, KAV_IMAGE_DAMAGED, KAV_IMAGE_FOREIGN, KAV_IMAGE_OK, cbool,
    kav_buffer, kav_buffer_free, kav_format_name, kav_hash_form, kav_hashset, kav_hashset_at, kav_hashset_build,
    kav_hashset_built, kav_hashset_built_free, kav_hashset_hit, kav_hashset_open, kav_image, kav_image_close,
    kav_image_open, kav_part, kav_part_check, kav_session, kav_session_free, kav_source, kav_type,
)
from match_c cimport (
    KAV_P_ICONS, KAV_P_METADATA, KAV_P_PASSWORDS, KAV_P_TRUST, KAV_P_TYPES, KAV_TAB_LISTED, KAV_TAB_LISTED_TEXT,
    kav_metadata, KAV_CO_CHAIN, KAV_CO_ENTRY, KAV_CO_HANDLER, KAV_CO_ICONS, KAV_CO_OUTMOST, KAV_CO_SECTIONS,
    KAV_FMT_COUNT, KAV_FORMAT_VERSION,
    KAV_NONE, KAV_PF_OFFICIAL, KAV_P_BODY, KAV_P_EXCEPTION, KAV_P_GROUP, KAV_P_HASH, KAV_P_IGNORE, KAV_P_IMPORTS,
    KAV_P_PATCH, KAV_P_SECTIONS, KAV_S_ALL_MATCH, KAV_TAB_DATABASE, KAV_TAB_IGNORED, KAV_TAB_IGNORED_TEXT,
    KAV_TAB_MEMBERS, KAV_TAB_MOVED, KAV_TAB_SET, KAV_TARGET_COUNT, KAV_T_PE, hs_version_text, kav_body, kav_body_open, kav_buffer_add,
    kav_buffer_ok, kav_chain_link, kav_condition, kav_group_build, kav_group_stamp, kav_ignored, kav_layer_found,
    kav_layer_options, kav_layer_scan, kav_member, kav_moved, kav_moved_line, kav_part_begin, kav_part_checksum,
    kav_part_count, kav_part_data, kav_part_finish, kav_part_header, kav_part_is_set, kav_part_of, kav_part_table,
    kav_segment, kav_segment_finish, kav_segment_free, kav_segment_new, kav_segment_pattern,
    kav_segment_pattern_count, kav_segment_probe, kav_segment_signature, kav_segment_signature_count,
    kav_segment_signature_in, kav_session_new_window, kav_text,
)

cdef extern from *:
    const char *KAV_BUILD  # setup.py: a digest of the sources of all C parts

import os
import threading
from collections import namedtuple
from typing import NamedTuple


FORMAT_VERSION = KAV_FORMAT_VERSION
BUILD = KAV_BUILD.decode("ascii")
SUBSIGNATURES = 64
UNOFFICIAL = ".UNOFFICIAL"


class PatternError(ValueError):
    """A hexadecimal pattern, its offset or its modifiers cannot be taken; str() is the reason."""


class SignatureError(ValueError):
    """A signature cannot be taken; str() is the reason."""


class ImageDamaged(Exception):
    """A part is not whole, or parts do not belong together."""


class ImageForeign(Exception):
    """A part was made by another version or for another CPU."""


def hs_version():
    return hs_version_text().decode("ascii")


def cpu_stamp():
    cdef uint8_t stamp[64]
    kav_group_stamp(stamp)
    return (<char *>stamp)[:63].rstrip(b"\0").decode("ascii")


cdef kav_text text_of(bytes given) noexcept:
    cdef kav_text t
    t.text = PyBytes_AS_STRING(given)
    t.length = PyBytes_GET_SIZE(given)
    return t


cdef bytes take(kav_buffer *b):
    """The bytes of a part that was built; frees them."""
    try:
        return PyBytes_FromStringAndSize(<char *>b.data, b.length)
    finally:
        kav_buffer_free(b)


include "builder.pxi"


# A part made of a hash database, and what became of its lines.
HashSegment = namedtuple("HashSegment", "data accepted comments rejects reject_count")
HASH_FORMS = {  # form -> (kind of part, how its lines are read)
    "hash": (KAV_P_HASH, KAV_HASH_LAYER), "exception": (KAV_P_EXCEPTION, KAV_HASH_LAYER),
    "sections": (KAV_P_SECTIONS, KAV_HASH_SECTION), "imports": (KAV_P_IMPORTS, KAV_HASH_IMPORTS)}

def build_hash_segment(const uint8_t[::1] text not None, uint32_t level, *, str form not None,
                       bytes database not None, bytes digest not None, bint official=False):
    cdef kav_hashset_built built
    cdef kav_buffer out
    cdef uint64_t length = text.shape[0]
    cdef const char *first = <const char *>&text[0] if length else NULL
    cdef bint ok
    cdef int failed, kind = HASH_FORMS[form][0]
    cdef kav_hash_form lines = HASH_FORMS[form][1]
    if len(digest) != 32:
        raise ValueError("the digest of a database has 32 bytes")
    with nogil:
        failed = kav_hashset_build(first, length, lines, level, &built)
    if failed:
        raise MemoryError
    memset(&out, 0, sizeof(out))
    kav_part_begin(&out)
    kav_part_table(&out, KAV_TAB_DATABASE, PyBytes_AS_STRING(database), PyBytes_GET_SIZE(database))
    kav_part_table(&out, KAV_TAB_SET, built.table, built.length)
    free(built.table)  # millions of lines: what was copied is not kept twice
    built.table = NULL
    ok = kav_part_finish(&out, kind, KAV_PF_OFFICIAL if official else 0, <const uint8_t *>PyBytes_AS_STRING(digest))
    try:
        if not ok:
            raise MemoryError
        rejects = [(built.rejects[i].line, built.rejects[i].why) for i in range(built.reject_kept)]
        data = PyBytes_FromStringAndSize(<char *>out.data, out.length)
        return HashSegment(data, built.accepted, built.comments, rejects, built.reject_count)
    finally:
        kav_buffer_free(&out)
        kav_hashset_built_free(&built)


cdef extern from "<regex.h>":
    ctypedef struct regex_t:
        pass
    enum:
        REG_EXTENDED, REG_NOSUB, REG_ESPACE
    int regcomp(regex_t *preg, const char *pattern, int flags)
    void regfree(regex_t *preg)


def is_pattern(bytes pattern):
    cdef regex_t compiled
    cdef int code = regcomp(&compiled, PyBytes_AS_STRING(pattern), REG_EXTENDED | REG_NOSUB)
    if code == REG_ESPACE:
        raise MemoryError
    if code == 0:
        regfree(&compiled)
    return code == 0


LISTED = {"metadata": KAV_P_METADATA, "passwords": KAV_P_PASSWORDS, "types": KAV_P_TYPES,
          "icons": KAV_P_ICONS, "trust": KAV_P_TRUST}


def build_listed(kind, bytes rows, bytes text, *, bytes database, bytes digest, official=False):
    cdef kav_buffer out
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    memset(&out, 0, sizeof(out))
    kav_part_begin(&out)
    kav_part_table(&out, KAV_TAB_DATABASE, PyBytes_AS_STRING(database), PyBytes_GET_SIZE(database))
    kav_part_table(&out, KAV_TAB_LISTED, PyBytes_AS_STRING(rows), PyBytes_GET_SIZE(rows))
    kav_part_table(&out, KAV_TAB_LISTED_TEXT, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    if not kav_part_finish(&out, LISTED[kind], KAV_PF_OFFICIAL if official else 0,
                           <const uint8_t *>PyBytes_AS_STRING(digest)):
        kav_buffer_free(&out)
        raise MemoryError
    return take(&out)


def build_ignore(names):
    cdef kav_buffer out, rows
    cdef kav_ignored row
    cdef bytes text
    memset(&out, 0, sizeof(out))
    memset(&rows, 0, sizeof(rows))
    wanted = sorted({bytes(name) for name in names})
    text = b"".join(wanted)
    row.text = 0
    for name in wanted:
        row.length = len(name)
        kav_buffer_add(&rows, &row, sizeof(row))
        row.text += row.length
    kav_part_begin(&out)
    kav_part_table(&out, KAV_TAB_IGNORED, rows.data, rows.length)
    kav_part_table(&out, KAV_TAB_IGNORED_TEXT, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    ok = kav_buffer_ok(&rows) and kav_part_finish(&out, KAV_P_IGNORE, 0, NULL)
    kav_buffer_free(&rows)
    if not ok:
        kav_buffer_free(&out)
        raise MemoryError
    return take(&out)


cdef class Held:
    """A part's bytes as they lie in the caller's object, checked."""

    cdef Py_buffer view
    cdef bint holds

    def __cinit__(self, part not None):
        cdef cbool foreign = False
        PyObject_GetBuffer(part, &self.view, PyBUF_SIMPLE)
        self.holds = True
        if <size_t>self.view.buf % 8:
            raise ValueError("a part must lie at a multiple of 8 bytes")
        cdef const uint8_t *data = <const uint8_t *>self.view.buf
        cdef uint64_t length = self.view.len
        cdef const char *why
        with nogil:
            why = kav_part_check(data, length, &foreign)
        if why != NULL:
            raise (ImageForeign if foreign else ImageDamaged)(why.decode("ascii"))

    def __dealloc__(self):
        if self.holds:
            PyBuffer_Release(&self.view)

    cdef const uint8_t *data(self) noexcept:
        return <const uint8_t *>self.view.buf

    cdef kav_body body(self) except *:
        cdef kav_body b
        if kav_part_of(self.data()).kind != KAV_P_BODY:
            raise ValueError("not a part with body signatures")
        if not kav_body_open(&b, self.data()):
            raise ImageDamaged("an index points outside")
        return b


def build_group(parts, *, int threads=2):
    cdef kav_buffer out
    cdef char why[256]
    cdef bint ok
    held = [Held(part) for part in parts]
    cdef uint32_t count = <uint32_t>len(held)
    cdef kav_body *bodies = <kav_body *>calloc(count + 1, sizeof(kav_body))
    if bodies == NULL:
        raise MemoryError
    memset(&out, 0, sizeof(out))
    try:
        for i in range(count):
            bodies[i] = (<Held>held[i]).body()
        with nogil:
            ok = kav_group_build(bodies, count, threads, &out, why, sizeof(why))
        if not ok:
            raise MemoryError((<char *>why).decode("utf-8", "replace"))
        return PyBytes_FromStringAndSize(<char *>out.data, out.length)
    finally:
        free(bodies)
        kav_buffer_free(&out)


def part_is_whole(part):
    try:
        Held(part)
    except (ImageDamaged, ImageForeign):
        return False
    return True


def resealed(const uint8_t[::1] part not None):
    out = bytearray(part)
    cdef uint8_t[::1] view = out
    if <size_t>view.shape[0] < sizeof(kav_part_header):
        raise ValueError("shorter than a header")
    (<kav_part_header *>&view[0]).checksum = kav_part_checksum(&view[0], view.shape[0])
    return bytes(out)


KINDS = {
    KAV_P_BODY: "body", KAV_P_HASH: "hash", KAV_P_EXCEPTION: "exception", KAV_P_IGNORE: "ignore", KAV_P_GROUP: "group",
    KAV_P_PATCH: "patch", KAV_P_SECTIONS: "sections", KAV_P_IMPORTS: "imports", KAV_P_METADATA: "metadata",
    KAV_P_PASSWORDS: "passwords", KAV_P_TYPES: "types", KAV_P_ICONS: "icons", KAV_P_TRUST: "trust"}


def part_kind(part):
    return KINDS[kav_part_of((<Held>Held(part)).data()).kind]


def part_database(part):
    cdef Held held = Held(part)
    cdef const char *name = <const char *>kav_part_data(held.data(), KAV_TAB_DATABASE)
    return PyBytes_FromStringAndSize(name, kav_part_count(held.data(), KAV_TAB_DATABASE, 1))


def part_identity(part):
    cdef Held held = Held(part)
    header = kav_part_of(held.data())
    return header.source[:32], header.checksum


def group_members(part):
    cdef Held held = Held(part)
    if kav_part_of(held.data()).kind != KAV_P_GROUP:
        raise ValueError("not a group")
    members = <const kav_member *>kav_part_data(held.data(), KAV_TAB_MEMBERS)
    count = kav_part_count(held.data(), KAV_TAB_MEMBERS, sizeof(kav_member))
    return [(members[i].source[:32], members[i].checksum) for i in range(count)]


def literal_count(part):
    return (<Held>Held(part)).body().literal_count


cdef kav_moved moved_of(Held patch) except *:
    """Where the lines of a patch's base stand now; nothing has moved without a patch."""
    cdef kav_moved moved
    memset(&moved, 0, sizeof(moved))
    if patch is not None:
        if kav_part_of(patch.data()).kind != KAV_P_PATCH:
            raise ValueError("not a patch")
        moved.now = <const uint32_t *>kav_part_data(patch.data(), KAV_TAB_MOVED)
        moved.count = kav_part_count(patch.data(), KAV_TAB_MOVED, sizeof(uint32_t))
    return moved


def part_names(part, patch=None):
    """A generator: a hash database may have millions of names."""
    cdef Held held = Held(part), over = None if patch is None else Held(patch)
    cdef kav_moved moved = moved_of(over)
    cdef const kav_part_header *header = kav_part_of(held.data())
    cdef kav_body body
    cdef kav_hashset set
    cdef kav_hashset_hit hit
    cdef uint64_t i = 0
    mark = "" if header.flags & KAV_PF_OFFICIAL else UNOFFICIAL
    if header.kind == KAV_P_BODY:
        body = held.body()
        while i < body.signature_count:
            if kav_moved_line(&moved, body.signatures[i].line):
                at, end = body.signatures[i].name, body.signatures[i].name + body.signatures[i].name_len
                yield (<const char *>body.names)[at:end].decode("utf-8", "surrogateescape") + mark
            i += 1
    elif kav_part_is_set(held.data()):
        table = kav_part_data(held.data(), KAV_TAB_SET)
        if kav_hashset_open(&set, table, kav_part_count(held.data(), KAV_TAB_SET, 1)) != 0:
            raise ImageDamaged("hash table damaged")
        while kav_hashset_at(&set, i, &hit):
            if kav_moved_line(&moved, hit.line):
                yield hit.name[:hit.name_len].decode("utf-8", "surrogateescape") + mark
            i += 1
    elif header.kind == KAV_P_IGNORE:
        ignored = <const kav_ignored *>kav_part_data(held.data(), KAV_TAB_IGNORED)
        text = <const char *>kav_part_data(held.data(), KAV_TAB_IGNORED_TEXT)
        length = kav_part_count(held.data(), KAV_TAB_IGNORED_TEXT, 1)
        while i < kav_part_count(held.data(), KAV_TAB_IGNORED, sizeof(kav_ignored)):
            if ignored[i].text > length or ignored[i].length > length - ignored[i].text:
                raise ImageDamaged("name outside")
            yield text[ignored[i].text:ignored[i].text + ignored[i].length].decode("utf-8", "surrogateescape")
            i += 1
    elif header.kind == KAV_P_METADATA:
        rows = <const kav_metadata *>kav_part_data(held.data(), KAV_TAB_LISTED)
        text = <const char *>kav_part_data(held.data(), KAV_TAB_LISTED_TEXT)
        length = kav_part_count(held.data(), KAV_TAB_LISTED_TEXT, 1)
        while i < kav_part_count(held.data(), KAV_TAB_LISTED, sizeof(kav_metadata)):
            if rows[i].name > length or rows[i].name_len > length - rows[i].name:
                raise ImageDamaged("name outside")
            yield text[rows[i].name:rows[i].name + rows[i].name_len].decode("utf-8", "surrogateescape") + mark
            i += 1


def part_targets(part):
    cdef Held held = Held(part)
    cdef kav_body body
    cdef int targets = 0
    if kav_part_of(held.data()).kind in (KAV_P_SECTIONS, KAV_P_IMPORTS):
        return 1 << KAV_T_PE
    if kav_part_of(held.data()).kind == KAV_P_METADATA:
        return (1 << KAV_TARGET_COUNT) - 1  # whatever may have members
    body = held.body()
    for i in range(body.signature_count):
        targets |= 1 << body.signatures[i].target
    return targets


def hash_table(part):
    cdef Held held = Held(part)
    if kav_part_of(held.data()).kind not in (KAV_P_HASH, KAV_P_EXCEPTION):
        raise ValueError("not a part with hash signatures")
    return PyBytes_FromStringAndSize(<char *>kav_part_data(held.data(), KAV_TAB_SET),
                                     kav_part_count(held.data(), KAV_TAB_SET, 1))


class Hit(NamedTuple):
    """A signature that matched: name as it is printed, index of its database, line, offset (None for a digest)."""

    name: bytes
    database: int
    line: int
    offset: int | None


class Found(NamedTuple):
    """What one scan of a layer found; see kav_layer_found in layer.h."""

    format: str
    target: int
    size: int
    reasons: int
    error: int
    hits: list
    suppressed: bool
    md5: bytes | None
    sha1: bytes | None
    sha256: bytes | None

    @property
    def names(self):
        return [hit.name for hit in self.hits]


cdef object found_of(const kav_layer_found *f):
    none = 2 ** 64 - 1
    hits = [
        Hit(
            f.hits[i].name[:f.hits[i].name_len], f.hits[i].database, f.hits[i].line,
            None if f.hits[i].offset == none else f.hits[i].offset,
        )
        for i in range(f.hit_count)
    ]
    return Found(
        kav_format_name(f.type.format).decode("ascii"), f.type.target, f.size, f.reasons, f.error, hits,
        bool(f.suppressed),
        f.digests.md5[:16] if f.digests.have & 1 else None,
        f.digests.sha1[:20] if f.digests.have & 2 else None,
        f.digests.sha256[:32] if f.digests.have & 4 else None,
    )


cdef class Image:
    """An image, mapped, with one session: for tests, benchmarks and tools. parts: (fd, offset, length) of each."""

    cdef kav_image *image
    cdef kav_session *session
    cdef uint32_t window
    cdef object lock

    def __cinit__(self, parts, *, uint32_t window=0):
        cdef char why[256]
        cdef size_t count = len(parts)
        cdef int code
        cdef kav_part *rows = <kav_part *>calloc(count + 1, sizeof(kav_part))
        if rows == NULL:
            raise MemoryError
        try:
            for i, (fd, offset, length) in enumerate(parts):
                rows[i].fd, rows[i].offset, rows[i].length = fd, offset, length
            with nogil:
                code = kav_image_open(rows, count, &self.image, why, sizeof(why))
        finally:
            free(rows)
        if code != KAV_IMAGE_OK:
            kinds = {KAV_IMAGE_DAMAGED: ImageDamaged, KAV_IMAGE_FOREIGN: ImageForeign}
            raise kinds.get(code, OSError)((<char *>why).decode("utf-8", "replace"))
        self.session = kav_session_new_window(self.image, window)
        if self.session == NULL:
            raise MemoryError
        self.lock = threading.Lock()

    def __dealloc__(self):
        kav_session_free(self.session)
        kav_image_close(self.image)

    def scan(self, origin not None, *, bint all_match=False, uint32_t digests=0, uint64_t limit=0, size=None,
             around=()):
        cdef kav_type types[64]
        cdef kav_layer_options options
        cdef kav_layer_found found
        cdef kav_source source
        cdef const uint8_t[::1] held
        cdef int code
        memset(&options, 0, sizeof(options))
        memset(&source, 0, sizeof(source))
        options.switches = KAV_S_ALL_MATCH if all_match else 0
        options.digests, options.limit = digests, limit
        options.around, options.around_count = types, <uint32_t>len(around)
        if len(around) > 64:
            raise ValueError("more layers than can be around one")
        for i, name in enumerate(around):
            types[i].format, types[i].target = <uint16_t>FORMATS.index(name), 0
        if isinstance(origin, int):
            source.fd = origin
            source.size = os.fstat(origin).st_size if size is None else size
        else:
            held = origin
            source.fd, source.size = -1, held.shape[0]
            source.memory = &held[0] if source.size else <const uint8_t *>&source  # nothing is read from it
        with self.lock:
            with nogil:
                code = kav_layer_scan(self.session, &source, &options, &found)
            if code:
                raise MemoryError
            return found_of(&found)
