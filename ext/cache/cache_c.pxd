"""What ext/cache offers to the border (contracts: the headers)."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"


cdef extern from "place.h" nogil:
    enum:
        KAV_SECRET
    void kav_place(const uint8_t *secret, const uint8_t *fs, uint64_t dir_ino, int64_t dir_btime_ns,
                   const uint8_t *settings, uint8_t *out)
    void kav_part_place(const uint8_t *place, uint64_t ino, unsigned depth, uint8_t *out)
    uint64_t kav_siphash(const uint8_t *key, const void *data, size_t length)
    void kav_siphash_wide(const uint8_t *key, const void *data, size_t length, uint8_t *out)


cdef extern from "fact.h" nogil:
    enum:
        KAV_FACT_GENERATIONS
    ctypedef struct kav_identity:
        uint64_t ino, size
        int64_t mtime_ns, ctime_ns, btime_ns
    ctypedef struct kav_fact:
        kav_identity id
        uint32_t reasons, extra
        uint16_t format, views
        uint8_t status, target, flags, generation
    ctypedef struct kav_extra:
        uint32_t length
    bint kav_extra_sound(const kav_extra *extra, size_t room)


cdef extern from "cachefile.h" nogil:
    enum:
        KAV_CACHE_GENERATIONS
    enum kav_cache_error:
        KAV_CACHE_OK
        KAV_CACHE_FOREIGN
        KAV_CACHE_DAMAGED
        KAV_CACHE_SYSTEM
    ctypedef struct kav_cachefile:
        pass
    ctypedef struct kav_cachefile_stats:
        uint64_t size, live, garbage, records, facts, slots, limit
    ctypedef struct kav_record:
        uint8_t generations[4][16]
        const kav_fact *facts
        uint32_t count, split
    ctypedef struct kav_cache_generation:
        uint8_t generation[16]
        int64_t used

    kav_cache_error kav_cachefile_open(int fd, const uint8_t *secret, kav_cachefile **out)
    void kav_cachefile_close(kav_cachefile *file)
    int kav_cachefile_read(const kav_cachefile *file, const uint8_t *place, kav_record *record)
    const kav_extra *kav_cachefile_extra(const kav_cachefile *file, kav_record *record, const kav_fact *fact)
    void kav_record_free(kav_record *record)
    int kav_cachefile_get_stats(const kav_cachefile *file, kav_cachefile_stats *stats)
    int kav_cachefile_generations(const kav_cachefile *file, kav_cache_generation *out)


cdef extern from "delta.h" nogil:
    ctypedef struct kav_delta:
        pass
    kav_delta *kav_delta_open(const void *data, size_t length)
    void kav_delta_close(kav_delta *delta)
    int kav_judge(const kav_delta *delta, const uint8_t *now, const uint8_t *generation, const kav_fact *fact,
                  const kav_extra *extra, uint32_t *row, c_bool *wants_extra)


cdef extern from "remember.h" nogil:
    ctypedef struct kav_memory:
        pass
    ctypedef struct kav_memory_options:
        int folder
        const char *name
        uint8_t secret[32]
        uint8_t generation[16]
        const uint8_t *delta
        size_t delta_len
        uint64_t size_limit
        int64_t start_ns
        bint journal
        uint32_t room
    ctypedef struct kav_memory_totals:
        uint64_t kept, renewed, held, dropped
        int error

    kav_memory *kav_memory_new(const kav_memory_options *options)
    void kav_memory_free(kav_memory *m)
    int kav_memory_add(kav_memory *m, const uint8_t *place, uint64_t fs, const kav_fact *fact, const kav_extra *extra)
    int kav_memory_renew(kav_memory *m, const uint8_t *place)
    int kav_memory_gone(kav_memory *m, const uint8_t *place, const uint64_t *inodes, uint32_t count)
    void kav_memory_newest(kav_memory *m, uint64_t fs, int64_t ctime_ns)
    bint kav_memory_due(const kav_memory *m)
    int kav_memory_flush(kav_memory *m, bint last)
    kav_memory_totals kav_memory_get_totals(const kav_memory *m)


cdef extern from "lookup.h" nogil:
    enum:
        KAV_SETTINGS_MAX
    ctypedef struct kav_lookup_options:
        int file, journal
        uint8_t secret[32]
        uint8_t generation[16]
        uint8_t settings[4][16]
        uint32_t settings_count
        const kav_delta *delta
    ctypedef struct kav_lookup:
        pass
    ctypedef struct kav_known:
        const kav_fact *fact
        const kav_extra *extra
        uint32_t row
    ctypedef struct kav_lookup_rest:
        bint renew
        const uint64_t *gone
        uint32_t gone_count

    kav_lookup *kav_lookup_new(const kav_lookup_options *options)
    void kav_lookup_free(kav_lookup *l)
    int kav_lookup_dir(kav_lookup *l, const uint8_t *fs, uint64_t dir_ino, int64_t dir_btime_ns, uint8_t *place)
    int kav_lookup_file(kav_lookup *l, const kav_identity *id, kav_known *known)
    kav_lookup_rest kav_lookup_end(kav_lookup *l)
    uint32_t kav_identity_differs(const kav_identity *a, const kav_identity *b)
