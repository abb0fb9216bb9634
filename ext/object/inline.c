/* Inline: files that stand in a text as uuencoded or yEnc blocks, as mail had them before MIME and as news still has.
 *
 *     begin 644 name        begin-base64 644 name        =ybegin line=128 size=5 name=name
 *     data lines            data lines                   data lines
 *     end                   ====                         =yend size=5
 *
 * A block becomes a member with its first line of data, so that prose with "begin 100 words" makes none. It goes on to
 * its end mark or the next block: lines between that are no data are passed over, a line that is too short has zeros
 * for what is missing, and of one that is too long the rest is left. All of that some mail readers do, and what they
 * show must not escape. A carriage return alone ends a line as well.
 */
#define _GNU_SOURCE
#include "mail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_ROOM = 2048, NAME_ROOM = 256, CHUNK = 32768 };

enum inline_kind { NO_BLOCK, UU, BASE64, YENC };

struct kav_inline {
    kav_unpack *unpack;
    enum inline_kind kind;
    bool open;    /* the member is begun */
    bool dropped; /* no more bytes of this member are wanted */
    bool stop;
    bool strict; /* a block without its end, or with other lines in it, is damaged */
    bool odd;    /* it has other lines in it */
    bool first;  /* no line has followed the one that begins the block */
    bool any;    /* a member was begun */
    bool inside; /* what is in hand goes on with a line of which a piece was taken already */
    size_t name_len, line_len;
    kav_base64 base64;
    bool escaped; /* yEnc: the last character was '=' */
    char name[NAME_ROOM];
    uint8_t line[LINE_ROOM], out[LINE_ROOM];
};

kav_inline *kav_inline_new(kav_unpack *u)
{
    kav_inline *in = calloc(1, sizeof *in);
    if (in) in->unpack = u;
    return in;
}

/* over: it came to its end mark. */
static void end_member(kav_inline *in, bool over)
{
    bool damaged = in->strict && (in->odd || !over);
    if (in->open && kav_unpack_end(in->unpack, damaged ? KAV_R_DAMAGED : 0)) in->stop = true;
    in->open = in->dropped = false;
    in->kind = NO_BLOCK;
}

static void give(kav_inline *in, size_t len)
{
    if (!in->open) {
        if (kav_unpack_begin(in->unpack, in->name, in->name_len, UINT64_MAX, KAV_M_MAILPART)) {
            in->stop = true;
            return;
        }
        in->open = in->any = true;
    }
    if (!in->dropped && len && kav_unpack_data(in->unpack, in->out, len)) in->dropped = true;
}

static void expect(kav_inline *in, enum inline_kind kind, const uint8_t *name, size_t len)
{
    in->kind = kind;
    in->name_len = len < NAME_ROOM ? len : NAME_ROOM;
    memcpy(in->name, name, in->name_len);
    in->base64 = (kav_base64){0};
    in->escaped = in->odd = false;
    in->first = true;
}

static bool starts(const uint8_t *line, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

/* How many bytes of "644 name" are a mode, as strict or as generous as readers are: octal, with a sign and "0o". */
static size_t mode_len(const uint8_t *p, size_t len)
{
    size_t at = len && (*p == '+' || *p == '-'), digits = 0;
    if (at + 1 < len && p[at] == '0' && (p[at + 1] | 0x20) == 'o') at += 2;
    for (; at < len && ((p[at] >= '0' && p[at] <= '7') || (digits && p[at] == '_')); at++) digits++;
    return digits ? at : 0;
}

/* Whether a block begins with the line; if so, it is the one in hand. Data of yEnc may look so. */
static bool begins(kav_inline *in, const uint8_t *line, size_t len)
{
    bool base64 = in->kind != YENC && starts(line, len, "begin-base64 ");
    if (base64 || (in->kind != YENC && starts(line, len, "begin "))) {
        size_t at = base64 ? 13 : 6, mode = mode_len(line + at, len - at);
        at += mode;
        if (!mode || (at < len && line[at] != ' ')) return false;
        end_member(in, false);
        at += at < len;
        expect(in, base64 ? BASE64 : UU, line + at, len - at);
        return true;
    }
    if (!starts(line, len, "=ybegin ")) return false;
    const uint8_t *name = memmem(line, len, "name=", 5), *end = line + len;
    name = name ? name + 5 : end;
    end_member(in, false);
    expect(in, YENC, name, (size_t)(end - name));
    return true;
}

/* Whether it can be a line of uuencoded data. Some readers take letters of another alphabet as well, which prose has:
 * those must fit exactly, and have to stand in a block that has data. */
static bool is_uu(const kav_inline *in, const uint8_t *line, size_t len, size_t chars)
{
    size_t own = 0, most = len < chars + 1 ? len : chars + 1;
    while (own < most && line[own] >= ' ' && line[own] <= '`') own++;
    return len && (own == most || ((in->open || in->first) && (len - 1 == chars || len == chars + 2)));
}

/* False: this is no line of uuencoded data. What follows the data in a line is a checksum. */
static bool uu_line(kav_inline *in, const uint8_t *line, size_t len)
{
    size_t bytes = len ? (line[0] - ' ') & 63u : 0, chars = (bytes + 2) / 3 * 4;
    if (!is_uu(in, line, len, chars)) return false;
    for (size_t i = 0; i < chars; i += 4) {
        uint32_t quad = 0;
        for (size_t j = 1; j <= 4; j++) quad = quad << 6 | (i + j < len ? (line[i + j] - ' ') & 63u : 0);
        in->out[i / 4 * 3] = (uint8_t)(quad >> 16);
        in->out[i / 4 * 3 + 1] = (uint8_t)(quad >> 8);
        in->out[i / 4 * 3 + 2] = (uint8_t)quad;
    }
    if (bytes || line[0] == '`') give(in, bytes); /* a blank alone stands in prose as well */
    return true;
}

static void yenc_line(kav_inline *in, const uint8_t *line, size_t len)
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '=' && !in->escaped) {
            in->escaped = true;
            continue;
        }
        in->out[out++] = (uint8_t)(line[i] - 42 - (in->escaped ? 64 : 0));
        in->escaped = false;
    }
    give(in, out);
}

