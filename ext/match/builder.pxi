# Part of match.pyx: building the part of a database file of body or logical signatures (segment.h).

class Conditions(NamedTuple):
    """What must hold of a layer as a whole and of those around it; see kav_condition in format.h."""

    entry: tuple | None = None
    sections: tuple | None = None
    outmost: bool = False
    chain: tuple | None = None
    depth_min: int = 0
    icons: tuple | None = None
    handler: tuple | None = None


FORMATS = tuple(kav_format_name(i).decode("ascii") for i in range(KAV_FMT_COUNT))

LINKS = 32  # as long as a chain can be


cdef int fill_condition(kav_condition *c, kav_chain_link *links, wanted) except -1:
    memset(c, 0, sizeof(c[0]))
    memset(links, 0, LINKS * sizeof(links[0]))
    if wanted.entry is not None:
        c.flags |= KAV_CO_ENTRY
        c.entry_min, c.entry_max = wanted.entry
    if wanted.sections is not None:
        c.flags |= KAV_CO_SECTIONS
        c.sections_min, c.sections_max = wanted.sections
    if wanted.outmost:
        c.flags |= KAV_CO_OUTMOST
    if wanted.icons is not None:
        c.flags |= KAV_CO_ICONS
    if wanted.handler is not None:
        c.flags |= KAV_CO_HANDLER
        c.handler, c.handler_target = wanted.handler
    if wanted.chain is not None:
        if len(wanted.chain) > LINKS:
            raise SignatureError("chain of containers too long")
        c.flags |= KAV_CO_CHAIN
        c.chain_count, c.depth_min = <uint32_t>len(wanted.chain), wanted.depth_min
        for i, formats in enumerate(wanted.chain):
            for number in formats:
                links[i].formats[number // 64] |= <uint64_t>1 << (number % 64)
    return 0


cdef class SegmentBuilder:
    """Builds the part of one database file of body or logical signatures."""

    cdef kav_segment *segment
    cdef bytes database, digest
    cdef bint official

    def __cinit__(self, bytes database not None, bytes digest not None, bint official=False):
        if len(digest) != 32:
            raise ValueError("the digest of a database has 32 bytes")
        self.database, self.digest, self.official = database, digest, official
        self.segment = kav_segment_new()
        if self.segment == NULL:
            raise MemoryError

    def __dealloc__(self):
        kav_segment_free(self.segment)

    def pattern(self, bytes hex not None, bytes offset not None=b"*", bytes modifiers not None=b""):
        cdef const char *why = NULL
        cdef uint32_t index = kav_segment_pattern(self.segment, text_of(hex), text_of(offset), text_of(modifiers), &why)
        if index == KAV_NONE:
            raise PatternError(why.decode("ascii"))
        return index

    def probe(self, bytes text not None, uint32_t own):
        cdef const char *why = NULL
        cdef uint32_t index = kav_segment_probe(self.segment, text_of(text), own, &why)
        if index == KAV_NONE:
            raise PatternError(why.decode("ascii"))
        return index

    def signature(self, bytes name not None, uint32_t line, uint32_t target, patterns, bytes expression,
                  uint64_t min_size=0, uint64_t max_size=0, conditions=None):
        cdef uint32_t wanted[64]
        cdef kav_condition condition
        cdef kav_chain_link chain[32]
        cdef kav_segment_signature_in given
        memset(&given, 0, sizeof(given))
        if len(patterns) > SUBSIGNATURES:
            raise SignatureError("more than 64 subsignatures")
        for i, pattern in enumerate(patterns):
            wanted[i] = pattern
        given.name = text_of(name)
        given.line, given.target = line, target
        given.subsigs, given.subsig_count = wanted, <uint32_t>len(patterns)
        given.expression.text, given.expression.length = NULL, 0
        if expression is not None:
            given.expression = text_of(expression)
        given.min_size, given.max_size = min_size, max_size
        if conditions is not None:
            fill_condition(&condition, chain, conditions)
            given.condition, given.chain = &condition, chain
            if conditions.icons is not None:
                given.icons[0], given.icons[1] = text_of(conditions.icons[0]), text_of(conditions.icons[1])
        cdef const char *why = kav_segment_signature(self.segment, &given)
        if why != NULL:
            raise SignatureError(why.decode("ascii"))

    @property
    def signature_count(self):
        return kav_segment_signature_count(self.segment)

    @property
    def pattern_count(self):
        return kav_segment_pattern_count(self.segment)

    def finish(self):
        cdef kav_buffer out
        cdef bint ok
        cdef const uint8_t *digest = <const uint8_t *>PyBytes_AS_STRING(self.digest)
        cdef kav_text database = text_of(self.database)
        memset(&out, 0, sizeof(out))
        with nogil:
            ok = kav_segment_finish(self.segment, database, digest, self.official, &out)
        if not ok:
            kav_buffer_free(&out)
            raise MemoryError
        return take(&out)
