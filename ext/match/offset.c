#include "offset.h"

static bool has_headers(const kav_session *s)
{
    return s->target == KAV_T_PE || s->target == KAV_T_ELF || s->target == KAV_T_MACHO;
}

const kav_exe *kav_offset_exe(kav_session *s)
{
    const kav_exe *exe = has_headers(s) ? kav_session_exe(s) : NULL;
    return exe && exe->valid ? exe : NULL;
}

static bool is_version(kav_session *s, uint64_t start)
{
    if (!kav_offset_exe(s)) return false;
    if (!kav_exe_versions(&s->exe, s->reader.source)) s->found->reasons |= KAV_R_MEMORY;
    return kav_exe_is_version(&s->exe, start);
}

/* From low on, by shift further at most; offsets are numbers of 32 bits, as in ClamAV. */
static bool within(uint64_t low, uint64_t shift, uint64_t start)
{
    return start >= low && start - low <= shift;
}

static bool in_executable(kav_session *s, const kav_pattern *p, uint64_t start)
{
    const kav_exe *exe = kav_offset_exe(s);
    if (!exe) return false;
    uint32_t section = p->place == KAV_AT_LAST ? exe->section_count - 1 : p->section;
    if (p->place == KAV_AT_ENTRY) return within((uint32_t)(exe->entry + p->offset), p->shift, start);
    if (exe->section_count == 0 || section >= exe->section_count) return false;
    const kav_section *found = &exe->sections[section];
    if (p->place == KAV_AT_WHOLE) return within(found->raw, found->raw_size + p->shift, start);
    return within(found->raw + p->offset, p->shift, start);
}

bool kav_offset_holds(kav_session *s, const kav_pattern *p, uint64_t start)
{
    switch (p->place) {
    case KAV_AT_ANY:
    case KAV_AT_MACRO: return true;
    case KAV_AT_START: return within(p->offset, p->shift, start);
    case KAV_AT_END: /* where headers cannot be read, ClamAV takes no offset that is not absolute */
        if (p->offset > s->layer_size || !within(s->layer_size - p->offset, p->shift, start)) return false;
        return !has_headers(s) || kav_offset_exe(s);
    case KAV_AT_VERSION: return is_version(s, start);
    default: return in_executable(s, p, start);
    }
}
