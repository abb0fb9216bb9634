/* Transfer: contents that say of themselves how they are encoded, wherever in a message they stand.
 *
 * Mail readers disagree about where headers end, which boundaries count and what a line is; what one of them decodes
 * must not escape. So each field Content-Transfer-Encoding that names an encoding is looked at, whatever it stands in,
 * and whoever asks is told the contents that may belong to it: from each line below that could be the first of them, up
 * to the line of dashes that stood above. uuencoded and yEnc blocks are told from their first line to their last.
 */
#define _GNU_SOURCE
#include "mail.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LOOK = 65536,
    MARGIN = 64,
    TOKEN_MAX = 200,
    STARTS_MAX = 4, /* lines below a field that may be the first of its content, the one below an empty line apart */
    LETTERS_MIN = 4 /* of a continued line, to be taken for base64 */
};

static const char FIELD[] = "Content-Transfer-Encoding";

typedef struct {
    const kav_source *source;
    kav_unpack *unpack;
    kav_transfer_found found;
    void *context;
    uint64_t dashes;  /* the last line of dashes; UINT64_MAX: none yet */
    uint64_t block;   /* where a block has begun; UINT64_MAX: there is none */
    const char *over; /* the line that ends it */
    uint8_t window[LOOK], header[LOOK];
} finder;

/* Where the line at from ends, its end included. */
static size_t line_stop(const uint8_t *p, size_t from, size_t n)
{
    while (from < n && p[from] != '\n' && p[from] != '\r') from++;
    if (from < n && p[from] == '\r' && from + 1 < n && p[from + 1] == '\n') from++;
    return from < n ? from + 1 : n;
}

static bool blank_line(const uint8_t *p)
{
    return *p == '\n' || *p == '\r';
}

/* As Python's library has it: a name without blanks, and a colon at once. */
static bool is_field(const uint8_t *p, size_t n)
{
    size_t i = 0;
    if (n && (*p == ' ' || *p == '\t')) return true;
    if (n >= 5 && memcmp(p, "From ", 5) == 0) return true;
    while (i < n && p[i] > ' ' && p[i] < 0x7f && p[i] != ':') i++;
    return i < n && p[i] == ':';
}

static bool holds(const uint8_t *p, size_t n, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= n; i++)
        if (strncasecmp((const char *)p + i, word, len) == 0) return true;
    return false;
}

/* The end of a content that begins at body: above the next line that is the last line of dashes again. */
static int find_end(finder *f, uint64_t body, uint64_t *end)
{
    char token[TOKEN_MAX], look[TOKEN_MAX + 8];
    *end = f->source->size;
    ssize_t n = f->dashes == UINT64_MAX ? 0 : kav_source_read(f->source, f->dashes, token, sizeof token);
    size_t len = n > 0 ? line_stop((const uint8_t *)token, 0, (size_t)n) : 0;
    if (len == sizeof token) return 0;
    while (len && strchr(" \t\r\n", token[len - 1])) len--;
    if (len <= 2) return 0;
    uint64_t at;
    for (uint64_t from = body ? body - 1 : 0;; from = at) {
        int found = kav_line_find(f->source, from, token, len, f->unpack, &at);
        if (found <= 0) return found;
        n = kav_source_read(f->source, at, look, sizeof look);
        size_t more = n > (ssize_t)len ? (size_t)n - len : 0, i = 0;
        if (more >= 2 && memcmp(look + len, "--", 2) == 0) i = 2;
        while (i < more && (look[len + i] == ' ' || look[len + i] == '\t')) i++;
        if (i == more || look[len + i] == '\r' || look[len + i] == '\n') break;
        if (at == 0) at = 1;
    }
    *end = at;
    return 0;
}

static int tell(finder *f, uint64_t body, bool base64, bool quoted)
{
    uint64_t end;
    if (body >= f->source->size) return 0;
    if (find_end(f, body, &end) < 0) return 1;
    if (base64 && f->found(f->context, body, end, KAV_TRANSFER_BASE64)) return 1;
    return quoted && f->found(f->context, body, end, KAV_TRANSFER_QUOTED);
}

/* What a line below a field can be, the more likely content the higher. */
enum line_kind { FIELD_LINE, ODD_FIELD, PROSE, LETTERS };

/* Continued lines have parameters: where they are content there is nothing but letters of base64 in them. */
static enum line_kind kind_of(const uint8_t *p, size_t n)
{
    size_t len = 0, at = 0, name = 0;
    while (len < n && p[len] != '\n' && p[len] != '\r') len++;
    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t')) len--;
    while (at < len && (p[at] == ' ' || p[at] == '\t')) at++;
    bool continued = at > 0;
    if (!continued && is_field(p, n)) return FIELD_LINE;
    if (continued) {
        while (len && p[len - 1] == '=') len--;
        for (size_t i = at; i < len; i++)
            if (!isalnum(p[i]) && p[i] != '+' && p[i] != '/') return FIELD_LINE;
        return len >= at + LETTERS_MIN ? LETTERS : FIELD_LINE;
    }
    while (name < len && p[name] != ':') name++;
    if (name < len) return ODD_FIELD;
    return memchr(p, ' ', len) ? PROSE : LETTERS;
}

