#include "patch.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is kept ---------------------------------------------------------------------------------------------- */

typedef struct {
    const kav_lines *base;
    uint32_t *by_row; /* by line of the base: its index in base->lines, counted from 1; 0: not there */
    uint32_t rows;    /* in by_row and moved */
    uint32_t *moved;
    uint32_t last; /* line of the base that was found last: most often the one behind it is next */
} finder;

static bool same(const kav_line *a, const kav_line *b)
{
    return !kav_line_less(a, b) && !kav_line_less(b, a);
}

enum { AHEAD = 12 };

/* The line of the base that is this one; 0: none, or it is given away already. */
static uint32_t find(finder *f, const kav_line *line)
{
    const kav_lines *base = f->base;
    uint32_t row = f->last + 1;
    /* Digests lie in their own order, all over the memory: they are asked for before their turn. */
    if (f->rows > AHEAD && row < f->rows - AHEAD && f->by_row[row + AHEAD])
        __builtin_prefetch(&base->lines[f->by_row[row + AHEAD] - 1]);
    if (row >= f->rows || !f->by_row[row] || !same(&base->lines[f->by_row[row] - 1], line)) {
        uint64_t at = kav_lines_seek(base, 0, line);
        if (at == base->count || !same(&base->lines[at], line)) return 0;
        row = base->lines[at].row;
    }
    if (f->moved[row]) return 0;
    return f->last = row;
}

static bool prepare(finder *f, kav_patch *out)
{
    for (uint64_t i = 0; i < f->base->count; i++) {
        uint32_t row = f->base->lines[i].row;
        if (row == UINT32_MAX) return false; /* no text has so many lines */
        if (row >= f->rows) f->rows = row + 1;
    }
    if (kav_buffer_add(&out->moved, NULL, f->rows * sizeof *f->moved) == SIZE_MAX) return false;
    f->moved = KAV_ITEM(out->moved, uint32_t, 0);
    f->by_row = calloc(f->rows, sizeof *f->by_row);
    if (!f->by_row) return false;
    for (uint64_t i = 0; i < f->base->count; i++) f->by_row[f->base->lines[i].row] = (uint32_t)i + 1;
    return true;
}

enum kav_lines_error kav_patch_split(const kav_lines_text *text, const kav_lines *base, kav_patch *out)
{
    finder f = {.base = base, .rows = 1};
    const char *at = text->text, *end = at + text->length;
    if (base->count >= UINT32_MAX || !prepare(&f, out)) return KAV_LINES_MEMORY;
    for (uint32_t row = 1; at < end && row < UINT32_MAX; row++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        kav_line line;
        kav_line_digest(text, at, (size_t)((stop ? stop : end) - at), &line);
        uint32_t found = find(&f, &line);
        if (found) {
            f.moved[found] = row;
            out->kept++;
            kav_buffer_add(&out->fresh, "\n", 1);
        } else {
            kav_buffer_add(&out->fresh, at, (size_t)(next - at));
        }
        at = next;
    }
    free(f.by_row);
    kav_buffer_add(&out->fresh, at, (size_t)(end - at)); /* lines beyond all numbers are the reader's to refuse */
    return kav_buffer_ok(&out->fresh) ? KAV_LINES_OK : KAV_LINES_MEMORY;
}

void kav_patch_free(kav_patch *patch)
{
    kav_buffer_free(&patch->fresh);
    kav_buffer_free(&patch->moved);
}

/* ---- their digests --------------------------------------------------------------------------------------------- */

enum kav_lines_error kav_patch_lines(const kav_lines *base, const kav_moved *moved, const kav_lines *fresh,
                                     const uint8_t source[32], kav_buffer *out)
{
    uint64_t next = 0;
    if (!kav_lines_begin(out, source)) return KAV_LINES_MEMORY;
    for (uint64_t i = 0; i <= base->count; i++) {
        bool more = i < base->count;
        kav_line line = {0};
        if (more) {
            line = base->lines[i];
            line.row = kav_moved_line(moved, line.row);
            if (!line.row) continue;
        }
        while (next < fresh->count && (!more || kav_line_less(&fresh->lines[next], &line)))
            kav_buffer_add(out, &fresh->lines[next++], sizeof line);
        if (!more) break;
        if (next < fresh->count && same(&fresh->lines[next], &line)) { /* twice in the text: the first one counts */
            if (fresh->lines[next].row < line.row) line.row = fresh->lines[next].row;
            next++;
        }
        kav_buffer_add(out, &line, sizeof line);
    }
    if (!kav_buffer_ok(out)) return KAV_LINES_MEMORY;
    kav_lines_finish(out);
    return KAV_LINES_OK;
}

/* ---- the part -------------------------------------------------------------------------------------------------- */

bool kav_patch_write(const uint8_t *const *parts, uint32_t count, const kav_moved *moved, const uint8_t source[32],
                     kav_buffer *out)
{
    kav_part_begin(out);
    kav_part_table(out, KAV_TAB_DATABASE, kav_part_data(parts[0], KAV_TAB_DATABASE),
                   kav_part_count(parts[0], KAV_TAB_DATABASE, 1));
    kav_member members[2];
    for (uint32_t i = 0; i < count; i++) {
        members[i].checksum = kav_part_of(parts[i])->checksum;
        memcpy(members[i].source, kav_part_of(parts[i])->source, sizeof members[i].source);
    }
    kav_part_table(out, KAV_TAB_PATCHED, members, count * sizeof *members);
    kav_part_table(out, KAV_TAB_MOVED, moved->now, moved->count * sizeof *moved->now);
    return kav_part_finish(out, KAV_P_PATCH, 0, source);
}
