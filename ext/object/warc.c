/* Warc: the records of a web archive. Our own reader, because libarchive's (3.6) loses its place after a record of more
 * than one read and passes over all but two kinds of record.
 *
 *     WARC/1.0 CRLF  Name: value CRLF ... CRLF  <Content-Length bytes> CRLF CRLF  WARC/1.0 ...
 *
 * A record that holds an HTTP answer gives its body: that is the file somebody would have received. */
#define _GNU_SOURCE
#include "opener.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WINDOW (64u << 10) /* a record's header, and the header of an answer in it, must end within this */

typedef struct {
    uint64_t begin, length; /* of the content */
    const char *name;       /* in the window */
    size_t name_len;
} record;

/* Where the empty line after a header ends; 0: not in these bytes. */
static size_t header_end(const char *p, size_t len)
{
    const char *crlf = memmem(p, len, "\r\n\r\n", 4), *lf = memmem(p, len, "\n\n", 2);
    if (crlf != NULL && (lf == NULL || crlf < lf)) return (size_t)(crlf - p) + 4;
    return lf != NULL ? (size_t)(lf - p) + 2 : 0;
}

/* The value of a field in a header, without blanks around it. */
static const char *field(const char *p, size_t len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);
    const char *end = p + len;
    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        if (line_end == NULL) line_end = end;
        if ((size_t)(line_end - p) > name_len && p[name_len] == ':' && strncasecmp(p, name, name_len) == 0) {
            const char *from = p + name_len + 1, *to = line_end;
            while (from < to && (*from == ' ' || *from == '\t')) from++;
            while (to > from && (to[-1] == ' ' || to[-1] == '\r')) to--;
            *value_len = (size_t)(to - from);
            return from;
        }
        p = line_end < end ? line_end + 1 : end;
    }
    return NULL;
}

static bool parse_length(const char *p, size_t len, uint64_t *out)
{
    uint64_t n = 0;
    if (p == NULL || len == 0 || len > 18) return false;
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        n = n * 10 + (uint64_t)(p[i] - '0');
    }
    *out = n;
    return true;
}

/* Read the header of the record at *at into the window. 1; 0 at the end of the file; -EBADMSG; another -errno. */
static int next_record(const kav_source *s, uint64_t *at, char *window, record *r)
{
    ssize_t n = kav_source_read(s, *at, window, WINDOW);
    if (n < 0) return (int)n;
    size_t len = (size_t)n, skip = 0, value_len = 0;
    while (skip < len && (window[skip] == '\r' || window[skip] == '\n')) skip++;
    if (skip == len) return *at + len >= s->size ? 0 : -EBADMSG;
    if (len - skip < 5 || memcmp(window + skip, "WARC/", 5) != 0) return -EBADMSG;
    size_t header = header_end(window + skip, len - skip);
    if (header == 0) return -EBADMSG;
    const char *value = field(window + skip, header, "Content-Length", &value_len);
    if (!parse_length(value, value_len, &r->length)) return -EBADMSG;
    r->name_len = 0;
    r->name = field(window + skip, header, "WARC-Target-URI", &r->name_len);
    if (r->name == NULL) r->name = "";
    r->begin = *at + skip + header;
    *at = r->begin + r->length;
    return 1;
}

/* Leave out the header of an HTTP answer. */
static uint64_t body_begin(const kav_source *s, const record *r, char *window)
{
    size_t want = r->length < WINDOW ? (size_t)r->length : WINDOW;
    ssize_t n = kav_source_read(s, r->begin, window, want);
    if (n < 5 || memcmp(window, "HTTP/", 5) != 0) return r->begin;
    return r->begin + header_end(window, (size_t)n);
}

/* Returns the reasons of the member. */
static uint32_t pass_content(const kav_source *s, const record *r, char *window, kav_unpack *u)
{
    uint64_t at = body_begin(s, r, window), end = r->begin + r->length;
    while (at < end) {
        size_t want = end - at < WINDOW ? (size_t)(end - at) : WINDOW;
        ssize_t n = kav_source_read(s, at, window, want);
        if (n <= 0) return n < 0 ? KAV_R_UNREADABLE : KAV_R_DAMAGED;
        if (kav_unpack_data(u, window, (size_t)n) != 0) return 0;
        at += (uint64_t)n;
    }
    return 0;
}

int kav_open_warc(const kav_source *source, kav_type type, kav_unpack *u)
{
    (void)type;
    uint64_t at = 0;
    record r;
    int more;
    char *window = malloc(WINDOW);
    if (window == NULL) return -ENOMEM;
    while ((more = next_record(source, &at, window, &r)) == 1) {
        if (kav_unpack_begin(u, r.name, r.name_len, r.length, 0) != 0) break;
        if (kav_unpack_end(u, pass_content(source, &r, window, u)) != 0) break;
    }
    if (more < 0) kav_unpack_flag(u, more == -EBADMSG ? KAV_R_DAMAGED : KAV_R_UNREADABLE);
    free(window);
    return 0;
}
