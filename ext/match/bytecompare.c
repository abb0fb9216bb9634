#include "bytecompare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX    512 /* between the parentheses */
#define INTEGER_MAX 8
#define HEX_MAX     18
#define FORMS       (KAV_BC_HEX | KAV_BC_DECIMAL | KAV_BC_INTEGER | KAV_BC_AUTO)

/* A number as strtoll reads it, to the end of the text. */
static bool number(const char *text, int64_t *out)
{
    char *end;
    *out = strtoll(text, &end, 0);
    return *end == '\0';
}

static const char *parse_offset(const char *text, kav_bytecompare *out)
{
    static const char why[] = "byte comparison: unreadable offset";
    if (text[0] == '\0' || text[0] == '0') return NULL; /* ClamAV reads no further than the 0 */
    if ((text[0] != '<' && text[0] != '>') || text[1] != text[0] || !number(text + 2, &out->offset)) return why;
    if (out->offset < INT32_MIN || out->offset > INT32_MAX) return why;
    if (text[0] == '<') out->offset = -out->offset;
    return NULL;
}

static bool option(char c, uint8_t *options)
{
    uint8_t form = 0, against = 0;
    switch (c) {
    case 'h': form = KAV_BC_HEX; break;
    case 'd': form = KAV_BC_DECIMAL | KAV_BC_BIG; break;
    case 'i': form = KAV_BC_INTEGER; break;
    case 'a': form = KAV_BC_AUTO; break;
    case 'l':
        form = KAV_BC_LITTLE;
        against = KAV_BC_BIG | KAV_BC_DECIMAL;
        break;
    case 'b':
        form = KAV_BC_BIG;
        against = KAV_BC_LITTLE;
        break;
    case 'e': form = KAV_BC_EXACT; break;
    default: return false;
    }
    if (form & FORMS) against = (uint8_t)(FORMS & ~form);
    if (c == 'd') against |= KAV_BC_LITTLE;
    if (*options & against) return false;
    *options |= form;
    return true;
}

static const char *parse_options(const char *text, kav_bytecompare *out)
{
    for (; *text < '0' || *text > '9'; text++) {
        if (!option(*text, &out->options)) return "byte comparison: unreadable options";
    }
    if (!number(text, &out->length) || out->length <= 0) return "byte comparison: unreadable length";
    bool odd = out->length > INTEGER_MAX || INTEGER_MAX % out->length;
    if ((out->options & KAV_BC_INTEGER && odd) || (out->options & KAV_BC_HEX && out->length > HEX_MAX))
        return "byte comparison: unusable length";
    return NULL;
}

static const char *parse_comparisons(char *text, kav_bytecompare *out)
{
    char *comma = strchr(text, ','), *parts[2] = {text, comma ? comma + 1 : NULL};
    if (comma) *comma = '\0';
    for (int i = 0; i < 2 && parts[i]; i++) {
        char symbol = parts[i][0];
        if ((symbol != '<' && symbol != '>' && symbol != '=') || !number(parts[i] + 1, &out->value[i]))
            return "byte comparison: unreadable comparison";
        out->symbol[i] = (uint8_t)symbol;
    }
    return NULL;
}

const char *kav_bytecompare_parse(kav_text text, kav_bytecompare *out)
{
    char inner[TEXT_MAX], *fields[3] = {inner};
    uint32_t reference = 0, count = 1;
    size_t at = 0;
    *out = (kav_bytecompare){0};
    for (; at < text.length && text.text[at] >= '0' && text.text[at] <= '9' && reference < KAV_SUBSIGS_MAX; at++)
        reference = 10 * reference + (uint32_t)(text.text[at] - '0');
    if (at == 0 || at == text.length || text.text[at] != '(' || reference >= KAV_SUBSIGS_MAX)
        return "byte comparison: unreadable reference";
    const char *from = text.text + at + 1, *to = memchr(from, ')', text.length - at - 1);
    if (!to || (size_t)(to - from) >= sizeof inner || memchr(from, '\0', (size_t)(to - from)))
        return "byte comparison: unreadable";
    memcpy(inner, from, (size_t)(to - from));
    inner[to - from] = '\0';
    for (char *c = inner; *c; c++) {
        if (*c != '#') continue;
        if (count == 3) return "byte comparison: wrong number of fields";
        *c = '\0';
        fields[count++] = c + 1;
    }
    if (count != 3) return "byte comparison: wrong number of fields";
    out->reference = (uint8_t)reference;
    const char *why = parse_offset(fields[0], out);
    if (!why) why = parse_options(fields[1], out);
    return why ? why : parse_comparisons(fields[2], out);
}

bool kav_bytecompare_check(const kav_bytecompare *b)
{
    bool odd = b->length > INTEGER_MAX || b->length <= 0 || INTEGER_MAX % b->length;
    return b->length > 0 && b->reference < KAV_SUBSIGS_MAX && !(b->options & KAV_BC_INTEGER && odd) &&
           b->offset >= -INT64_C(0x100000000) && b->offset <= INT64_C(0x100000000);
}

