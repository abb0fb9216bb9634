"""Cache: stores of facts for tools, tests and simulations (contracts: cachefile.h, remember.h, lookup.h, delta.h)."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, ENOMEM, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cache_c cimport (
    KAV_CACHE_FOREIGN, KAV_CACHE_OK, KAV_CACHE_SYSTEM, KAV_FACT_GENERATIONS, KAV_SECRET, KAV_SETTINGS_MAX, c_bool,
    kav_cache_error, kav_cache_generation, kav_cachefile, kav_cachefile_close, kav_cachefile_extra,
    kav_cachefile_generations, kav_cachefile_get_stats, kav_cachefile_open, kav_cachefile_read, kav_cachefile_stats,
    kav_delta, kav_delta_close, kav_delta_open, kav_extra, kav_extra_sound, kav_fact, kav_identity,
    kav_identity_differs, kav_judge, kav_known, kav_lookup, kav_lookup_dir, kav_lookup_end, kav_lookup_file,
    kav_lookup_free, kav_lookup_new, kav_lookup_options, kav_lookup_rest, kav_memory, kav_memory_add, kav_memory_due,
    kav_memory_flush, kav_memory_free, kav_memory_get_totals, kav_memory_gone, kav_memory_new, kav_memory_newest,
    kav_memory_options, kav_memory_renew, kav_memory_totals, kav_part_place, kav_place, kav_record, kav_record_free,
    kav_siphash, kav_siphash_wide,
)

import os
from collections import namedtuple


HOLDS, DELTA, FULL = 0, 1, 2
ANSWER_UNKNOWN, ANSWER_PLAIN, ANSWER_REPLAY, ANSWER_DELTA = 0, 1, 2, 3
CONTAINER, UNOPENED, LAYERS, JOURNAL, INSIDE = 1, 2, 4, 8, 16
FIELDS = ("inode", "size", "mtime", "ctime", "birth time")

Identity = namedtuple("Identity", "ino size mtime_ns ctime_ns btime_ns")
Fact = namedtuple("Fact", "id reasons format views status target flags generation extra",
                  defaults=(0, 0, 0, 0, 0, 0, 0, None))
Record = namedtuple("Record", "facts generations split")
Stats = namedtuple("Stats", "size live garbage records facts slots limit")
Totals = namedtuple("Totals", "kept renewed held dropped error")
Rest = namedtuple("Rest", "renew gone")

# One fact as Memory.add_many takes it: place, file system, identity, and the numbers of a plain fact.
cdef packed struct packed_fact:
    uint8_t place[16]
    uint64_t fs
    kav_fact fact

PACKED_FACT = "=16sQQQqqqIIHHBBBB"


cdef extern from "<sys/stat.h>" nogil:
    struct statx_timestamp:
        int64_t tv_sec
        uint32_t tv_nsec
    struct statx_t "statx":
        uint32_t stx_mask
        uint64_t stx_ino, stx_size
        statx_timestamp stx_mtime, stx_ctime, stx_btime
    int statx(int folder, const char *path, int flags, unsigned mask, statx_t *out)
    enum:
        STATX_BASIC_STATS
        STATX_BTIME


cdef extern from "<fcntl.h>" nogil:
    enum:
        AT_EMPTY_PATH


class DamagedStore(Exception):
    """The file is no store of ours, or its beginning is damaged: to be set aside."""


cdef int take(const uint8_t[::1] given, uint8_t *out, Py_ssize_t length) except -1:
    if given is None or given.shape[0] != length:
        raise ValueError(f"{length} bytes are wanted")
    memcpy(out, &given[0], length)
    return 0


cdef int identity_from(object given, kav_identity *out) except -1:
    out.ino, out.size, out.mtime_ns, out.ctime_ns, out.btime_ns = given
    return 0


cdef int fact_from(object given, kav_fact *out) except -1:
    identity_from(given.id, &out.id)
    out.reasons, out.format, out.views = given.reasons, given.format, given.views
    out.status, out.target, out.flags = given.status, given.target, given.flags
    out.extra = out.generation = 0
    return 0


cdef object fact_of(const kav_fact *fact, const kav_extra *extra):
    return Fact(Identity(fact.id.ino, fact.id.size, fact.id.mtime_ns, fact.id.ctime_ns, fact.id.btime_ns),
                fact.reasons, fact.format, fact.views, fact.status, fact.target, fact.flags, fact.generation,
                PyBytes_FromStringAndSize(<const char *>extra, extra.length) if extra != NULL else None)


cdef const kav_extra *extra_of(const uint8_t[::1] given) except? NULL:
    """The bytes as an extra, None as NULL; they are used before the caller's view ends."""
    if given is None:
        return NULL
    cdef const kav_extra *extra = <const kav_extra *>&given[0] if given.shape[0] >= 32 else NULL
    if extra == NULL or extra.length != given.shape[0] or not kav_extra_sound(extra, given.shape[0]):
        raise ValueError("this is no extra")
    return extra


