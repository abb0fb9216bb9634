#define _GNU_SOURCE /* memmem */

#include "pdf.h"

#include <stdlib.h>
#include <string.h>

bool kav_pdf_is_space(int c)
{
    return c == 0 || c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' ';
}

static bool is_line_end(uint8_t c)
{
    return c == '\r' || c == '\n' || c == 0;
}

/* Behind the line in hand and the ends of lines that follow. */
static size_t next_line(const uint8_t *p, size_t at, size_t len)
{
    while (at < len && !is_line_end(p[at])) at++;
    while (at < len && is_line_end(p[at])) at++;
    return at;
}

size_t kav_pdf_next(const uint8_t *p, size_t at, size_t len)
{
    bool within = true; /* what stands at the place we began at */
    while (at < len) {
        switch (p[at]) {
        case '\n':
        case '\r':
        case '%':
            at = next_line(p, at, len);
            within = false;
            break;
        case ' ':
        case '\t':
        case '\v':
        case '\f':
        case '[':
        case '<':
            within = false;
            at++;
            break;
        case '/':
        case '(': return at;
        default:
            if (!within) return at;
            at++;
        }
    }
    return len;
}

size_t kav_pdf_value(const uint8_t *p, size_t at, size_t len, const char *key)
{
    size_t key_len = strlen(key);
    const uint8_t *hit = at < len ? memmem(p + at, len - at, key, key_len) : NULL;
    if (!hit) return len;
    size_t begin = (size_t)(hit - p);
    at = kav_pdf_next(p, begin + 1, len);
    if (at == len) return len;
    while (at > begin && (p[at - 1] == '<' || p[at - 1] == '\n')) at--;
    return at;
}

int64_t kav_pdf_number(const uint8_t *p, size_t at, size_t len)
{
    int64_t value = 0;
    while (at < len && (p[at] == ' ' || (p[at] >= '\t' && p[at] <= '\r'))) at++;
    bool negative = at < len && p[at] == '-';
    if (at < len && (p[at] == '+' || p[at] == '-')) at++;
    if (at >= len || p[at] < '0' || p[at] > '9') return -1;
    for (; at < len && p[at] >= '0' && p[at] <= '9'; at++)
        if (value < INT64_MAX / 16) value = value * 10 + (p[at] - '0');
    return negative ? -value : value;
}

static size_t behind_digits(const uint8_t *p, size_t at, size_t len)
{
    while (at < len && p[at] >= '0' && p[at] <= '9') at++;
    return at;
}

static bool is_digit(const uint8_t *p, size_t at, size_t len)
{
    return at < len && p[at] >= '0' && p[at] <= '9';
}

bool kav_pdf_reference(const uint8_t *p, size_t at, size_t len, uint32_t *id)
{
    if (!is_digit(p, at, len)) return false;
    int64_t number = kav_pdf_number(p, at, len);
    at = kav_pdf_next(p, behind_digits(p, at, len), len);
    if (!is_digit(p, at, len)) return false;
    int64_t generation = kav_pdf_number(p, at, len);
    at = kav_pdf_next(p, behind_digits(p, at, len), len);
    *id = (uint32_t)number << 8 | (uint32_t)(generation & 0xff);
    return at < len && p[at] == 'R';
}

bool kav_pdf_names(const uint8_t *p, size_t at, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    while (at < len && kav_pdf_is_space(p[at])) at++;
    if (len - at < name_len || memcmp(p + at, name, name_len) != 0) return false;
    at += name_len;
    return at == len || kav_pdf_is_space(p[at]) || strchr("/<>[]()%", p[at]);
}

/* What a backslash at *at stands for, as ClamAV reads it; *at moves to its last byte. -1: nothing. */
static int unescape(const uint8_t *p, size_t *at, size_t end)
{
    static const char letters[] = "nrtbf", values[] = "\n\r\t\b\f";
    uint8_t c = ++*at < end ? p[*at] : '\\';
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) return values[letter - letters];
    if (c == '(' || c == ')' || c == '\\') return c;
    if (c == '\n') return -1;
    if (c == '\r') {
        if (*at + 1 < end && p[*at + 1] == '\n') ++*at;
        return -1;
    }
    if (c >= '0' && c <= '7') {
        int value = c - '0';
        for (int i = 0; i < 2 && *at + 1 < end && p[*at + 1] >= '0' && p[*at + 1] <= '7'; i++)
            value = value * 8 + (p[++*at] - '0');
        return value & 0xff;
    }
    --*at;
    return '\\';
}

static uint8_t *read_text(const uint8_t *p, size_t at, size_t len, bool plain, size_t *string_len, size_t *end)
{
    size_t begin = ++at, depth = 1;
    for (; at < len; at++) {
        if (p[at] == '\\') at++;
        else if (p[at] == '(') depth++;
        else if (p[at] == ')' && --depth == 0) break;
    }
    if (at >= len) return NULL;
    *end = at + 1;
    uint8_t *out = malloc(at - begin + 1);
    if (!out) return NULL;
    size_t n = 0;
    for (size_t i = begin; i < at; i++) {
        int c = p[i] == '\\' && !plain ? unescape(p, &i, at) : p[i];
        if (c >= 0) out[n++] = (uint8_t)c;
    }
    out[n] = 0;
    *string_len = n;
    return out;
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint8_t *read_hex(const uint8_t *p, size_t at, size_t len, size_t *string_len, size_t *end)
{
    const uint8_t *close = memchr(p + at, '>', len - at);
    if (!close) return NULL;
    size_t stop = (size_t)(close - p), n = 0;
    *end = stop;
    uint8_t *out = malloc((stop - at) / 2 + 1);
    int high = -1;
    for (at++; out && at < stop; at++) {
        int digit = hex(p[at]);
        if (digit < 0 && !kav_pdf_is_space(p[at])) { /* a dictionary, or nonsense */
            free(out);
            return NULL;
        }
        if (digit < 0) continue;
        if (high >= 0) out[n++] = (uint8_t)(high << 4 | digit);
        high = high >= 0 ? -1 : digit;
    }
    if (!out) return NULL;
    out[n] = 0;
    *string_len = n;
    return out;
}

uint8_t *kav_pdf_string(const uint8_t *p, size_t at, size_t len, bool plain, size_t *string_len, size_t *end)
{
    *string_len = 0;
    if (at >= len) return NULL;
    if (p[at] == '(') return read_text(p, at, len, plain, string_len, end);
    if (p[at] == '<' && len - at >= 3) return read_hex(p, at, len, string_len, end);
    return NULL;
}