bool kav_bytecompare_where(const kav_bytecompare *b, uint64_t place, uint64_t size, uint64_t *begin)
{
    if (place > INT32_MAX || size > INT64_MAX) return false;
    int64_t at = (int64_t)place + b->offset;
    if (at <= 0 || b->length > (int64_t)size || at > (int64_t)size - b->length) return false;
    *begin = (uint64_t)at;
    return true;
}

/* Text from which a number is read. In the little-endian form it stands turned around by pairs: "3412" is 0x1234. */
typedef struct {
    const uint8_t *bytes;
    size_t length;
    size_t count;        /* of digits: with a leading 0 where the little-endian form has an odd number of them */
    size_t wiped;        /* little-endian: so many digits are 0, because what stands behind them in the file is none */
    bool little, marked; /* marked: begins with 0x */
} digits;

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == 'x' || c == 'X';
}

/* Little-endian, before it is turned around: "0x123" is x00123, "0x12" is xx12. */
static char straight(const digits *d, size_t i)
{
    bool padded = d->count != d->length;
    if (d->marked && i == 0) return 'x';
    if (padded && (i == 0 || (d->marked && i < 3))) return '0';
    return (char)d->bytes[padded ? i - 1 : i];
}

static char digit(const digits *d, size_t i)
{
    if (!d->little) return (char)d->bytes[i];
    return i < d->wiped ? '0' : straight(d, d->count - 2 - (i & ~(size_t)1) + (i & 1));
}

static bool is_marked(const uint8_t *bytes, size_t length)
{
    return length >= 3 && bytes[0] == '0' && (bytes[1] == 'x' || bytes[1] == 'X');
}

static digits make_digits(const uint8_t *bytes, size_t length, bool little)
{
    digits d = {bytes, length, length, 0, little && length > 1, false};
    if (!d.little) return d;
    d.count += length % 2;
    d.marked = is_marked(bytes, length);
    for (size_t i = 0; i < d.count; i += 2) {
        if (!is_hex(straight(&d, d.count - 2 - i)) || !is_hex(straight(&d, d.count - 1 - i))) d.wiped = i + 2;
    }
    return d;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int digit_value(char c, int base)
{
    int value = base;
    if (c >= '0' && c <= '9') value = c - '0';
    else if (c >= 'a' && c <= 'z') value = c - 'a' + 10;
    else if (c >= 'A' && c <= 'Z') value = c - 'A' + 10;
    return value < base ? value : -1;
}

/* As strtol, with an end; *end is where it stopped, 0 where there is no digit. False: too large. */
static bool read_text(const digits *d, int base, int64_t *out, size_t *end)
{
    size_t i = 0, n = d->count;
    uint64_t value = 0;
    bool any = false, fits = true;
    *out = 0;
    *end = 0;
    while (i < n && is_space(digit(d, i))) i++;
    if (i == n) return true;
    bool negative = digit(d, i) == '-', sign = negative || digit(d, i) == '+';
    if (sign) i++;
    else if (base == 16 && digit(d, i) == '0' && n - i > 1 && (digit(d, i + 1) | 0x20) == 'x') i += 2;
    uint64_t most = (uint64_t)INT64_MAX + negative;
    for (int v; i < n && (v = digit_value(digit(d, i), base)) >= 0; i++) {
        any = true;
        if (value > (most - (uint64_t)v) / (uint64_t)base) fits = false;
        else value = value * (uint64_t)base + (uint64_t)v;
    }
    *out = (int64_t)(negative ? 0 - value : value);
    if (any) *end = i;
    return fits;
}

static bool read_number(const kav_bytecompare *b, const uint8_t *bytes, int64_t *out)
{
    size_t length = (size_t)b->length, padding = 0, end;
    while (padding < length && is_space((char)bytes[padding])) padding++;
    bytes += padding;
    length -= padding;
    bool hex = b->options & KAV_BC_HEX, little = b->options & KAV_BC_LITTLE;
    if (b->options & KAV_BC_AUTO) {
        hex = is_marked(bytes, length);
        if (length < 3 || (little && !hex)) return false; /* ClamAV cannot tell; and has no little-endian decimals */
    }
    digits d = make_digits(bytes, length, little);
    if (!read_text(&d, hex ? 16 : 10, out, &end)) return false;
    return !(b->options & KAV_BC_EXACT) || (end == length && padding == 0);
}

static int64_t read_integer(const kav_bytecompare *b, const uint8_t *bytes)
{
    uint64_t value = 0;
    for (int64_t i = 0; i < b->length; i++)
        value = value << 8 | bytes[b->options & KAV_BC_LITTLE ? b->length - 1 - i : i];
    return (int64_t)value;
}

bool kav_bytecompare_holds(const kav_bytecompare *b, const uint8_t *bytes)
{
    int64_t value;
    if (!(b->options & (KAV_BC_LITTLE | KAV_BC_BIG)) || !(b->options & FORMS)) return false;
    if (b->options & KAV_BC_INTEGER) value = read_integer(b, bytes);
    else if (!read_number(b, bytes, &value)) return false;
    for (int i = 0; i < 2 && b->symbol[i]; i++) {
        bool holds = b->symbol[i] == '<'   ? value < b->value[i]
                     : b->symbol[i] == '>' ? value > b->value[i]
                                           : value == b->value[i];
        if (!holds) return false;
    }
    return true;
}
