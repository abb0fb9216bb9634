/* Moved: where the lines of an older text stand in the text of now, for what was compiled from the older one
 * (ext/match/patch.h says why). */
#ifndef KAV_MOVED_H
#define KAV_MOVED_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint32_t *now; /* by older line number: its number now, 0: gone. NULL: nothing has moved */
    uint32_t count;
} kav_moved;

/* The number of a line now; 0: it is gone, and what was made from it is as good as not there. */
static inline uint32_t kav_moved_line(const kav_moved *moved, uint32_t line)
{
    if (!moved->now) return line;
    return line < moved->count ? moved->now[line] : 0;
}

#endif
