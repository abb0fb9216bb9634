#include "memberpath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char CUT[] = "...";

/* Copy src to dst (room for max bytes), leaving out the middle of what does not fit. Returns the length written. */
static size_t copy_cut(char *dst, size_t max, const char *src, size_t len)
{
    if (len <= max) {
        memcpy(dst, src, len);
        return len;
    }
    size_t mark = sizeof CUT - 1, head = (max - mark) / 2, tail = max - mark - head;
    memcpy(dst, src, head);
    memcpy(dst + head, CUT, mark);
    memcpy(dst + head + mark, src + len - tail, tail);
    return max;
}

void kav_member_path_free(kav_member_path *p)
{
    free(p->bytes);
    p->bytes = NULL;
    p->len = p->room = 0;
}

int kav_member_path_push(kav_member_path *p, const char *name, size_t len, size_t *mark)
{
    size_t need = p->len + 1 + KAV_MEMBER_NAME_MAX;
    if (need > p->room) {
        char *larger = realloc(p->bytes, need * 2);
        if (larger == NULL) return -ENOMEM;
        p->bytes = larger;
        p->room = need * 2;
    }
    *mark = p->len;
    if (p->len > 0) p->bytes[p->len++] = '/';
    char *at = p->bytes + p->len;
    size_t kept = copy_cut(at, KAV_MEMBER_NAME_MAX, name, len);
    for (size_t i = 0; i < kept; i++)
        if (at[i] == '\0') at[i] = '?';
    p->len += kept;
    return 0;
}

void kav_member_path_pop(kav_member_path *p, size_t mark)
{
    p->len = mark;
}

const char *kav_member_path_show(kav_member_path *p, size_t *len)
{
    if (p->len <= KAV_MEMBER_PATH_MAX) {
        *len = p->len;
        return p->len == 0 ? "" : p->bytes;
    }
    *len = copy_cut(p->shown, KAV_MEMBER_PATH_MAX, p->bytes, p->len);
    return p->shown;
}
