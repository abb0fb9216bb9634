#include "macro.h"

static const char malformed[] = "macro: unreadable";

static bool number(kav_text t, size_t *at, uint32_t *out)
{
    uint64_t value = 0;
    size_t from = *at;
    for (; *at < t.length && t.text[*at] >= '0' && t.text[*at] <= '9' && value <= UINT32_MAX; (*at)++)
        value = 10 * value + (uint64_t)(t.text[*at] - '0');
    *out = (uint32_t)value;
    return *at > from && value <= UINT32_MAX;
}

static bool mark(kav_text t, size_t *at, char c)
{
    return *at < t.length && t.text[(*at)++] == c;
}

const char *kav_macro_parse(kav_text t, kav_macro *out)
{
    size_t at = 0;
    *out = (kav_macro){0};
    if (!mark(t, &at, '$') || !mark(t, &at, '{') || !number(t, &at, &out->least) || !mark(t, &at, '-') ||
        !number(t, &at, &out->most) || !mark(t, &at, '}') || !number(t, &at, &out->group) || !mark(t, &at, '$') ||
        at != t.length)
        return malformed;
    return out->group < KAV_MACRO_GROUPS ? NULL : "macro: group above 31";
}

/* Is the match that waits followed by a member of the group? */
static void settle(kav_macro_run *r, uint64_t next)
{
    bool followed =
        r->member != KAV_MACRO_NEVER && r->last + r->macro->least <= r->member && r->last + r->macro->most >= r->member;
    if (followed) {
        r->found++;
    } else {
        r->count--;
        r->last = next;
    }
}

void kav_macro_matched(kav_macro_run *r, uint64_t place)
{
    if (r->count && place <= r->last) return;
    if (++r->count == 1) r->last = place;
    else settle(r, place);
}

void kav_macro_finish(kav_macro_run *r)
{
    if (r->count > 1) settle(r, KAV_MACRO_NEVER);
}