cdef int check(int failed) except -1:
    if failed == -ENOMEM:
        raise MemoryError
    if failed < 0:
        raise OSError(-failed, os.strerror(-failed))
    return failed


def siphash(const uint8_t[::1] key not None, const uint8_t[::1] data not None):
    cdef uint8_t k[16]
    take(key, k, 16)
    return kav_siphash(k, &data[0] if data.shape[0] else NULL, data.shape[0])


def siphash_wide(const uint8_t[::1] key not None, const uint8_t[::1] data not None):
    cdef uint8_t k[16]
    cdef uint8_t out[16]
    take(key, k, 16)
    kav_siphash_wide(k, &data[0] if data.shape[0] else NULL, data.shape[0], out)
    return out[:16]


def place(const uint8_t[::1] secret not None, const uint8_t[::1] fs not None, uint64_t dir_ino,
          int64_t dir_btime_ns, const uint8_t[::1] settings not None):
    cdef uint8_t s[32]
    cdef uint8_t f[16]
    cdef uint8_t digest[16]
    cdef uint8_t out[16]
    take(secret, s, 32)
    take(fs, f, 16)
    take(settings, digest, 16)
    kav_place(s, f, dir_ino, dir_btime_ns, digest, out)
    return out[:16]


def part_place(const uint8_t[::1] above not None, uint64_t ino, unsigned depth):
    cdef uint8_t p[16]
    cdef uint8_t out[16]
    take(above, p, 16)
    kav_part_place(p, ino, depth, out)
    return out[:16]


cdef object nanoseconds(const statx_timestamp *time):
    """As kav_nanoseconds in ext/walk: a time that is beyond the numbers is the last one there is."""
    return min(max(int(time.tv_sec) * 1000000000 + time.tv_nsec, -2**63 + 1), 2**63 - 1)


def identity_of(int fd):
    cdef statx_t st
    if statx(fd, b"", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) != 0:
        check(-errno)
    born = nanoseconds(&st.stx_btime) if st.stx_mask & STATX_BTIME else -2**63
    return Identity(st.stx_ino, st.stx_size, nanoseconds(&st.stx_mtime), nanoseconds(&st.stx_ctime), born)


def differs(a, b):
    cdef kav_identity x
    cdef kav_identity y
    identity_from(a, &x)
    identity_from(b, &y)
    cdef uint32_t bits = kav_identity_differs(&x, &y)
    return tuple([name for i, name in enumerate(FIELDS) if bits >> i & 1])


cdef class DeltaTable:
    """A table of ext/cache/delta.h, checked; ValueError for one that is malformed."""

    cdef kav_delta *delta
    cdef const uint8_t[::1] held

    def __cinit__(self, const uint8_t[::1] table not None):
        self.held = table
        self.delta = kav_delta_open(&table[0] if table.shape[0] else NULL, table.shape[0])
        if self.delta == NULL:
            raise ValueError("this is no delta table, or a damaged one")

    def __dealloc__(self):
        kav_delta_close(self.delta)


