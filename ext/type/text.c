/* Text: what counts as text, and which kind of text it is.
 *
 * Text is what has no control characters in its first kilobyte other than those that texts have; bytes from 0x80 on are
 * letters in some encoding. UTF-16 is text when it begins with its mark.
 */
#define _GNU_SOURCE
#include "find.h"
#include "type_parts.h"

enum { TEXT_BLOCK = 64, UU_LOOK = 2048 };

/* 0x07 BEL .. 0x0d CR and ESC stand in texts; other controls and DEL do not. */
static bool is_control(unsigned c)
{
    return (c < 0x20 && !(c >= 0x07 && c <= 0x0d) && c != 0x1b) || c == 0x7f;
}

/* A fixed number of bytes without a branch inside: compilers make vector code of this loop. */
static bool block_is_text(const uint8_t *p)
{
    uint8_t bad = 0;
    for (int i = 0; i < TEXT_BLOCK; i++) {
        uint8_t c = p[i];
        bad |= (uint8_t)((c < 0x20) & ((uint8_t)(c - 0x07) > 6) & (c != 0x1b)) | (uint8_t)(c == 0x7f);
    }
    return !bad;
}

static bool bytes_are_text(const uint8_t *p, size_t len)
{
    for (; len >= TEXT_BLOCK; p += TEXT_BLOCK, len -= TEXT_BLOCK)
        if (!block_is_text(p)) return false;
    for (; len; p++, len--)
        if (is_control(*p)) return false;
    return true;
}

/* No control characters and no swapped mark. */
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

/* ASCII in UTF-16, or as it is: the bytes of word at p, p + step ... */
static bool spelled_at(const uint8_t *p, const uint8_t *end, size_t step, const char *word)
{
    for (; *word; word++, p += step) {
        if (p >= end || (size_t)(end - p) < step) return false;
        if (*p != (uint8_t)*word || (step == 2 && p[1])) return false;
    }
    return true;
}

/* What follows '<' in the tags by which ClamAV knows HTML, spelled so and not otherwise. */
static bool is_telling_tag(const uint8_t *p, const uint8_t *end, size_t step)
{
    static const char *const tags[] = {"HEAD>",  "HTML>",  "Head>",  "Html>",  "IFRAME", "IMG",   "Img",
                                       "OBJECT", "Object", "SCRIPT", "Script", "TABLE",  "head>", "html>",
                                       "iframe", "img",    "object", "script", "table"};
    if (p >= end || !strchr("HIOSThiost", *p)) return false;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        if (spelled_at(p, end, step, tags[i])) return true;
    return false;
}

/* "href" as it may be spelled in the tag of a link, anywhere. */
static bool has_reference(const uint8_t *p, const uint8_t *end, size_t step)
{
    static const char *const words[] = {"href", "hrEF", "hRef", "hREF", "Href", "HrEF", "HRef", "HREF"};
    for (; p < end; p += step)
        for (size_t i = 0; (*p | 0x20) == 'h' && i < sizeof words / sizeof *words; i++)
            if (spelled_at(p, end, step, words[i])) return true;
    return false;
}

/* step 2: UTF-16, whose first unit begins at p in little-endian order, and one byte later in big-endian order. */
static bool has_telling_tag(const uint8_t *p, size_t len, size_t step)
{
    const uint8_t *begin = p, *end = p + len, *link = NULL;
    while (p < end && (p = memchr(p, '<', (size_t)(end - p)))) {
        const uint8_t *letter = p + step;
        p++;
        if ((size_t)(p - 1 - begin) % step || (step == 2 && p < end && *p) || letter >= end) continue;
        if (!link && (spelled_at(letter, end, step, "a ") || spelled_at(letter, end, step, "A "))) link = letter;
        if (is_telling_tag(letter, end, step)) return true;
    }
    return link && has_reference(link, end, step);
}

bool kav_type_has_tag(const uint8_t *bytes, size_t len)
{
    return has_telling_tag(bytes, len, 1);
}

enum kav_page kav_type_page(const uint8_t *head, size_t len)
{
    static const char asp[] = "<%@ LANGUAGE =";
    size_t near = len < KAV_TYPE_TAGS ? len : KAV_TYPE_TAGS;
    if (len >= sizeof asp - 1 && memcmp(head, asp, sizeof asp - 1) == 0) return KAV_PAGE_NEAR;
    if (has_telling_tag(head, near, 1)) return KAV_PAGE_NEAR;
    if (has_telling_tag(head, near, 2)) return KAV_PAGE_UTF16;
    if (near > 3 && head[0] == 0xfe && head[1] == 0xff && has_telling_tag(head + 3, near - 3, 2)) return KAV_PAGE_NEAR;
    return has_telling_tag(head, len, 1) ? KAV_PAGE_FAR : KAV_PAGE_NONE;
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

/* Whether "begin 644 name" stands at at, and below it a line of data. Prose such as "begin 100 words" has none. */
static bool is_uu_begin(const kav_head *h, size_t at)
{
    bool base64 = KAV_HEAD_AT(h, at, "begin-base64 ");
    if (!base64 && !KAV_HEAD_AT(h, at, "begin ")) return false;
    size_t next, after, end = at + kav_head_line(h, at, &next), mode = at + (base64 ? 13 : 6), stop = mode;
    while (stop < end && h->head[stop] >= '0' && h->head[stop] <= '7') stop++;
    if (stop - mode < 3 || stop - mode > 6 || stop + 1 >= end || h->head[stop] != ' ' || next >= h->len) return false;
    size_t data = kav_head_line(h, next, &after);
    return base64 ? is_base64_line(h->head + next, data) : is_uu_line(h->head + next, data);
}

static bool is_uu(const kav_head *h)
{
    const uint8_t *p = h->head, *end = h->head + (h->len < UU_LOOK ? h->len : UU_LOOK);
    for (; (p = kav_find(p, (size_t)(end - p), "begin", 5)); p += 5)
        if ((p == h->head || p[-1] == '\n') && is_uu_begin(h, (size_t)(p - h->head))) return true;
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
    enum kav_page page = kav_type_page(h->head, h->len);
    bool html = page != KAV_PAGE_NONE && (page != KAV_PAGE_FAR || kind == KAV_TEXT_BYTES);
    return (kav_type){(uint16_t)text_format(h, kind, html), html ? KAV_T_HTML : KAV_T_TEXT};
}

/* ClamAV takes bytes that could be big-endian UTF-16 without a mark for text, and so signatures for texts apply to
 * texts with stray control characters and to much compressed data. We keep the target and do not call it text. */
kav_type kav_type_data(const kav_head *h)
{
    size_t len = near_len(h);
    if (KAV_HEAD_AT(h, 0, "{\\rtf")) return (kav_type){KAV_FMT_RTF, KAV_T_ANY};
    enum kav_page page = kav_type_page(h->head, h->len < KAV_TYPE_TAGS ? h->len : KAV_TYPE_TAGS);
    if (page != KAV_PAGE_NONE) return (kav_type){KAV_FMT_HTML, KAV_T_HTML};
    if (len >= 2 && units_are_text(h->head, len, true)) return (kav_type){KAV_FMT_UNKNOWN, KAV_T_TEXT};
    return (kav_type){KAV_FMT_UNKNOWN, KAV_T_ANY};
}
