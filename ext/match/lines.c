#include "lines.h"
#include "body.h"
#include "checksum.h"
#include "hashset.h"
#include "part.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* ---- the lines that were taken --------------------------------------------------------------------------------- */

/* Steps through the signatures of a part and, beside them, through the text: both are in the order of lines. */
typedef struct {
    const kav_lines_text *text;
    kav_body body;
    kav_hashset set;
    uint64_t next;  /* signature */
    const char *at; /* in the text: where line number `row` begins */
    uint32_t row;   /* from 1 */
    EVP_MD_CTX *digest;
    EVP_MD *sha256;
} stepper;

static void stepper_free(stepper *s)
{
    EVP_MD_CTX_free(s->digest);
    EVP_MD_free(s->sha256);
}

static enum kav_lines_error stepper_new(stepper *s, const kav_lines_text *text)
{
    *s = (stepper){.text = text, .at = text->text, .row = 1};
    s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    s->digest = EVP_MD_CTX_new();
    enum kav_lines_error error = KAV_LINES_DAMAGED;
    if (!s->sha256 || !s->digest || !EVP_DigestInit_ex2(s->digest, s->sha256, NULL)) {
        error = KAV_LINES_MEMORY;
    } else if (kav_part_of(text->part)->kind == KAV_P_BODY) {
        if (kav_body_open(&s->body, text->part)) return KAV_LINES_OK;
    } else if (kav_part_of(text->part)->kind != KAV_P_GROUP && kav_part_of(text->part)->kind != KAV_P_IGNORE) {
        uint64_t length = kav_part_of(text->part)->tables[KAV_TAB_SET].length;
        if (kav_hashset_open(&s->set, kav_part_data(text->part, KAV_TAB_SET), length) == 0) return KAV_LINES_OK;
    }
    stepper_free(s);
    return error;
}

static uint64_t taken_count(const stepper *s)
{
    return s->set.data ? kav_hashset_count(&s->set) : s->body.signature_count;
}

/* The line number of the next signature; 0 when there is none that can be read. */
static uint32_t next_row(stepper *s)
{
    kav_hashset_hit hit;
    uint64_t i = s->next++;
    if (!s->set.data) return s->body.signatures[i].line;
    return kav_hashset_at(&s->set, i, &hit) ? hit.line : 0;
}

static bool digest_line(stepper *s, const char *line, size_t length, kav_line_digest *out)
{
    uint8_t whole[EVP_MAX_MD_SIZE];
    bool done = EVP_DigestInit_ex2(s->digest, NULL, NULL) &&
                EVP_DigestUpdate(s->digest, s->text->form, s->text->form_length + 1) && /* its NUL parts them */
                EVP_DigestUpdate(s->digest, line, length) && EVP_DigestFinal_ex(s->digest, whole, NULL);
    if (done) memcpy(out, whole, sizeof *out);
    return done;
}

/* The next taken line, without its line end, and its digest. */
static enum kav_lines_error step(stepper *s, const char **line, size_t *length, kav_line_digest *digest)
{
    const char *end = s->text->text + s->text->length;
    uint32_t wanted = next_row(s);
    if (wanted < s->row) return KAV_LINES_DAMAGED;
    for (;; s->row++) {
        if (s->at == end) return KAV_LINES_DAMAGED;
        const char *start = s->at, *stop = memchr(start, '\n', (size_t)(end - start));
        s->at = stop ? stop + 1 : end;
        if (s->row < wanted) continue;
        if (!stop) stop = end;
        while (stop > start && stop[-1] == '\r') stop--;
        *line = start;
        *length = (size_t)(stop - start);
        s->row++;
        return digest_line(s, start, *length, digest) ? KAV_LINES_OK : KAV_LINES_MEMORY;
    }
}

/* ---- sorting --------------------------------------------------------------------------------------------------- */

static inline bool less(const kav_line_digest *a, const kav_line_digest *b)
{
    return a->high != b->high ? a->high < b->high : a->low < b->low;
}

enum { FEW = 32, BYTE = 256, LAST_SHIFT = 8 };

static void sort_few(kav_line_digest *d, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        kav_line_digest held = d[i];
        uint64_t j = i;
        for (; j > 0 && less(&held, &d[j - 1]); j--) d[j] = d[j - 1];
        d[j] = held;
    }
}

/* In place, by one byte of `high` after the other from the highest: each digest is swapped to where its byte's stretch
 * is filled up. Equal digests (the same line many times) end in sort_few, which leaves them alone. */
static void sort_digests(kav_line_digest *d, uint64_t count, unsigned shift)
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
            kav_line_digest held = d[next[b]];
            unsigned home = held.high >> shift & 255;
            d[next[b]] = d[next[home]];
            d[next[home]++] = held;
        }
    }
    for (int b = 0; b < BYTE; b++) {
        uint64_t start = b ? ends[b - 1] : 0;
        sort_digests(d + start, ends[b] - start, shift - 8);
    }
}