def judge(DeltaTable delta, const uint8_t[::1] now not None, const uint8_t[::1] generation not None, fact,
          const uint8_t[::1] extra=None):
    cdef uint8_t n[16]
    cdef uint8_t g[16]
    cdef kav_fact f
    cdef uint32_t row = 0
    cdef c_bool wants_extra = False
    take(now, n, 16)
    take(generation, g, 16)
    fact_from(fact, &f)
    f.extra = 1 if fact.extra is not None else 0
    cdef int answer = kav_judge(delta.delta if delta is not None else NULL, n, g, &f, extra_of(extra), &row,
                                &wants_extra)
    return answer, row, bool(wants_extra)


cdef class File:
    """A cache file, open for reading; the descriptor stays the caller's."""

    cdef kav_cachefile *file
    cdef kav_record record

    def __cinit__(self, int fd, const uint8_t[::1] secret not None):
        cdef uint8_t s[32]
        take(secret, s, 32)
        cdef kav_cache_error error = kav_cachefile_open(fd, s, &self.file)
        if error == KAV_CACHE_SYSTEM:
            check(-errno)
        if error != KAV_CACHE_OK:
            raise DamagedStore("another version" if error == KAV_CACHE_FOREIGN else "damaged")

    def __dealloc__(self):
        kav_record_free(&self.record)
        kav_cachefile_close(self.file)

    def stats(self):
        cdef kav_cachefile_stats s
        check(kav_cachefile_get_stats(self.file, &s))
        return Stats(s.size, s.live, s.garbage, s.records, s.facts, s.slots, s.limit)

    def generations(self):
        cdef kav_cache_generation found[64]
        cdef int n = check(kav_cachefile_generations(self.file, found))
        return {found[i].generation[:16]: found[i].used for i in range(n)}

    def read(self, const uint8_t[::1] place not None):
        cdef uint8_t p[16]
        cdef const kav_fact *fact
        take(place, p, 16)
        if not check(kav_cachefile_read(self.file, p, &self.record)):
            return None
        facts = []
        for i in range(self.record.count):
            fact = &self.record.facts[i]
            extra = kav_cachefile_extra(self.file, &self.record, fact) if fact.extra else NULL
            facts.append(fact_of(fact, extra))
        generations = tuple([self.record.generations[i][:16] for i in range(KAV_FACT_GENERATIONS)])
        return Record(facts, generations, bool(self.record.split))


cdef class Memory:
    """Facts on their way into a store: what the coordinator uses, for tools and tests."""

    cdef kav_memory *memory
    cdef const uint8_t[::1] delta

    def __cinit__(self, int folder, str name not None, const uint8_t[::1] secret not None,
                  const uint8_t[::1] generation not None, *, start_ns, const uint8_t[::1] delta=None,
                  uint64_t size_limit=2 << 30, bint journal=False, uint32_t room=0):
        cdef kav_memory_options options
        cdef bytes encoded = os.fsencode(name)
        cdef int failed = 0
        options.folder, options.name, options.room = folder, encoded, room
        options.size_limit, options.start_ns, options.journal = size_limit, start_ns, journal
        options.delta, options.delta_len = NULL, 0
        take(secret, options.secret, KAV_SECRET)
        take(generation, options.generation, 16)
        self.delta = delta
        if delta is not None and delta.shape[0]:
            options.delta, options.delta_len = &delta[0], delta.shape[0]
        with nogil:
            self.memory = kav_memory_new(&options)
            failed = errno
        if self.memory == NULL:
            if failed == 22:
                raise DamagedStore("damaged, or another version")
            check(-failed)

    def __dealloc__(self):
        kav_memory_free(self.memory)

    def add(self, const uint8_t[::1] place not None, uint64_t fs, fact):
        cdef uint8_t p[16]
        cdef kav_fact f
        cdef const uint8_t[::1] extra = fact.extra
        take(place, p, 16)
        fact_from(fact, &f)
        check(kav_memory_add(self.memory, p, fs, &f, extra_of(extra)))

    def add_many(self, const uint8_t[::1] packed not None):
        cdef Py_ssize_t i, count = packed.shape[0] // <Py_ssize_t>sizeof(packed_fact)
        cdef const packed_fact *one
        cdef kav_fact fact
        cdef int failed = 0
        if packed.shape[0] != count * <Py_ssize_t>sizeof(packed_fact):
            raise ValueError("not whole facts")
        with nogil:
            for i in range(count):
                one = <const packed_fact *>&packed[i * <Py_ssize_t>sizeof(packed_fact)]
                memcpy(&fact, &one.fact, sizeof(kav_fact))
                failed = kav_memory_add(self.memory, one.place, one.fs, &fact, NULL)
                if not failed and i % 64 == 0 and kav_memory_due(self.memory):
                    failed = kav_memory_flush(self.memory, False)
                    if failed == -EAGAIN:
                        failed = 0
                if failed:
                    break
        check(failed)

    def renew(self, const uint8_t[::1] place not None):
        cdef uint8_t p[16]
        take(place, p, 16)
        check(kav_memory_renew(self.memory, p))

    def gone(self, const uint8_t[::1] place not None, inodes):
        cdef uint8_t p[16]
        cdef uint64_t ino
        take(place, p, 16)
        for ino in inodes:
            check(kav_memory_gone(self.memory, p, &ino, 1))

    def newest(self, uint64_t fs, int64_t ctime_ns):
        kav_memory_newest(self.memory, fs, ctime_ns)

    def due(self):
        return bool(kav_memory_due(self.memory))

    def flush(self, *, bint last=False):
        cdef int failed
        with nogil:
            failed = kav_memory_flush(self.memory, last)
        check(failed)

    def totals(self):
        cdef kav_memory_totals t = kav_memory_get_totals(self.memory)
        return Totals(t.kept, t.renewed, t.held, t.dropped, -t.error)


