#include "exe_parts.h"

#include <stdlib.h>
#include <string.h>

int kav_exe_read(kav_exe *exe, const kav_source *source, kav_type type)
{
    memset(exe, 0, sizeof *exe);
    switch (type.target) {
    case KAV_T_PE: exe->kind = KAV_EXE_PE; return kav_exe_pe(exe, source);
    case KAV_T_ELF: exe->kind = KAV_EXE_ELF; return kav_exe_elf(exe, source);
    case KAV_T_MACHO: exe->kind = KAV_EXE_MACHO; return kav_exe_macho(exe, source);
    default: return 0;
    }
}

void kav_exe_free(kav_exe *exe)
{
    free(exe->sections);
    free(exe->versions);
    memset(exe, 0, sizeof *exe);
}
