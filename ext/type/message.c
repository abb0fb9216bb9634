/* Mail: one message, known by its header, or an mbox, known by its "From " line.
 *
 * A single telling field at the start is enough when the next line goes on as a header does; otherwise two telling
 * fields within an unbroken header are asked for. "To: be or not to be" alone is prose.
 */
#include "type_parts.h"

#include <string.h>
#include <strings.h>

enum { LINES_MAX = 200 };

/* The length of "Name" when the line begins with a header field, else 0. */
static size_t field_name(const uint8_t *line, size_t len)
{
    size_t n = 0;
    while (n < len && n < 77 && line[n] > ' ' && line[n] < 0x7f && line[n] != ':') n++;
    size_t colon = n;
    while (colon < len && (line[colon] == ' ' || line[colon] == '\t')) colon++;
    return n && colon < len && line[colon] == ':' ? n : 0;
}

/* Whether name is one of the words, which stand with one blank after each. */
static bool one_of(const uint8_t *name, size_t len, const char *words)
{
    for (const char *word = words; *word; word = strchr(word, ' ') + 1)
        if (strncasecmp((const char *)name, word, len) == 0 && word[len] == ' ') return true;
    return false;
}

/* Fields that a message may begin with and other texts seldom do, by their initials. */
static const char *opening_fields(uint8_t initial)
{
    switch (initial | 0x20) {
    case 'a': return "ARC-Seal ";
    case 'd': return "Date Delivered-To Delivery-Date DKIM-Signature ";
    case 'e': return "Envelope-To ";
    case 'f': return "From For ";
    case 'm': return "Message-ID ";
    case 'r': return "Received Return-Path Received-SPF ";
    case 's': return "Subject ";
    case 't': return "To ";
    case 'x':
        return "X-Original-To X-Envelope-From X-UIDL X-Apparently-To X-Real-To X-Sieve X-EVS X-Mozilla-Status "
               "X-Account-Key X-Gmail-Received ";
    default: return "";
    }
}

/* More fields, of which two of any kind make a message. */
static const char *other_fields(uint8_t initial)
{
    switch (initial | 0x20) {
    case 'b': return "Bcc ";
    case 'c': return "Cc Content-Type Content-Transfer-Encoding Content-Disposition ";
    case 'e': return "Errors-To ";
    case 'i': return "In-Reply-To ";
    case 'l': return "List-Id ";
    case 'm': return "MIME-Version ";
    case 'r': return "Reply-To References Resent-From ";
    case 's': return "Sender ";
    case 'u': return "User-Agent ";
    case 'x': return "X-Mailer ";
    default: return "";
    }
}

static bool opens_message(const uint8_t *name, size_t len)
{
    return one_of(name, len, opening_fields(*name));
}

static bool is_telling(const uint8_t *name, size_t len)
{
    return opens_message(name, len) || one_of(name, len, other_fields(*name));
}

/* As kav_head_line, but a carriage return alone ends a line as well: some mail readers have it so. */
static size_t header_line(const kav_head *h, size_t from, size_t *next)
{
    size_t len = kav_head_line(h, from, next);
    const uint8_t *back = memchr(h->head + from, '\r', len);
    if (!back || back + 1 == h->head + from + len) return len;
    len = (size_t)(back - (h->head + from));
    *next = from + len + 1;
    return len;
}

/* Whether the header that begins at from looks like a message's. */
static bool is_header(const kav_head *h, size_t from, bool at_start)
{
    size_t telling = 0, len, next;
    bool opened = false;
    for (int line = 0; line < LINES_MAX && from < h->len; line++, from = next) {
        const uint8_t *p = h->head + from;
        len = header_line(h, from, &next);
        if (len == 0) return opened || telling >= 2;
        if (line && (*p == ' ' || *p == '\t')) continue;
        size_t name = field_name(p, len);
        if (!name) return telling >= 2; /* a header that breaks off: mail readers show the rest as the body */
        if (line == 0) opened = at_start && opens_message(p, name);
        telling += is_telling(p, name);
        if (telling >= 3) return true;
    }
    return telling >= 2;
}

enum kav_format kav_type_message(const kav_head *h)
{
    size_t at = KAV_HEAD_AT(h, 0, "\xef\xbb\xbf") ? 3 : 0, next;
    if (at >= h->len) return KAV_FMT_UNKNOWN;
    bool from_line = KAV_HEAD_AT(h, at, "From "), quoted = KAV_HEAD_AT(h, at, ">From ");
    if (from_line || quoted) {
        kav_head_line(h, at, &next);
        size_t following, len = kav_head_line(h, next, &following);
        if (next < h->len && (field_name(h->head + next, len) || KAV_HEAD_AT(h, next, ">From ")))
            return from_line ? KAV_FMT_MBOX : KAV_FMT_MAIL;
        return KAV_FMT_UNKNOWN;
    }
    if (KAV_HEAD_AT(h, at, "Hi. This is the qmail-send")) return KAV_FMT_MAIL;
    bool at_start = true;
    for (int blank = 0; blank < 16 && at < h->len && (h->head[at] == '\n' || h->head[at] == '\r'); blank++, at++)
        at_start = false;
    return is_header(h, at, at_start) ? KAV_FMT_MAIL : KAV_FMT_UNKNOWN;
}