static uint64_t each_once(kav_line_digest *d, uint64_t count)
{
    uint64_t kept = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (!kept || less(&d[kept - 1], &d[i])) d[kept++] = d[i];
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

static bool begin(kav_buffer *out, const uint8_t source[32])
{
    kav_buffer_add(out, NULL, sizeof(kav_lines_header));
    if (!kav_buffer_ok(out)) return false;
    memcpy(header(out)->magic, KAV_LINES_MAGIC, sizeof header(out)->magic);
    memcpy(header(out)->source, source, sizeof header(out)->source);
    return true;
}

static void finish(kav_buffer *out)
{
    header(out)->count = (out->length - sizeof(kav_lines_header)) / sizeof(kav_line_digest);
    header(out)->checksum = checksum(out->data, out->length);
}

bool kav_lines_open(kav_lines *lines, const uint8_t *bytes, uint64_t length)
{
    const kav_lines_header *h = (const kav_lines_header *)(const void *)bytes;
    if (length < sizeof *h || (length - sizeof *h) % sizeof(kav_line_digest)) return false;
    if (memcmp(h->magic, KAV_LINES_MAGIC, sizeof h->magic)) return false;
    if (h->count != (length - sizeof *h) / sizeof(kav_line_digest) || h->checksum != checksum(bytes, length))
        return false;
    *lines = (kav_lines){h, (const kav_line_digest *)(const void *)(bytes + sizeof *h), h->count};
    return true;
}

enum kav_lines_error kav_lines_build(const kav_lines_text *text, kav_buffer *out)
{
    stepper s;
    enum kav_lines_error error = stepper_new(&s, text);
    if (error) return error;
    uint64_t count = taken_count(&s);
    /* A line each, so a part that claims more than the text has bytes is refused before anything is allocated. */
    if (count > text->length) error = KAV_LINES_DAMAGED;
    else if (!begin(out, kav_part_of(text->part)->source) ||
             kav_buffer_add(out, NULL, count * sizeof(kav_line_digest)) == SIZE_MAX)
        error = KAV_LINES_MEMORY;
    kav_line_digest *digests = error ? NULL : (kav_line_digest *)(void *)(out->data + sizeof(kav_lines_header));
    for (uint64_t i = 0; i < count && !error; i++) {
        const char *line;
        size_t length;
        error = step(&s, &line, &length, &digests[i]);
    }
    stepper_free(&s);
    if (error) return error;
    sort_digests(digests, count, 56);
    out->length = sizeof(kav_lines_header) + each_once(digests, count) * sizeof(kav_line_digest);
    finish(out);
    return KAV_LINES_OK;
}

/* ---- differences ----------------------------------------------------------------------------------------------- */

/* The first digest from `at` on that is not less than wanted. Steps that double, then halving: few lines looked up in
 * many cost little, and so do many in many. */
static uint64_t seek(const kav_lines *in, uint64_t at, const kav_line_digest *wanted)
{
    uint64_t reach = 1, low = at, high;
    while (reach < in->count - at && less(&in->digests[at + reach - 1], wanted)) {
        low = at + reach;
        reach *= 2;
    }
    high = reach < in->count - at ? at + reach : in->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (less(&in->digests[middle], wanted)) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool is_at(const kav_lines *in, uint64_t at, const kav_line_digest *wanted)
{
    return at < in->count && !less(wanted, &in->digests[at]);
}

bool kav_lines_without(const kav_lines *lines, const kav_lines *older, kav_buffer *out)
{
    uint64_t at = 0;
    if (!begin(out, lines->header->source)) return false;
    for (uint64_t i = 0; i < lines->count; i++) {
        at = seek(older, at, &lines->digests[i]);
        if (!is_at(older, at, &lines->digests[i])) kav_buffer_add(out, &lines->digests[i], sizeof *lines->digests);
    }
    if (!kav_buffer_ok(out)) return false;
    finish(out);
    return true;
}

static bool has(const kav_lines *in, const kav_line_digest *wanted)
{
    return is_at(in, seek(in, 0, wanted), wanted);
}

enum kav_lines_error kav_lines_pick(const kav_lines_text *text, const kav_lines *wanted, kav_buffer *out, size_t count)
{
    stepper s;
    enum kav_lines_error error = stepper_new(&s, text);
    if (error) return error;
    for (uint64_t i = 0, lines = taken_count(&s); i < lines && !error; i++) {
        const char *line;
        size_t length;
        kav_line_digest digest;
        error = step(&s, &line, &length, &digest);
        for (size_t k = 0; k < count && !error; k++) {
            if (!has(&wanted[k], &digest)) continue;
            kav_buffer_add(&out[k], line, length);
            kav_buffer_add(&out[k], "\n", 1);
            if (!kav_buffer_ok(&out[k])) error = KAV_LINES_MEMORY;
        }
    }
    stepper_free(&s);
    return error;
}
