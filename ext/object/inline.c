/* Inline: files that stand in a text as uuencoded or yEnc blocks, as mail had them before MIME and as news still has.
 *
 *     begin 644 name        begin-base64 644 name        =ybegin line=128 size=5 name=name
 *     data lines            data lines                   data lines
 *     end                   ====                         =yend size=5
 *
 * A block is only begun when its first data line can be one, so that prose with "begin 100 words" makes no member.
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
    bool strict;   /* a block without its end is damaged */
    bool any;      /* a member was begun */
    bool too_long; /* the line in hand does not fit: it is no line of a block */
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
    if (in->open && kav_unpack_end(in->unpack, in->strict && !over ? KAV_R_DAMAGED : 0)) in->stop = true;
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
    in->escaped = false;
}

static bool starts(const uint8_t *line, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

static void outside(kav_inline *in, const uint8_t *line, size_t len)
{
    bool base64 = starts(line, len, "begin-base64 ");
    if (base64 || starts(line, len, "begin ")) {
        size_t at = base64 ? 13 : 6, digits = 0;
        while (at < len && line[at] >= '0' && line[at] <= '7') at++, digits++;
        if (digits >= 3 && digits <= 6 && at + 1 < len && line[at] == ' ')
            expect(in, base64 ? BASE64 : UU, line + at + 1, len - at - 1);
    } else if (starts(line, len, "=ybegin ")) {
        const uint8_t *name = memmem(line, len, "name=", 5);
        if (name) expect(in, YENC, name + 5, (size_t)(line + len - name - 5));
    }
}

/* False: this is no line of uuencoded data. Missing blanks at the end are put back, characters behind are a checksum.
 */
static bool uu_line(kav_inline *in, const uint8_t *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (line[i] < ' ' || line[i] > '`') return false;
    size_t bytes = len ? (line[0] - ' ') & 63u : 0, chars = (bytes + 2) / 3 * 4;
    if (len == 0 || len - 1 + 3 < chars || len - 1 > chars + 2) return false;
    for (size_t i = 0; i < chars; i += 4) {
        uint32_t quad = 0;
        for (size_t j = 1; j <= 4; j++) quad = quad << 6 | (i + j < len ? (line[i + j] - ' ') & 63u : 0);
        in->out[i / 4 * 3] = (uint8_t)(quad >> 16);
        in->out[i / 4 * 3 + 1] = (uint8_t)(quad >> 8);
        in->out[i / 4 * 3 + 2] = (uint8_t)quad;
    }
    give(in, bytes);
    return true;
}

static bool base64_line(kav_inline *in, const uint8_t *line, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    for (size_t i = 0; i < len; i++)
        if (!memchr(letters, line[i], sizeof letters - 1)) return false;
    give(in, kav_base64_decode(&in->base64, line, len, in->out));
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

static void take_line(kav_inline *in)
{
    const uint8_t *line = in->line;
    size_t len = in->line_len;
    bool good = !in->too_long, over = false;
    if (len && line[len - 1] == '\r') len--;
    switch (in->kind) {
    case UU:
        over = len == 3 && memcmp(line, "end", 3) == 0;
        good = good && !over && uu_line(in, line, len);
        break;
    case BASE64:
        over = len == 4 && memcmp(line, "====", 4) == 0;
        good = good && !over && len && base64_line(in, line, len);
        break;
    case YENC:
        over = starts(line, len, "=yend");
        good = good && !over;
        if (good && !starts(line, len, "=ypart ")) yenc_line(in, line, len);
        break;
    case NO_BLOCK: break;
    }
    if (in->kind != NO_BLOCK && !good) end_member(in, over);
    if (in->kind == NO_BLOCK && !over && !in->too_long && !in->stop) outside(in, line, len);
}

int kav_inline_feed(kav_inline *in, const uint8_t *bytes, size_t len)
{
    const uint8_t *end = bytes + len;
    while (bytes < end && !in->stop) {
        const uint8_t *stop = memchr(bytes, '\n', (size_t)(end - bytes));
        size_t piece = (size_t)((stop ? stop : end) - bytes), room = LINE_ROOM - in->line_len;
        if (piece > room) in->too_long = true;
        memcpy(in->line + in->line_len, bytes, piece < room ? piece : room);
        in->line_len += piece < room ? piece : room;
        bytes += piece;
        if (!stop) break;
        bytes++;
        take_line(in);
        in->line_len = 0;
        in->too_long = false;
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

bool kav_inline_hint(uint32_t *state, const uint8_t *bytes, size_t len)
{
    const uint8_t *p = bytes, *end = bytes + len;
    /* state: 0 at a line's start, 1 within a line, 2 found. A word cut by the edge of a piece counts as found. */
    while (p < end && *state != 2) {
        if (*state == 0) {
            size_t left = (size_t)(end - p);
            const char *word = *p == 'b' ? "begin" : *p == '=' ? "=ybegin " : NULL;
            if (word && memcmp(p, word, left < strlen(word) ? left : strlen(word)) == 0) *state = 2;
            else *state = 1;
        } else {
            p = memchr(p, '\n', (size_t)(end - p));
            if (!p) break;
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
