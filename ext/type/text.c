/* Text: what counts as text, and which kind of text it is.
 *
 * Text is what has no control characters in its first kilobyte other than those that texts have; bytes from 0x80 on are
 * letters in some encoding. UTF-16 is text when it begins with its mark.
 */
#define _GNU_SOURCE
#include "type_parts.h"

#include <strings.h>

/* 0x07 BEL .. 0x0d CR and ESC stand in texts; other controls and DEL do not. */
static bool is_control(unsigned c)
{
    return (c < 0x20 && !(c >= 0x07 && c <= 0x0d) && c != 0x1b) || c == 0x7f;
}

/* True when none of the 8 bytes is below 0x20 or 0x7f: most text passes here without a look at single bytes. */
static bool eight_clean(const uint8_t *p)
{
    const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
    uint64_t v;
    memcpy(&v, p, 8);
    uint64_t below = (v - ones * 0x20) & ~v & highs;
    uint64_t del = v ^ ones * 0x7f;
    return !(below | ((del - ones) & ~del & highs));
}

static bool bytes_are_text(const uint8_t *p, size_t len)
{
    size_t i = 0;
    while (i < len) {
        if (len - i >= 8 && eight_clean(p + i)) {
            i += 8;
            continue;
        }
        size_t stop = len - i < 8 ? len : i + 8;
        for (; i < stop; i++)
            if (is_control(p[i])) return false;
    }
    return true;
}

/* Units from from on; no control characters and no swapped mark. */
static bool units_are_text(const uint8_t *p, size_t len, bool big)
{
    for (size_t i = 2; i + 1 < len; i += 2) {
        unsigned c = big ? (unsigned)p[i] << 8 | p[i + 1] : (unsigned)p[i + 1] << 8 | p[i];
        if (c == 0xfffe || (c < 0x80 && is_control(c))) return false;
    }
    return true;
}

static size_t near_len(const kav_head *h)
{
    return h->len < KAV_TYPE_NEAR ? h->len : KAV_TYPE_NEAR;
}

enum kav_text_kind kav_text_kind_of(const kav_head *h)
{
    size_t len = near_len(h);
    if (KAV_HEAD_AT(h, 0, "\xff\xfe") && units_are_text(h->head, len, false)) return KAV_TEXT_UTF16LE;
    if (KAV_HEAD_AT(h, 0, "\xfe\xff") && units_are_text(h->head, len, true)) return KAV_TEXT_UTF16BE;
    return bytes_are_text(h->head, len) ? KAV_TEXT_BYTES : KAV_TEXT_NONE;
}

/* ---- HTML ------------------------------------------------------------------------------------------------------ */

/* Lower-case letters of p[0], p[step] ... against word; a blank stands for any white space. */
static bool word_at(const uint8_t *p, const uint8_t *end, size_t step, const char *word)
{
    for (; *word; word++, p += step) {
        if (p >= end || (size_t)(end - p) < step) return false;
        unsigned c = *p >= 'A' && *p <= 'Z' ? *p | 0x20u : *p;
        if (step == 2 && p[1]) return false;
        if (*word == ' ' ? !(c == ' ' || (c >= '\t' && c <= '\r')) : c != (unsigned char)*word) return false;
    }
    return true;
}

/* What follows '<' in the tags by which ClamAV knows HTML. */
static bool is_telling_tag(const uint8_t *p, const uint8_t *end, size_t step)
{
    static const char *const tags[] = {"a href", "head>", "html>", "iframe", "img", "object", "script", "table"};
    if (p >= end) return false;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if ((*p | 0x20) == tags[i][0] && word_at(p, end, step, tags[i])) return true;
    return false;
}

static bool has_telling_tag(const uint8_t *p, size_t len, enum kav_text_kind kind)
{
    const uint8_t *end = p + len;
    size_t step = kind >= KAV_TEXT_UTF16LE ? 2 : 1;
    while (p < end && (p = memchr(p, '<', (size_t)(end - p)))) {
        p++; /* in UTF-16 the low bytes of the next characters follow after one more byte */
        const uint8_t *letter = p + (step == 2);
        if (letter < end && is_telling_tag(letter, end, step)) return true;
    }
    return false;
}

/* Openings that make a page of it for a reader, though ClamAV would call the file text and use signatures for texts. */
static bool opens_as_page(const kav_head *h, enum kav_text_kind kind)
{
    size_t step = kind >= KAV_TEXT_UTF16LE ? 2 : 1, at = step == 2 ? 2 : KAV_HEAD_AT(h, 0, "\xef\xbb\xbf") ? 3 : 0;
    at += kind == KAV_TEXT_UTF16BE; /* from here on the low bytes */
    while (at < h->len && (h->head[at] == ' ' || (h->head[at] >= '\t' && h->head[at] <= '\r'))) at += step;
    const uint8_t *end = h->head + h->len;
    if (at >= h->len) return false;
    return word_at(h->head + at, end, step, "<!doctype html") || word_at(h->head + at, end, step, "<html");
}

