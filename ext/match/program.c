#include "session.h"

kav_exe *kav_session_exe(kav_session *s)
{
    if (s->exe_read) return &s->exe;
    s->exe_read = true;
    if (kav_exe_read(&s->exe, s->reader.source, s->found->type) != 0) {
        kav_exe_free(&s->exe);
        s->found->reasons |= KAV_R_MEMORY;
    }
    return &s->exe;
}
