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
    if (!kav_exe_versions(&s->exe, s->reader.source)) s->found->reasons |= KAV_R_MATCH;
    return kav_exe_is_version(&s->exe, start);
}

/* From low on, by shift further at most; offsets are numbers of 32 bits, as in ClamAV. */
static bool within(uint64_t low, uint64_t shift, uint64_t start)
{
    return start >= low && start - low <= shift;
}

static bool in_executable(kav_session *s, const kav_pattern *p, uint64_t *low, uint64_t *shift)
{
    const kav_exe *exe = kav_offset_exe(s);
    if (!exe) return false;
    uint32_t section = p->place == KAV_AT_LAST ? exe->section_count - 1 : p->section;
    *low = (uint32_t)(exe->entry + p->offset);
    if (p->place == KAV_AT_ENTRY) return true;
    if (exe->section_count == 0 || section >= exe->section_count) return false;
    const kav_section *found = &exe->sections[section];
    *low = found->raw + (p->place == KAV_AT_WHOLE ? 0 : p->offset);
    if (p->place == KAV_AT_WHOLE) *shift += found->raw_size;
    return true;
}

bool kav_offset_range(kav_session *s, const kav_pattern *p, uint64_t *low, uint64_t *shift)
{
    *low = p->offset;
    *shift = p->shift;
    if (p->place == KAV_AT_START) return true;
    if (p->place != KAV_AT_END) return in_executable(s, p, low, shift);
    if (p->offset > s->layer_size) return false;
    *low = s->layer_size - p->offset;
    return true;
}

bool kav_offset_holds(kav_session *s, const kav_pattern *p, uint64_t start)
{
    uint64_t low, shift;
    if (p->place == KAV_AT_ANY || p->place == KAV_AT_MACRO) return true;
    if (p->place == KAV_AT_VERSION) return is_version(s, start);
    if (!kav_offset_range(s, p, &low, &shift) || !within(low, shift, start)) return false;
    /* Where headers cannot be read, ClamAV takes no offset that is not absolute. */
    return p->place != KAV_AT_END || !has_headers(s) || kav_offset_exe(s);
}