/* ---- other kinds ----------------------------------------------------------------------------------------------- */

static bool is_script(const kav_head *h)
{
    static const char *const opening[] = {"<?php", "<?=", "@echo off", "<%@", "<job", "<package>"};
    size_t at = KAV_HEAD_AT(h, 0, "\xef\xbb\xbf") ? 3 : 0;
    if (KAV_HEAD_AT(h, at, "#!")) {
        size_t i = at + 2;
        while (i < h->len && (h->head[i] == ' ' || h->head[i] == '\t')) i++;
        return i < h->len && h->head[i] == '/';
    }
    while (at < h->len && (h->head[at] == ' ' || (h->head[at] >= '\t' && h->head[at] <= '\r'))) at++;
    for (size_t i = 0; i < sizeof opening / sizeof *opening; i++)
        if (word_at(h->head + at, h->head + h->len, 1, opening[i])) return true;
    return false;
}

/* Whether line[0 .. len) is a line of uuencoded data: its first character says how many bytes it holds. Encoders leave
 * blanks at a line's end away or add a checksum character. */
static bool is_uu_line(const uint8_t *line, size_t len)
{
    if (len == 0) return false;
    for (size_t i = 0; i < len; i++)
        if (line[i] < ' ' || line[i] > '`') return false;
    size_t bytes = (line[0] - ' ') & 63, chars = (bytes + 2) / 3 * 4;
    if (bytes == 0) return len == 1;
    return bytes <= 45 && len - 1 <= chars + 1 && len - 1 + 3 >= chars;
}

static bool is_base64_line(const uint8_t *line, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    if (len == 0 || len % 4) return false;
    for (size_t i = 0; i < len; i++)
        if (!memchr(letters, line[i], sizeof letters - 1)) return false;
    return true;
}

/* "begin 644 name" and a line of data below it. Prose such as "begin 100 words" has no such second line. */
static bool is_uu(const kav_head *h)
{
    enum { LOOK = 8192 };
    size_t len, next;
    for (size_t at = 0; at < h->len && at < LOOK; at = next) {
        len = kav_head_line(h, at, &next);
        bool base64 = KAV_HEAD_AT(h, at, "begin-base64 ");
        size_t mode = at + (base64 ? 13 : 6);
        if (!base64 && !KAV_HEAD_AT(h, at, "begin ")) continue;
        size_t digits = 0;
        while (mode + digits < at + len && h->head[mode + digits] >= '0' && h->head[mode + digits] <= '7') digits++;
        if (digits < 3 || digits > 6 || mode + digits + 1 >= at + len || h->head[mode + digits] != ' ') continue;
        size_t after, data = kav_head_line(h, next, &after);
        const uint8_t *line = h->head + next;
        if (next < h->len && (base64 ? is_base64_line(line, data) : is_uu_line(line, data))) return true;
    }
    return false;
}

static enum kav_format text_format(const kav_head *h, enum kav_text_kind kind, bool html)
{
    if (kind == KAV_TEXT_BYTES) {
        if (is_script(h)) return KAV_FMT_SCRIPT;
        if (is_uu(h)) return KAV_FMT_UU;
    }
    return html || opens_as_page(h, kind) ? KAV_FMT_HTML : KAV_FMT_TEXT;
}

kav_type kav_type_text(const kav_head *h, enum kav_text_kind kind)
{
    if (KAV_HEAD_AT(h, 0, "{\\rtf")) return (kav_type){KAV_FMT_RTF, KAV_T_ANY};
    /* A tag anywhere makes signatures for HTML apply, in scripts as well: that is ClamAV's choice. */
    bool html = has_telling_tag(h->head, h->len, kind);
    return (kav_type){(uint16_t)text_format(h, kind, html), html ? KAV_T_HTML : KAV_T_TEXT};
}

/* ClamAV takes bytes that could be big-endian UTF-16 without a mark for text, and so signatures for texts apply to
 * texts with stray control characters and to much compressed data. We keep the target and do not call it text. */
kav_type kav_type_data(const kav_head *h)
{
    size_t len = near_len(h);
    if (KAV_HEAD_AT(h, 0, "{\\rtf")) return (kav_type){KAV_FMT_RTF, KAV_T_ANY};
    if (has_telling_tag(h->head, len, KAV_TEXT_BYTES)) return (kav_type){KAV_FMT_HTML, KAV_T_HTML};
    if (len >= 2 && units_are_text(h->head, len, true)) return (kav_type){KAV_FMT_UNKNOWN, KAV_T_TEXT};
    return (kav_type){KAV_FMT_UNKNOWN, KAV_T_ANY};
}