cdef class Lookup:
    """The questions of one walker thread, for tools and tests."""

    cdef kav_lookup *lookup
    cdef DeltaTable delta

    def __cinit__(self, const uint8_t[::1] secret not None, const uint8_t[::1] generation not None, settings, *,
                  int file=-1, int journal=-1, DeltaTable delta=None):
        cdef kav_lookup_options options
        options.file, options.journal = file, journal
        options.delta = delta.delta if delta is not None else NULL
        options.settings_count = 0
        take(secret, options.secret, KAV_SECRET)
        take(generation, options.generation, 16)
        if not 1 <= len(settings) <= KAV_SETTINGS_MAX:
            raise ValueError("one to four settings")
        for digest in settings:
            take(digest, options.settings[options.settings_count], 16)
            options.settings_count += 1
        self.delta = delta
        self.lookup = kav_lookup_new(&options)
        if self.lookup == NULL:
            raise MemoryError

    def __dealloc__(self):
        kav_lookup_free(self.lookup)

    def dir(self, const uint8_t[::1] fs not None, uint64_t dir_ino, int64_t dir_btime_ns):
        cdef uint8_t f[16]
        cdef uint8_t out[16]
        take(fs, f, 16)
        check(kav_lookup_dir(self.lookup, f, dir_ino, dir_btime_ns, out))
        return out[:16]

    def file(self, identity):
        cdef kav_identity id
        cdef kav_known known
        identity_from(identity, &id)
        cdef int answer = kav_lookup_file(self.lookup, &id, &known)
        return answer, fact_of(known.fact, known.extra) if known.fact != NULL else None, known.row

    def count(self, const uint8_t[::1] identities not None):
        cdef uint64_t answers[4]
        cdef kav_known known
        cdef kav_identity id
        cdef Py_ssize_t i, n = identities.shape[0] // <Py_ssize_t>sizeof(kav_identity)
        answers[0] = answers[1] = answers[2] = answers[3] = 0
        with nogil:
            for i in range(n):
                memcpy(&id, &identities[i * <Py_ssize_t>sizeof(kav_identity)], sizeof(kav_identity))
                answers[kav_lookup_file(self.lookup, &id, &known) & 3] += 1
        return answers[0], answers[1], answers[2], answers[3]

    def end(self):
        cdef kav_lookup_rest rest = kav_lookup_end(self.lookup)
        return Rest(bool(rest.renew), [rest.gone[i] for i in range(rest.gone_count)])
