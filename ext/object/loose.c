/* Loose: the parts of a message whose structure is in doubt (two different boundaries, none, a broken header).
 *
 * Mail readers disagree about such messages, and what one of them shows must not escape. So every line that begins with
 * "--" above a "Content-" field is taken for a boundary, and what follows up to the same line again is handed over as a
 * message of its own, which the mail opener then reads by the part's own header.
 */
#include "mail.h"

#include <string.h>
#include <strings.h>

enum { LOOK = 1024, BOUNDARY_MAX = 200 };

static const char version[] = "MIME-Version: 1.0\n"; /* so that type detection sees a message */

/* Whether a part begins below the line at at; the boundary's length and where the part's header begins. */
static bool is_boundary(const kav_source *source, uint64_t at, char *boundary, size_t *len, uint64_t *start)
{
    char look[LOOK];
    ssize_t n = kav_source_read(source, at, look, sizeof look);
    const char *stop = n > 0 ? memchr(look, '\n', (size_t)n) : NULL;
    if (!stop) return false;
    *start = at + (uint64_t)(stop + 1 - look);
    *len = (size_t)(stop - look);
    while (*len && (look[*len - 1] == '\r' || look[*len - 1] == ' ' || look[*len - 1] == '\t')) (*len)--;
    if (*len <= 2 || *len > BOUNDARY_MAX || look + n - (stop + 1) < 8) return false;
    memcpy(boundary, look, *len);
    return strncasecmp(stop + 1, "Content-", 8) == 0;
}

static int hand_over(const kav_source *source, uint64_t from, uint64_t to, kav_unpack *u)
{
    if (kav_unpack_begin(u, "", 0, UINT64_MAX, KAV_M_MAILPART)) return 1;
    if (!kav_unpack_data(u, version, sizeof version - 1)) kav_range_copy(source, from, to, u);
    return kav_unpack_end(u, 0);
}

int kav_loose_parts(const kav_source *source, kav_unpack *u)
{
    char boundary[BOUNDARY_MAX];
    uint64_t at, start, end, from = 0;
    size_t len;
    for (int found; (found = kav_line_find(source, from, "--", 2, u, &at)) != 0; from = at ? at : 1) {
        if (found < 0) return 1;
        if (!is_boundary(source, at, boundary, &len, &start)) continue;
        int closed = kav_line_find(source, start, boundary, len, u, &end);
        if (closed < 0 || hand_over(source, start, closed ? end : source->size, u)) return 1;
    }
    return 0;
}
