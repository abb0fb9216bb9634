/* Fuzz: headers, sections, imports and version information of programs (ext/exe), as whatever the bytes look like, and
 * as what they do not. */
#include "exe.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(const kav_source *source, kav_type type)
{
    kav_exe exe;
    uint32_t fed, sum = 0;
    uint64_t offset;
    if (kav_exe_read(&exe, source, type) == 0 && exe.valid) {
        for (uint32_t i = 0; i < exe.section_count; i++) {
            const kav_section *s = &exe.sections[i];
            sum += s->name[0] + s->flags + kav_exe_offset(&exe, source, (uint32_t)s->rva, &offset);
            if (exe.kind == KAV_EXE_PE && s->raw_size > 0 && s->raw + s->raw_size > source->size) abort();
        }
        if (exe.kind == KAV_EXE_PE) {
            sum += kav_exe_is_packed(&exe, source);
            if (kav_exe_versions(&exe, source)) {
                for (uint32_t i = 0; i < exe.version_count; i++)
                    if (!kav_exe_is_version(&exe, exe.versions[i])) abort();
            }
            kav_digest *digest = kav_digest_new();
            if (digest && kav_digest_start(digest, KAV_D_MD5)) kav_exe_imports(&exe, source, digest, &fed);
            kav_digest_free(digest);
        }
    }
    kav_exe_free(&exe);
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const kav_source source = {.memory = data, .fd = -1, .size = size};
    kav_type seen = kav_type_detect(data, size, size);
    read_as(&source, seen);
    if (seen.format != KAV_FMT_PE) read_as(&source, (kav_type){KAV_FMT_PE, KAV_T_PE});
    if (seen.format != KAV_FMT_ELF) read_as(&source, (kav_type){KAV_FMT_ELF, KAV_T_ELF});
    if (seen.format != KAV_FMT_MACHO) read_as(&source, (kav_type){KAV_FMT_MACHO, KAV_T_MACHO});
    return 0;
}
