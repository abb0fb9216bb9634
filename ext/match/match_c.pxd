"""What match.pyx calls: the builder's, the image's and the layer's functions (contracts in the headers named)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from core_c cimport kav_buffer, kav_digests, kav_image, kav_session, kav_source, kav_type


cdef extern from "hs.h" nogil:
    const char *hs_version_text "hs_version"()

cdef extern from "buffer.h" nogil:
    size_t kav_buffer_add(kav_buffer *b, const void *bytes, size_t n)
    bint kav_buffer_ok(const kav_buffer *b)

cdef extern from "format.h" nogil:
    enum:
        KAV_FORMAT_VERSION, KAV_NONE
        KAV_P_BODY, KAV_P_HASH, KAV_P_EXCEPTION, KAV_P_IGNORE, KAV_P_GROUP, KAV_P_PATCH, KAV_P_SECTIONS, KAV_P_IMPORTS
        KAV_P_METADATA, KAV_P_PASSWORDS, KAV_P_TYPES, KAV_P_ICONS, KAV_P_TRUST, KAV_TAB_LISTED, KAV_TAB_LISTED_TEXT
        KAV_CO_ENTRY, KAV_CO_SECTIONS, KAV_CO_ICONS, KAV_CO_OUTMOST, KAV_CO_CHAIN, KAV_CO_HANDLER
        KAV_PF_OFFICIAL
        KAV_TAB_DATABASE, KAV_TAB_SET, KAV_TAB_IGNORED, KAV_TAB_IGNORED_TEXT, KAV_TAB_MEMBERS
        KAV_TAB_MOVED
    ctypedef struct kav_part_header:
        uint32_t kind, flags
        uint64_t checksum
        uint8_t source[32]
    ctypedef struct kav_ignored:
        uint32_t text, length
    ctypedef struct kav_metadata:
        uint32_t name, name_len, line
    ctypedef struct kav_member:
        uint64_t checksum
        uint8_t source[32]
    ctypedef struct kav_signature:
        uint32_t name, name_len, line
        uint8_t target
    ctypedef struct kav_condition:
        uint32_t entry_min, entry_max, sections_min, sections_max, chain_count
        uint16_t depth_min, flags, handler
        uint8_t handler_target
    ctypedef struct kav_chain_link:
        uint64_t formats[4]

cdef extern from "part.h" nogil:
    void kav_part_begin(kav_buffer *out)
    void kav_part_table(kav_buffer *out, int table, const void *data, size_t length)
    bint kav_part_finish(kav_buffer *out, int kind, uint32_t flags, const uint8_t *source)
    uint64_t kav_part_checksum(const uint8_t *data, uint64_t length)
    const kav_part_header *kav_part_of(const uint8_t *data)
    bint kav_part_is_set(const uint8_t *data)
    const void *kav_part_data(const uint8_t *data, int table)
    uint32_t kav_part_count(const uint8_t *data, int table, size_t item)

cdef extern from "segment.h" nogil:
    ctypedef struct kav_text:
        const char *text
        size_t length
    ctypedef struct kav_segment:
        pass
    ctypedef struct kav_segment_signature_in:
        kav_text name
        uint32_t line, target
        const uint32_t *subsigs
        uint32_t subsig_count
        kav_text expression
        uint64_t min_size, max_size
        const kav_condition *condition
        const kav_chain_link *chain
        kav_text icons[2]
    kav_segment *kav_segment_new()
    void kav_segment_free(kav_segment *s)
    uint32_t kav_segment_probe(kav_segment *s, kav_text text, uint32_t own, const char **why)
    uint32_t kav_segment_pattern(kav_segment *s, kav_text hex, kav_text offset, kav_text modifiers, const char **why)
    const char *kav_segment_signature(kav_segment *s, const kav_segment_signature_in *given)
    uint32_t kav_segment_signature_count(const kav_segment *s)
    uint32_t kav_segment_pattern_count(const kav_segment *s)
    bint kav_segment_finish(kav_segment *s, kav_text database, const uint8_t *source, bint official, kav_buffer *out)

cdef extern from "body.h" nogil:
    ctypedef struct kav_body:
        const kav_signature *signatures
        const uint8_t *names
        uint32_t signature_count, literal_count, pattern_count
    bint kav_body_open(kav_body *b, const uint8_t *part)

cdef extern from "group.h" nogil:
    bint kav_group_build(const kav_body *bodies, uint32_t count, int threads, kav_buffer *out, char *why,
                         size_t why_len)
    void kav_group_stamp(uint8_t *stamp)

cdef extern from "moved.h" nogil:
    ctypedef struct kav_moved:
        const uint32_t *now
        uint32_t count
    uint32_t kav_moved_line(const kav_moved *moved, uint32_t line)

cdef extern from "kav.h" nogil:
    enum:
        KAV_T_PE, KAV_TARGET_COUNT
        KAV_S_ALL_MATCH

cdef extern from "type.h" nogil:
    enum:
        KAV_FMT_COUNT

cdef extern from "layer.h" nogil:
    ctypedef struct kav_hit:
        const char *name
        uint32_t name_len, database, line
        uint64_t offset
    ctypedef struct kav_layer_options:
        uint32_t switches, digests
        uint64_t limit
        const kav_type *around
        uint32_t around_count
    ctypedef struct kav_layer_found:
        kav_type type
        uint64_t size
        uint32_t reasons
        int error
        kav_digests digests
        const kav_hit *hits
        size_t hit_count
        int suppressed
    int kav_layer_scan(kav_session *session, const kav_source *source, const kav_layer_options *options,
                       kav_layer_found *found)

cdef extern from "session.h" nogil:
    kav_session *kav_session_new_window(const kav_image *image, uint32_t window)
