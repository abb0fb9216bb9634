/* Mbox: messages one after the other, each below a "From " line that follows an empty line or
 * names a time.
 *
 * A "From " line counts only when a header field comes next, because mailboxes of some kinds leave "From " in the text
 * as it is and a message must not be cut there: its attachments would lose their header.
 */
#include "mail.h"

#include <string.h>

enum { FROM_LINE_MAX = 1024, FIELD_MAX = 80 };

/* Whether bytes begin with "Name:" or ">From ", which some mailboxes have below the first line. */
static bool is_field(const uint8_t *p, size_t len)
{
    size_t n = 0;
    if (len >= 6 && memcmp(p, ">From ", 6) == 0) return true;
    while (n < len && n < FIELD_MAX && p[n] > ' ' && p[n] < 0x7f && p[n] != ':') n++;
    return n && n < len && p[n] == ':';
}

static bool digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Whether a time like 12:34 stands in the line. */
static bool has_time(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 4; p++)
        if (digit(p[0]) && p[1] == ':' && digit(p[2]) && digit(p[3])) return true;
    return false;
}

/* Whether the line before at is empty; before = how many of the bytes there are at hand, up to 3. */
static bool after_empty_line(const uint8_t *at, size_t before)
{
    if (before < 2) return true;
    return at[-2] == '\n' || (at[-2] == '\r' && (before == 2 || at[-3] == '\n'));
}

/* Whether the "From " line at at begins a message; *start is where its header begins. */
static bool is_separator(const kav_source *source, uint64_t at, uint64_t *start)
{
    uint8_t look[FROM_LINE_MAX + FIELD_MAX];
    size_t before = at < 3 ? (size_t)at : 3;
    ssize_t n = kav_source_read(source, at - before, look, sizeof look);
    if (n <= (ssize_t)before) return false;
    const uint8_t *line = look + before, *stop = memchr(line, '\n', (size_t)n - before);
    if (!stop || !(after_empty_line(line, before) || has_time(line, stop))) return false;
    *start = at + (uint64_t)(stop + 1 - line);
    return is_field(stop + 1, (size_t)(look + n - stop - 1));
}

/* The next separator that begins after from. As kav_line_find; *start is where the message behind it begins. */
static int find_separator(const kav_source *source, uint64_t from, kav_unpack *u, uint64_t *at, uint64_t *start)
{
    for (int found; (found = kav_line_find(source, from, "From ", 5, u, at)) != 0; from = *at) {
        if (found < 0) return -1;
        if (is_separator(source, *at, start)) return 1;
        if (*at == 0) *at = 1;
    }
    return 0;
}

static int hand_over(const kav_source *source, uint64_t from, uint64_t to, kav_unpack *u)
{
    if (from >= to) return 0;
    if (kav_unpack_begin(u, "", 0, to - from, KAV_M_MAILPART)) return 1;
    kav_range_copy(source, from, to, u);
    return kav_unpack_end(u, 0);
}

int kav_open_mbox(const kav_source *source, kav_type type, kav_unpack *u)
{
    (void)type;
    uint64_t message = 0, from = 0, at, start; /* what stands before the first separator is a message as well */
    for (;;) {
        int found = find_separator(source, from, u, &at, &start);
        if (found < 0) return 0;
        if (hand_over(source, message, found ? at : source->size, u) || !found) return 0;
        message = start;
        from = start - 1; /* the line feed before the header */
    }
}
