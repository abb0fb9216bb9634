/* Exe: what signatures ask of a PE, ELF or Mach-O file: sections, entry point, version information, imports.
 *
 * Everything is as ClamAV computes it, its liberties included (sizes rounded to the alignment and cut at the end of the
 * file, sections that do not exist emptied but counted), because signatures were written against that. Nothing read
 * from the file is believed: an offset in here may point anywhere, a size never reaches past the end for a PE.
 *
 *     kav_exe exe;
 *     if (kav_exe_read(&exe, source, type) == 0 && exe.valid) ...
 *     kav_exe_free(&exe);
 */
#ifndef KAV_EXE_H
#define KAV_EXE_H

#include "digest.h"
#include "source.h"
#include "type.h"

#include <stdbool.h>

enum kav_exe_kind { KAV_EXE_NONE = 0, KAV_EXE_PE = 1, KAV_EXE_ELF = 2, KAV_EXE_MACHO = 3 };

typedef struct {
    uint8_t name[8];        /* PE and the first bytes of Mach-O's; zeros for ELF */
    uint64_t raw, raw_size; /* in the file; PE: rounded, cut at the end of the file, size 0 = not in the file */
    uint64_t rva;           /* PE: relative to the image's base; else an address */
    uint64_t virtual_size;
    uint64_t given_raw, given_size; /* PE: as they stand in the header, the size cut at the end of the file */
    uint32_t flags;                 /* PE: characteristics */
} kav_section;

typedef struct {
    uint32_t rva, size;
} kav_exe_directory;

enum { KAV_EXE_DIRECTORIES = 16 };

typedef struct kav_exe {
    bool valid;   /* false: no offset that counts from a section or the entry point ever matches */
    uint8_t kind; /* enum kav_exe_kind; set for whatever was tried, valid or not */
    bool wide;    /* 64 bits */
    bool library; /* PE: a DLL */
    uint16_t machine;
    uint64_t entry; /* offset in the file */
    uint32_t section_count;
    kav_section *sections;
    /* PE only */
    uint32_t header_size; /* rounded to the section alignment */
    uint32_t entry_rva;
    uint64_t header;  /* offset of "PE\0\0" */
    uint64_t overlay; /* where the last section ends; the size of the file: nothing behind it */
    kav_exe_directory directories[KAV_EXE_DIRECTORIES]; /* zeros where the file has none */
    /* after kav_exe_versions */
    bool versions_read;
    uint32_t *versions; /* offsets in the file, ascending, without doubles: what VI stands for */
    uint32_t version_count;
} kav_exe;

/* Read headers and sections of a PE, ELF or thin Mach-O layer; any other type gives valid = false. 0, or -ENOMEM. */
int kav_exe_read(kav_exe *exe, const kav_source *source, kav_type type);

void kav_exe_free(kav_exe *exe);

/* PE: does it unpack itself when it runs? */
bool kav_exe_is_packed(const kav_exe *exe, const kav_source *source);

/* PE: fill in versions. False: not all of them, for want of memory or because there is too much to look at; said once.
 * Once it was called, calling it again costs nothing. */
bool kav_exe_versions(kav_exe *exe, const kav_source *source);

/* After that: does a version information string begin at this offset? */
bool kav_exe_is_version(const kav_exe *exe, uint64_t offset);

enum kav_imports { KAV_IMPORTS_NONE = 0, KAV_IMPORTS_FED = 1, KAV_IMPORTS_MANY = 2 };

/* The import table of a 32-bit PE in the form in which it is hashed - "library.function" in small letters, joined with
 * commas, in the order of the file - into a digest that was started. NONE: the file has no such table, or one that is
 * not hashed; MANY: too many functions to look at them all. *size: bytes fed. */
enum kav_imports kav_exe_imports(const kav_exe *exe, const kav_source *source, kav_digest *digest, uint32_t *size);

/* Where a relative address stands in the file. False: nowhere. PE only. */
bool kav_exe_offset(const kav_exe *exe, const kav_source *source, uint32_t rva, uint64_t *offset);

#endif
