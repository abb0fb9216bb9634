/* Reading little numbers at offsets. Not for other folders: exe.h is the door. */
#ifndef KAV_EXE_PARTS_H
#define KAV_EXE_PARTS_H

#include "exe.h"
#include "numbers.h"

/* True when all len bytes are there. */
static inline bool kav_exe_bytes(const kav_source *source, uint64_t offset, void *out, size_t len)
{
    return kav_source_read(source, offset, out, len) == (ssize_t)len;
}

/* ordinals.c: the name, in small letters, of what a library exports under a number; NULL: not known. */
const char *kav_exe_ordinal(const char *library, uint16_t ordinal);

int kav_exe_pe(kav_exe *exe, const kav_source *source);
int kav_exe_elf(kav_exe *exe, const kav_source *source);
int kav_exe_macho(kav_exe *exe, const kav_source *source);

#endif
