"""Programs: what the C core reads out of executables, for tools and tests (contract: exe.h)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from core_c cimport kav_source, kav_type


cdef extern from "type.h" nogil:
    kav_type kav_type_detect(const uint8_t *head, size_t len, uint64_t size)


cdef extern from "exe.h" nogil:
    ctypedef struct kav_section:
        uint8_t name[8]
        uint64_t raw, raw_size, rva, virtual_size
        uint32_t flags
    ctypedef struct kav_exe:
        bint valid
        uint8_t kind
        bint wide
        uint64_t entry, overlay
        uint32_t section_count, header_size
        kav_section *sections
        uint32_t *versions
        uint32_t version_count

    int kav_exe_read(kav_exe *exe, const kav_source *source, kav_type type)
    void kav_exe_free(kav_exe *exe)
    bint kav_exe_versions(kav_exe *exe, const kav_source *source)


class Section:
    __slots__ = ("name", "raw", "raw_size", "rva", "virtual_size", "flags")


class Program:
    __slots__ = ("kind", "wide", "entry", "overlay", "header_size", "sections", "versions")


KINDS = {1: "pe", 2: "elf", 3: "macho"}


cdef object as_section(const kav_section *s):
    section = Section()
    section.name = bytes(s.name[:8]).rstrip(b"\0")
    section.raw, section.raw_size = s.raw, s.raw_size
    section.rva, section.virtual_size, section.flags = s.rva, s.virtual_size, s.flags
    return section


def read_program(const uint8_t[::1] data not None):
    cdef kav_source source = kav_source(NULL, -1, 0, data.shape[0])
    cdef kav_exe exe
    cdef int failed
    source.memory = &data[0] if data.shape[0] else NULL
    with nogil:
        failed = kav_exe_read(&exe, &source, kav_type_detect(source.memory, source.size, source.size))
        if not failed:
            kav_exe_versions(&exe, &source)
    try:
        if failed:
            raise MemoryError
        if not exe.valid:
            return None
        program = Program()
        program.kind, program.wide, program.entry = KINDS[exe.kind], exe.wide, exe.entry
        program.overlay, program.header_size = exe.overlay, exe.header_size
        program.sections = [as_section(&exe.sections[i]) for i in range(exe.section_count)]
        program.versions = [exe.versions[i] for i in range(exe.version_count)]
        return program
    finally:
        kav_exe_free(&exe)