/* A field of that name may stand at at. Readers begin a content with the first line that is no field, or pass over some
 * of those; and of base64 it matters with which letter it begins. */
static int take_field(finder *f, uint64_t at)
{
    ssize_t got = kav_source_read(f->source, at, f->header, sizeof f->header);
    size_t n = got > 0 ? (size_t)got : 0, i = sizeof FIELD - 1, below;
    const uint8_t *p = f->header;
    while (i < n && (p[i] == ' ' || p[i] == '\t')) i++;
    if (i >= n || p[i] != ':') return 0;
    below = i = line_stop(p, i, n);
    while (i < n && (p[i] == ' ' || p[i] == '\t')) i = line_stop(p, i, n);
    bool base64 = holds(p, i, "base64"), quoted = holds(p, i, "quoted");
    if (!base64 && !quoted) return 0;
    if (base64 && p[sizeof FIELD - 1] != ':' && tell(f, at, true, false)) return 1; /* for some it is no field */
    if (!holds(p, below, "base64")) below = i;                                      /* it stands in a continued line */
    enum line_kind kind, above = FIELD_LINE;
    int starts = 0;
    for (i = below; i < n && !blank_line(p + i); i = line_stop(p, i, n), above = kind) {
        kind = kind_of(p + i, n - i);
        if (kind <= above || starts == STARTS_MAX) continue;
        if (tell(f, at + i, base64, quoted && !starts)) return 1;
        starts++;
    }
    return i < n && tell(f, at + line_stop(p, i, n), base64, quoted);
}

/* What ends the block that begins with this line; NULL: none does. */
static const char *begins_block(const uint8_t *p, size_t n)
{
    if (n > 6 && memcmp(p, "begin ", 6) == 0 && memchr("01234567+-", p[6], 10)) return "end";
    if (n > 13 && memcmp(p, "begin-base64 ", 13) == 0) return "====";
    return n > 8 && memcmp(p, "=ybegin ", 8) == 0 ? "=yend" : NULL;
}

/* The block in hand goes on to stop. */
static int end_block(finder *f, uint64_t stop)
{
    uint64_t at = f->block;
    f->block = UINT64_MAX;
    return at != UINT64_MAX && f->found(f->context, at, stop, KAV_TRANSFER_INLINE);
}

/* A line that may begin or end a block. */
static int take_mark(finder *f, uint64_t at, const uint8_t *p, size_t n)
{
    const char *over = begins_block(p, n);
    size_t len = over || f->block == UINT64_MAX ? 0 : strlen(f->over);
    if (over) {
        if (end_block(f, at)) return 1;
        f->block = at;
        f->over = over;
    } else if (len && n >= len && memcmp(p, f->over, len) == 0 && (n == len || strchr(" \t\f\v\r\n", p[len]))) {
        return end_block(f, at + len);
    }
    return 0;
}

static int take_line(finder *f, uint64_t at, const uint8_t *p, size_t n)
{
    switch (*p) {
    case '-':
        if (n > 2 && p[1] == '-') f->dashes = at;
        return 0;
    case 'C':
    case 'c':
        if (n < sizeof FIELD || strncasecmp((const char *)p, FIELD, sizeof FIELD - 1) != 0) return 0;
        return take_field(f, at);
    case 'b':
    case 'e':
    case '=': return take_mark(f, at, p, n);
    default: return 0;
    }
}

/* The next byte behind a line's end; NULL: none. *feed: the next line feed from p on or any before p, end if none. */
static const uint8_t *next_line(const uint8_t *p, const uint8_t **feed, const uint8_t *end)
{
    if (*feed < p) *feed = memchr(p, '\n', (size_t)(end - p));
    if (!*feed) *feed = end;
    const uint8_t *back = memchr(p, '\r', (size_t)(*feed - p));
    if (back && back + 1 != *feed) return back + 1;
    return *feed < end ? *feed + 1 : NULL;
}

int kav_transfer_find(const kav_source *source, kav_unpack *u, kav_transfer_found found, void *context)
{
    finder *f = malloc(sizeof *f);
    if (!f) return -ENOMEM;
    f->source = source, f->unpack = u, f->found = found, f->context = context, f->dashes = UINT64_MAX;
    f->block = UINT64_MAX;
    int stop = 0;
    bool line = true; /* whether a line begins at from */
    for (uint64_t from = 0; !stop && !kav_unpack_tick(u);) {
        ssize_t n = kav_source_read(source, from, f->window, LOOK);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n <= 0) break;
        bool last = n < LOOK;
        const uint8_t *end = f->window + n, *reach = last ? end : end - MARGIN, *p = f->window;
        const uint8_t *feed = memchr(p, '\n', (size_t)(reach - p));
        if (!feed) feed = reach;
        if (!line) p = next_line(p, &feed, reach);
        for (; p && p < reach && !stop; p = next_line(p, &feed, reach))
            stop = take_line(f, from + (uint64_t)(p - f->window), p, (size_t)(end - p));
        if (last) break;
        line = reach[-1] == '\n' || (reach[-1] == '\r' && *reach != '\n');
        from += (uint64_t)(reach - f->window);
    }
    if (!stop) stop = end_block(f, source->size);
    free(f);
    return stop;
}
