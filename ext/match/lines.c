#include "lines.h"
#include "body.h"
#include "checksum.h"
#include "hashset.h"
#include "part.h"
#include "place.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines of a text ------------------------------------------------------------------------------------------- */

/* Goes through a text from line to line, only forward. */
typedef struct {
    const kav_lines_text *text;
    const char *at; /* where line number `row` begins */
    uint32_t row;   /* from 1 */
} reader;

/* One carriage return is part of the line end: what a reader makes of more of them is its business. */
static size_t without_return(const char *line, size_t length)
{
    return length && line[length - 1] == '\r' ? length - 1 : length;
}

void kav_line_digest(const kav_lines_text *text, const char *line, size_t length, kav_line *out)
{
    uint8_t digest[16];
    kav_siphash_wide(text->form, line, without_return(line, length), digest);
    memcpy(out, digest, sizeof digest);
}

/* The digest of line number row. False: it is not there, or behind us. */
static bool read_line(reader *r, uint32_t row, const char **line, size_t *length, kav_line *out)
{
    const char *end = r->text->text + r->text->length;
    if (row < r->row) return false;
    for (; r->at < end; r->row++) {
        const char *start = r->at, *stop = memchr(start, '\n', (size_t)(end - start));
        r->at = stop ? stop + 1 : end;
        if (r->row < row) continue;
        if (!stop) stop = end;
        *line = start;
        *length = without_return(start, (size_t)(stop - start));
        r->row++;
        kav_line_digest(r->text, start, (size_t)(stop - start), out);
        out->row = row;
        return true;
    }
    return false;
}

/* Steps through the signatures of a part in the order of their lines. */
typedef struct {
    kav_body body;
    kav_hashset set;
    const kav_metadata *rows;
    uint64_t count;
} signatures;

static bool open_signatures(signatures *s, const uint8_t *part)
{
    const kav_part_header *h = kav_part_of(part);
    *s = (signatures){.count = 0};
    if (h->kind == KAV_P_BODY) {
        if (!kav_body_open(&s->body, part)) return false;
        s->count = s->body.signature_count;
        return true;
    }
    if (h->kind == KAV_P_METADATA) {
        s->rows = kav_part_data(part, KAV_TAB_LISTED);
        s->count = kav_part_count(part, KAV_TAB_LISTED, sizeof *s->rows);
        return true;
    }
    if (!kav_part_is_set(part)) return false;
    if (kav_hashset_open(&s->set, kav_part_data(part, KAV_TAB_SET), h->tables[KAV_TAB_SET].length) != 0) return false;
    s->count = kav_hashset_count(&s->set);
    return true;
}

/* 0: cannot be told. */
static uint32_t row_of(const signatures *s, uint64_t i)
{
    kav_hashset_hit hit;
    if (s->rows) return s->rows[i].line;
    if (!s->set.data) return s->body.signatures[i].line;
    return kav_hashset_at(&s->set, i, &hit) ? hit.line : 0;
}

/* ---- sorting --------------------------------------------------------------------------------------------------- */

/* Of equal lines the first comes first. */
static inline bool before(const kav_line *a, const kav_line *b)
{
    return kav_line_less(a, b) || (!kav_line_less(b, a) && a->row < b->row);
}

enum { FEW = 32, BYTE = 256, LAST_SHIFT = 8 };

static void sort_few(kav_line *d, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        kav_line held = d[i];
        uint64_t j = i;
        for (; j > 0 && before(&held, &d[j - 1]); j--) d[j] = d[j - 1];
        d[j] = held;
    }
}

/* In place, by one byte of `high` after the other from the highest: each digest is swapped to where its byte's stretch
 * is filled up. Equal lines end in sort_few together. */
static void sort_lines(kav_line *d, uint64_t count, unsigned shift)
{
    uint64_t next[BYTE] = {0}, ends[BYTE], sum = 0;
    if (count <= FEW || shift < LAST_SHIFT) {
        sort_few(d, count);
        return;
    }
    for (uint64_t i = 0; i < count; i++) next[d[i].high >> shift & 255]++;
    for (int b = 0; b < BYTE; b++) {
        uint64_t n = next[b];
        next[b] = sum;
        ends[b] = sum += n;
    }
    for (int b = 0; b < BYTE; b++) {
        while (next[b] < ends[b]) {
            kav_line held = d[next[b]];
            unsigned home = held.high >> shift & 255;
            d[next[b]] = d[next[home]];
            d[next[home]++] = held;
        }
    }
    for (int b = 0; b < BYTE; b++) {
        uint64_t start = b ? ends[b - 1] : 0;
        sort_lines(d + start, ends[b] - start, shift - 8);
    }
}

static uint64_t each_once(kav_line *d, uint64_t count)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (!kept || kav_line_less(&d[kept - 1], &d[i])) d[kept++] = d[i];
    }
    return kept;
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

static kav_lines_header *header(kav_buffer *out)
{
    return (kav_lines_header *)(void *)out->data;
}

static uint64_t checksum(const uint8_t *bytes, uint64_t length)
{
    kav_lines_header copy;
    memcpy(&copy, bytes, sizeof copy);
    copy.checksum = 0;
    return kav_checksum(bytes + sizeof copy, length - sizeof copy, kav_checksum(&copy, sizeof copy, 1));
}

