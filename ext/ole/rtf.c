/* Rtf: the objects embedded in a text of RTF: "{\object ... {\*\objdata 0105...}}", an OLE 1 stream in hex digits.
 *
 *     version | kind | length, class | length, topic | length, item | length, data       all lengths of four bytes
 *
 * The data is a compound file or a package. As for those who read RTF, groups inside the digits are passed over, and
 * so is everything that is no digit.
 */
#include "document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK     (64u << 10)
#define WORD_MAX  32
#define CLASS_MAX 64
#define TEXTS     3 /* class, topic, item */

enum { PLAIN, SLASH, WORD, NUMBER };

typedef struct {
    kav_unpack *unpack;
    uint8_t state;
    char word[WORD_MAX + 1];
    size_t word_len;
    uint64_t depth;
    bool object;    /* the text has begun an object */
    uint64_t level; /* of the group with the digits in hand; 0 = none */
    int half;       /* a digit that waits for the second one; -1 = none */
    uint8_t *bytes; /* decoded so far */
    size_t len, room;
    bool stopped;
} rtf;

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_letter(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static void add(rtf *r, uint8_t byte)
{
    if (r->len == r->room) {
        size_t room = r->room == 0 ? CHUNK : r->room * 2;
        uint8_t *larger = r->len < KAV_OLE_LOAD_MAX ? realloc(r->bytes, room) : NULL;
        if (larger == NULL) {
            kav_unpack_flag(r->unpack, r->len < KAV_OLE_LOAD_MAX ? KAV_R_MEMORY : KAV_R_SIZE);
            r->level = 0;
            return;
        }
        r->bytes = larger;
        r->room = room;
    }
    r->bytes[r->len++] = byte;
}

/* The object at bytes[0 .. len). Returns how many bytes it takes; 0: no more of them. */
static size_t pass_object(rtf *r, const uint8_t *bytes, size_t len)
{
    size_t at = 8, name_len = 0;
    const char *name = "";
    for (int i = 0; i < TEXTS; i++) {
        if (at > len || len - at < 4) return 0;
        size_t text = kav_le32(bytes + at);
        at += 4;
        if (text > len - at) return 0;
        if (i == 0) {
            name = (const char *)bytes + at;
            name_len = strnlen(name, text < CLASS_MAX ? text : CLASS_MAX);
        }
        at += text;
    }
    if (len - at < 4 + 2) return 0;
    size_t size = kav_le32(bytes + at), have = len - at - 4;
    if (size > have) size = have;
    const uint8_t *data = bytes + at + 4;
    if (size >= 2 && data[0] == 0xd0 && data[1] == 0xcf) {
        if (kav_unpack_begin(r->unpack, name, name_len, size, KAV_M_PART) != 0) r->stopped = true;
        else kav_unpack_data(r->unpack, data, size);
        if (!r->stopped && kav_unpack_end(r->unpack, 0) != 0) r->stopped = true;
    } else {
        r->stopped = !kav_native_pass(data - 4, size + 4, name, name_len, r->unpack);
    }
    return at + 4 + size;
}

/* The digits are over. */
static void end_digits(rtf *r)
{
    size_t at = 0, used = 1;
    while (!r->stopped && at < r->len && used > 0) {
        used = pass_object(r, r->bytes + at, r->len - at);
        at += used;
    }
    r->len = 0;
    r->level = 0;
    r->half = -1;
}

static void end_word(rtf *r)
{
    r->word[r->word_len] = 0;
    if (strcmp(r->word, "object") == 0) r->object = true;
    if (r->object && r->level == 0 && strcmp(r->word, "objdata") == 0) r->level = r->depth;
    r->state = PLAIN;
}

static void take_plain(rtf *r, uint8_t c)
{
    if (c == '\\') {
        r->state = SLASH;
        r->word_len = 0;
    } else if (c == '{') {
        r->depth++;
    } else if (c == '}') {
        if (r->level != 0 && r->depth == r->level) end_digits(r);
        if (r->depth > 0) r->depth--;
    } else if (r->level != 0 && r->depth == r->level) {
        int value = digit(c);
        if (value < 0) return;
        if (r->half >= 0) {
            add(r, (uint8_t)(r->half << 4 | value));
            value = -1;
        }
        r->half = value;
    }
}

static void take(rtf *r, uint8_t c)
{
    switch (r->state) {
    case SLASH:
        if (!is_letter(c)) {
            r->state = PLAIN;
            break;
        }
        r->state = WORD; /* fall through */
    case WORD:
        if (is_letter(c) && r->word_len < WORD_MAX) {
            r->word[r->word_len++] = (char)c;
        } else if (digit(c) >= 0 || c == '-') {
            end_word(r);
            r->state = NUMBER;
        } else {
            end_word(r);
            if (c != ' ') take_plain(r, c);
        }
        break;
    case NUMBER:
        if (c >= '0' && c <= '9') break;
        r->state = PLAIN;
        if (c != ' ') take_plain(r, c);
        break;
    default: take_plain(r, c); break;
    }
}

int kav_open_rtf(const kav_source *source, kav_type type, kav_unpack *u)
{
    rtf r = {.unpack = u, .half = -1};
    uint8_t *chunk = malloc(CHUNK);
    (void)type;
    if (chunk == NULL) return -ENOMEM;
    for (uint64_t at = 0; at < source->size && !r.stopped && kav_unpack_tick(u) == 0;) {
        ssize_t n = kav_source_read(source, at, chunk, CHUNK);
        if (n < 0) kav_unpack_flag(u, KAV_R_UNREADABLE);
        if (n <= 0) break;
        for (ssize_t i = 0; i < n && !r.stopped; i++) take(&r, chunk[i]);
        at += (uint64_t)n;
    }
    if (!r.stopped && r.level != 0) end_digits(&r);
    free(r.bytes);
    free(chunk);
    return 0;
}