static bool is_over(const kav_inline *in, const uint8_t *line, size_t len)
{
    if (in->inside) return false;
    while (len && in->kind != YENC && strchr(" \t\f\v", line[len - 1])) len--;
    switch (in->kind) {
    case UU: return len == 3 && memcmp(line, "end", 3) == 0;
    case BASE64: return len == 4 && memcmp(line, "====", 4) == 0;
    case YENC: return starts(line, len, "=yend");
    case NO_BLOCK: break;
    }
    return false;
}

/* A line of the block in hand. False: it is none. */
static bool take_data(kav_inline *in, const uint8_t *line, size_t len)
{
    switch (in->kind) {
    case UU: return !in->inside && uu_line(in, line, len);
    case BASE64: give(in, kav_base64_decode(&in->base64, line, len, in->out)); return true;
    case YENC:
        if (in->inside || !starts(line, len, "=ypart ")) yenc_line(in, line, len);
        return true;
    case NO_BLOCK: break;
    }
    return true;
}

/* The line in hand, or a piece of it. */
static void take_line(kav_inline *in)
{
    const uint8_t *line = in->line;
    size_t len = in->line_len;
    in->line_len = 0;
    if (len == 0 || (!in->inside && begins(in, line, len))) return;
    if (is_over(in, line, len)) end_member(in, true);
    else if (!take_data(in, line, len)) in->odd = true;
    in->first = false;
}

int kav_inline_feed(kav_inline *in, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len && !in->stop; i++) {
        bool over = bytes[i] == '\n' || bytes[i] == '\r';
        if (!over) in->line[in->line_len++] = bytes[i];
        if (!over && in->line_len < LINE_ROOM) continue;
        take_line(in);
        in->inside = !over;
    }
    return in->stop;
}

int kav_inline_end(kav_inline *in)
{
    if (in->line_len && !in->stop) take_line(in);
    end_member(in, false);
    int stop = in->stop;
    free(in);
    return stop;
}

/* What is there of the word is right. */
static bool may_be(const uint8_t *p, const uint8_t *end, const char *word)
{
    size_t left = (size_t)(end - p), len = strlen(word);
    return memcmp(p, word, left < len ? left : len) == 0;
}

static bool may_begin(const uint8_t *p, const uint8_t *end)
{
    return may_be(p, end, "begin ") || may_be(p, end, "begin-base64 ") || may_be(p, end, "=ybegin ");
}

bool kav_inline_hint(uint32_t *state, const uint8_t *bytes, size_t len)
{
    const uint8_t *p = bytes, *end = bytes + len, *feed = NULL, *back;
    /* state: 0 at a line's start, 1 within a line, 2 found. A word cut by the edge of a piece counts as found. */
    while (p < end && *state != 2) {
        if (*state == 0) {
            *state = (*p == 'b' || *p == '=') && may_begin(p, end) ? 2 : *p != '\n' && *p != '\r';
            p += *state == 0;
        } else {
            if (!feed || feed < p) feed = memchr(p, '\n', (size_t)(end - p));
            if (!feed) feed = end;
            back = memchr(p, '\r', (size_t)(feed - p));
            p = back && (back + 1 != feed || feed == end) ? back : feed;
            if (p == end) break;
            p++;
            *state = 0;
        }
    }
    return *state == 2;
}

int kav_inline_file(const kav_source *source, kav_unpack *u)
{
    uint8_t buffer[CHUNK];
    kav_inline *in = kav_inline_new(u);
    if (!in) return -ENOMEM;
    in->strict = true;
    for (uint64_t at = 0; at < source->size && !kav_unpack_tick(u);) {
        ssize_t n = kav_source_read(source, at, buffer, sizeof buffer);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n <= 0 || kav_inline_feed(in, buffer, (size_t)n)) break;
        at += (uint64_t)n;
    }
    kav_inline_feed(in, (const uint8_t *)"\n", 1);
    bool any = in->any;
    kav_inline_end(in);
    return any ? 0 : KAV_OPEN_NOT_MINE;
}