bool kav_lines_begin(kav_buffer *out, const uint8_t source[32])
{
    kav_buffer_add(out, NULL, sizeof(kav_lines_header));
    if (!kav_buffer_ok(out)) return false;
    memcpy(header(out)->magic, KAV_LINES_MAGIC, sizeof header(out)->magic);
    memcpy(header(out)->source, source, sizeof header(out)->source);
    return true;
}

void kav_lines_finish(kav_buffer *out)
{
    header(out)->count = (out->length - sizeof(kav_lines_header)) / sizeof(kav_line);
    header(out)->checksum = checksum(out->data, out->length);
}

bool kav_lines_open(kav_lines *lines, const uint8_t *bytes, uint64_t length)
{
    const kav_lines_header *h = (const kav_lines_header *)(const void *)bytes;
    if (length < sizeof *h || (length - sizeof *h) % sizeof(kav_line)) return false;
    if (memcmp(h->magic, KAV_LINES_MAGIC, sizeof h->magic)) return false;
    if (h->count != (length - sizeof *h) / sizeof(kav_line) || h->checksum != checksum(bytes, length)) return false;
    *lines = (kav_lines){h, (const kav_line *)(const void *)(bytes + sizeof *h), h->count};
    return true;
}

enum kav_lines_error kav_lines_build(const kav_lines_text *text, const uint8_t *part, kav_buffer *out)
{
    signatures s;
    reader r = {text, text->text, 1};
    /* A line each: a part that claims more than the text has bytes is refused before anything is allocated. */
    if (!open_signatures(&s, part) || s.count > text->length) return KAV_LINES_DAMAGED;
    if (!kav_lines_begin(out, kav_part_of(part)->source) ||
        kav_buffer_add(out, NULL, s.count * sizeof(kav_line)) == SIZE_MAX)
        return KAV_LINES_MEMORY;
    kav_line *lines = (kav_line *)(void *)(out->data + sizeof(kav_lines_header));
    for (uint64_t i = 0; i < s.count; i++) {
        const char *line;
        size_t length;
        if (!read_line(&r, row_of(&s, i), &line, &length, &lines[i])) return KAV_LINES_DAMAGED;
    }
    sort_lines(lines, s.count, 56);
    out->length = sizeof(kav_lines_header) + each_once(lines, s.count) * sizeof(kav_line);
    kav_lines_finish(out);
    return KAV_LINES_OK;
}

/* ---- differences ----------------------------------------------------------------------------------------------- */

/* The first digest from `at` on that is not less than wanted. Steps that double, then halving: few lines looked up in
 * many cost little, and so do many in many. */
uint64_t kav_lines_seek(const kav_lines *in, uint64_t at, const kav_line *wanted)
{
    uint64_t reach = 1, low = at, high;
    while (reach < in->count - at && kav_line_less(&in->lines[at + reach - 1], wanted)) {
        low = at + reach;
        reach *= 2;
    }
    high = reach < in->count - at ? at + reach : in->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (kav_line_less(&in->lines[middle], wanted)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool is_at(const kav_lines *in, uint64_t at, const kav_line *wanted)
{
    return at < in->count && !kav_line_less(wanted, &in->lines[at]);
}

bool kav_lines_without(const kav_lines *lines, const kav_lines *older, kav_buffer *out)
{
    uint64_t at = 0;
    if (!kav_lines_begin(out, lines->header->source)) return false;
    for (uint64_t i = 0; i < lines->count; i++) {
        at = kav_lines_seek(older, at, &lines->lines[i]);
        if (!is_at(older, at, &lines->lines[i])) kav_buffer_add(out, &lines->lines[i], sizeof *lines->lines);
    }
    if (!kav_buffer_ok(out)) return false;
    kav_lines_finish(out);
    return true;
}

/* ---- their text ------------------------------------------------------------------------------------------------ */

static int compare_rows(const void *x, const void *y)
{
    const kav_line *a = x, *b = y;
    return a->row < b->row ? -1 : a->row > b->row;
}

enum kav_lines_error kav_lines_pick(const kav_lines_text *text, const kav_lines *wanted, kav_buffer *out)
{
    enum kav_lines_error error = KAV_LINES_OK;
    reader r = {text, text->text, 1};
    kav_line *rows = calloc(wanted->count + 1, sizeof *rows);
    if (!rows) return KAV_LINES_MEMORY;
    memcpy(rows, wanted->lines, wanted->count * sizeof *rows);
    qsort(rows, wanted->count, sizeof *rows, compare_rows);
    for (uint64_t i = 0; i < wanted->count && !error; i++) {
        const char *line;
        size_t length;
        kav_line found;
        if (!read_line(&r, rows[i].row, &line, &length, &found) || kav_line_less(&found, &rows[i]) ||
            kav_line_less(&rows[i], &found)) {
            error = KAV_LINES_DAMAGED;
            continue;
        }
        kav_buffer_add(out, line, length);
        kav_buffer_add(out, "\n", 1);
        if (!kav_buffer_ok(out)) error = KAV_LINES_MEMORY;
    }
    free(rows);
    return error;
}
