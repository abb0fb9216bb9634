/* Transfer: contents that say of themselves how they are encoded, wherever in a message they stand.
 *
 * Mail readers disagree about where headers end, which boundaries count and what a line is; what one of them decodes
 * must not escape. So each field Content-Transfer-Encoding that names an encoding is looked at, whatever it stands in,
 * and whoever asks is told the contents that may belong to it: from the first line below that is no field, and from the
 * first empty line, up to the line of dashes that stood above. uuencoded and yEnc blocks are told by their first line.
 */
#define _GNU_SOURCE
#include "mail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LOOK = 65536, MARGIN = 64, TOKEN_MAX = 200 };

static const char FIELD[] = "Content-Transfer-Encoding";

typedef struct {
    const kav_source *source;
    kav_unpack *unpack;
    kav_transfer_found found;
    void *context;
    uint64_t dashes; /* the last line of dashes; UINT64_MAX: none yet */
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

/* A field of that name may stand at at. */
static int take_field(finder *f, uint64_t at)
{
    ssize_t got = kav_source_read(f->source, at, f->header, sizeof f->header);
    size_t n = got > 0 ? (size_t)got : 0, i = sizeof FIELD - 1, strict = 0;
    const uint8_t *p = f->header;
    while (i < n && (p[i] == ' ' || p[i] == '\t')) i++;
    if (i >= n || p[i] != ':') return 0;
    do i = line_stop(p, i, n);
    while (i < n && (p[i] == ' ' || p[i] == '\t'));
    bool base64 = holds(p, i, "base64"), quoted = holds(p, i, "quoted");
    if (!base64 && !quoted) return 0;
    for (; i < n && !blank_line(p + i); i = line_stop(p, i, n))
        if (!strict && !is_field(p + i, n - i)) strict = i;
    if (strict && tell(f, at + strict, base64, quoted)) return 1;
    return i < n && tell(f, at + line_stop(p, i, n), base64, quoted);
}

static bool begins_block(const uint8_t *p, size_t n)
{
    return (n > 6 && memcmp(p, "begin ", 6) == 0 && p[6] >= '0' && p[6] <= '7') ||
           (n > 13 && memcmp(p, "begin-base64 ", 13) == 0) || (n > 8 && memcmp(p, "=ybegin ", 8) == 0);
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
    case '=': return begins_block(p, n) && f->found(f->context, at, f->source->size, KAV_TRANSFER_INLINE);
    default: return 0;
    }
}

/* The next byte behind a line's end; NULL: none. */
static const uint8_t *next_line(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *feed = memchr(p, '\n', (size_t)(end - p));
    const uint8_t *back = memchr(p, '\r', (size_t)((feed ? feed : end) - p));
    if (back && back + 1 != feed) return back + 1;
    return feed ? feed + 1 : NULL;
}

int kav_transfer_find(const kav_source *source, kav_unpack *u, kav_transfer_found found, void *context)
{
    finder *f = malloc(sizeof *f);
    if (!f) return -ENOMEM;
    f->source = source, f->unpack = u, f->found = found, f->context = context, f->dashes = UINT64_MAX;
    int stop = 0;
    bool line = true; /* whether a line begins at from */
    for (uint64_t from = 0; !stop && !kav_unpack_tick(u);) {
        ssize_t n = kav_source_read(source, from, f->window, LOOK);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n <= 0) break;
        bool last = n < LOOK;
        const uint8_t *end = f->window + n, *reach = last ? end : end - MARGIN, *p = f->window;
        if (!line) p = next_line(p, reach);
        for (; p && p < reach && !stop; p = next_line(p, reach))
            stop = take_line(f, from + (uint64_t)(p - f->window), p, (size_t)(end - p));
        if (last) break;
        line = reach[-1] == '\n' || (reach[-1] == '\r' && *reach != '\n');
        from += (uint64_t)(reach - f->window);
    }
    free(f);
    return stop;
}
