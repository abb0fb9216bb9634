"""What several borders use of the core (contracts: the headers)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "stdbool.h" nogil:
    ctypedef bint cbool "bool"

cdef extern from "source.h" nogil:
    ctypedef struct kav_source:
        const uint8_t *memory
        int fd
        uint64_t base, size

cdef extern from "type.h" nogil:
    ctypedef struct kav_type:
        uint16_t format
        uint8_t target
    const char *kav_format_name(uint16_t format)

cdef extern from "digest.h" nogil:
    enum:
        KAV_D_MD5, KAV_D_SHA1, KAV_D_SHA256
    ctypedef struct kav_digests:
        uint8_t md5[16]
        uint8_t sha1[20]
        uint8_t sha256[32]
        uint32_t have

cdef extern from "hashset.h" nogil:
    ctypedef struct kav_hashset:
        pass
    ctypedef struct kav_hashset_hit:
        const char *name
        uint32_t name_len, line
    ctypedef struct kav_hashset_reject:
        uint32_t line
        uint8_t why
    ctypedef struct kav_hashset_built:
        uint8_t *table
        uint64_t length, accepted, comments
        kav_hashset_reject *rejects
        uint64_t reject_kept, reject_count
    int kav_hashset_open(kav_hashset *set, const void *data, uint64_t length)
    uint64_t kav_hashset_count(const kav_hashset *set)
    bint kav_hashset_at(const kav_hashset *set, uint64_t i, kav_hashset_hit *out)
    enum kav_hash_form:
        KAV_HASH_LAYER, KAV_HASH_SECTION, KAV_HASH_IMPORTS
    int kav_hashset_build(const char *text, uint64_t len, kav_hash_form form, uint32_t level, kav_hashset_built *out)
    void kav_hashset_built_free(kav_hashset_built *built)

cdef extern from "buffer.h" nogil:
    ctypedef struct kav_buffer:
        uint8_t *data
        size_t length, capacity
        cbool failed
    void kav_buffer_free(kav_buffer *b)

cdef extern from "part.h" nogil:
    const char *kav_part_check(const uint8_t *data, uint64_t length, cbool *foreign)

cdef extern from "layer.h" nogil:
    ctypedef struct kav_image:
        pass
    ctypedef struct kav_session:
        pass
    ctypedef struct kav_part:
        int fd
        uint64_t offset, length
    enum:
        KAV_IMAGE_OK, KAV_IMAGE_DAMAGED, KAV_IMAGE_FOREIGN, KAV_IMAGE_SYSTEM
    int kav_image_open(const kav_part *parts, size_t count, kav_image **out, char *why, size_t why_len)
    void kav_image_close(kav_image *image)
    void kav_session_free(kav_session *session)
