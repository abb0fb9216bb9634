#define _GNU_SOURCE
#include "compile.h"

#include <hs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SAMPLES 512

/* Vectorscan 5.4.9 misses matches on CPUs with AVX-512 when a database holds few literals: the byte searches with which
 * it then skips ahead are wrong near a vector's end (upstream pull requests 318, 373 and 378 are about these). With two
 * literals one match in a thousand was lost, with four strange ones added none in 300,000. So every database gets some
 * that occur nowhere: too many different bytes for such a search. The test of small databases guards it. */
#define FILLERS       64
#define FILLER_LENGTH 8
#define FILLER_TEXT   (4 * FILLER_LENGTH + 1) /* \xhh for each byte */

/* Arrays for the compiler: one row per literal. */
typedef struct {
    const char **texts;
    unsigned *flags, *ids;
    size_t *lengths;
    char *terminated; /* weak: the texts, each with a NUL; then the fillers */
} rows;

static void free_rows(rows *r)
{
    free(r->texts);
    free(r->flags);
    free(r->ids);
    free(r->lengths);
    free(r->terminated);
}

/* The i-th filler's bytes: noise, without NUL. */
static void filler(uint32_t i, uint8_t bytes[FILLER_LENGTH])
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
    for (uint32_t k = 0; k < FILLER_LENGTH; k++) {
        x = (x ^ (x >> 29)) * 0xd6e8feb86659fd93u;
        bytes[k] = (uint8_t)(1 + (x >> 40) % 255);
    }
}

static void add_fillers(const kav_compile *job, rows *r, char *text)
{
    for (uint32_t i = 0; i < FILLERS; i++) {
        uint8_t bytes[FILLER_LENGTH];
        filler(i, bytes);
        r->texts[job->count + i] = text;
        r->lengths[job->count + i] = FILLER_LENGTH;
        r->ids[job->count + i] = KAV_NONE; /* no literal has this number: a match is passed over */
        for (uint32_t k = 0; k < FILLER_LENGTH; k++) {
            if (job->kind == KAV_DB_WEAK) snprintf(text + 4 * k, 5, "\\x%02x", bytes[k]);
            else text[k] = (char)bytes[k];
        }
        text += FILLER_TEXT;
    }
}

static bool make_rows(const kav_compile *job, rows *r)
{
    size_t n = job->count + FILLERS, bytes = FILLERS * FILLER_TEXT;
    for (size_t i = 0; i < job->count; i++) bytes += job->literals[job->wanted[i]].text_length + 1;
    *r = (rows){calloc(n, sizeof *r->texts), calloc(n, sizeof *r->flags), calloc(n, sizeof *r->ids),
                calloc(n, sizeof *r->lengths), calloc(bytes, 1)};
    if (!r->texts || !r->flags || !r->ids || !r->lengths || !r->terminated) return false;
    char *text = r->terminated;
    for (size_t i = 0; i < job->count; i++) {
        const kav_literal *l = &job->literals[job->wanted[i]];
        r->flags[i] = l->flags & KAV_LF_NOCASE ? HS_FLAG_CASELESS : 0;
        r->ids[i] = job->wanted[i];
        r->lengths[i] = l->length;
        r->texts[i] = job->kind == KAV_DB_WEAK ? text : (const char *)l->bytes;
        if (job->kind == KAV_DB_WEAK) {
            r->flags[i] |= HS_FLAG_DOTALL;
            memcpy(text, job->texts + l->text, l->text_length);
            text += l->text_length + 1;
        }
    }
    add_fillers(job, r, text);
    return true;
}

static hs_database_t *compile(kav_compile *job)
{
    rows r;
    hs_database_t *db = NULL;
    hs_compile_error_t *error = NULL;
    if (!make_rows(job, &r)) {
        snprintf(job->why, sizeof job->why, "out of memory");
    } else if (job->kind == KAV_DB_WEAK) {
        hs_compile_multi(r.texts, r.flags, r.ids, job->count + FILLERS, HS_MODE_BLOCK, NULL, &db, &error);
    } else {
        hs_compile_lit_multi(r.texts, r.flags, r.ids, r.lengths, job->count + FILLERS, HS_MODE_BLOCK, NULL, &db,
                             &error);
    }
    if (error) {
        snprintf(job->why, sizeof job->why, "Vectorscan: %.120s", error->message);
        hs_free_compile_error(error);
    }
    free_rows(&r);
    return db;
}

typedef struct {
    uint64_t count, sum;
} tally;

static int count_match(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    tally *t = context;
    (void)from;
    (void)flags;
    t->count++;
    t->sum += (uint64_t)(id + 1) * (to + 7);
    return 0;
}

static uint8_t hex_at(const uint8_t *text)
{
    char digits[3] = {(char)text[2], (char)text[3], 0}; /* behind "\x" */
    return (uint8_t)strtoul(digits, NULL, 16);
}

/* Bytes that an expression of literal.c matches: of each place the first that is allowed. */
static uint32_t example(const uint8_t *text, uint32_t length, uint8_t *out)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i + 1 <= length && n < KAV_OVERLAP; n++) {
        if (text[i] == '.') {
            out[n] = '~';
            i++;
        } else if (text[i] == '[' && length - i > 5) {
            out[n] = hex_at(text + i + 1);
            while (i < length && text[i] != ']') i++;
            i++;
        } else if (length - i >= 4) {
            out[n] = hex_at(text + i);
            i += 4;
        } else {
            break;
        }
    }
    return n;
}

static tally scan_samples(const hs_database_t *db, const kav_compile *job)
{
    tally t = {0};
    uint8_t text[SAMPLES * (KAV_OVERLAP + 1)];
    hs_scratch_t *scratch = NULL;
    uint32_t length = 0, step = job->count / SAMPLES + 1;
    for (uint32_t i = 0; i < job->count; i += step) {
        const kav_literal *l = &job->literals[job->wanted[i]];
        if (job->kind == KAV_DB_WEAK) {
            length += example(job->texts + l->text, l->text_length, text + length);
        } else {
            memcpy(text + length, l->bytes, l->length);
            length += l->length;
        }
        text[length++] = '\n';
    }
    if (hs_alloc_scratch(db, &scratch) != HS_SUCCESS) return t;
    if (hs_scan(db, (const char *)text, length, 0, scratch, count_match, &t) != HS_SUCCESS) t.count = 0;
    hs_free_scratch(scratch);
    return t;
}

/* Bytes that can be scanned where they lie, at any page boundary: made at one address, tried at another, read-only. */
static bool try_mapped(kav_compile *job, const hs_database_t *db, const char *serial, size_t serial_length)
{
    size_t length = 0;
    if (hs_serialized_database_size(serial, serial_length, &length) != HS_SUCCESS) return false;
    void *made = aligned_alloc(KAV_PAGE, (length + KAV_PAGE - 1) / KAV_PAGE * KAV_PAGE);
    void *tried = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool good = made && tried != MAP_FAILED;
    if (good) {
        memset(made, 0, length);
        good = hs_deserialize_database_at(serial, serial_length, made) == HS_SUCCESS;
    }
    if (good) {
        memcpy(tried, made, length);
        mprotect(tried, length, PROT_READ);
        tally expected = scan_samples(db, job), got = scan_samples(tried, job);
        good = expected.count && expected.count == got.count && expected.sum == got.sum;
    }
    if (tried != MAP_FAILED) munmap(tried, length);
    if (good && (job->bytes = malloc(length))) {
        memcpy(job->bytes, made, length);
        job->length = length;
        job->form = KAV_FORM_MAPPED;
    }
    free(made);
    return job->bytes != NULL;
}

bool kav_compile_run(kav_compile *job)
{
    hs_database_t *db = compile(job);
    char *serial = NULL;
    size_t length = 0;
    if (!db) return false;
    if (hs_serialize_database(db, &serial, &length) != HS_SUCCESS) {
        snprintf(job->why, sizeof job->why, "out of memory");
        hs_free_database(db);
        return false;
    }
    if (!try_mapped(job, db, serial, length) && (job->bytes = malloc(length))) {
        memcpy(job->bytes, serial, length);
        job->length = length;
        job->form = KAV_FORM_SERIAL;
    }
    free(serial);
    hs_free_database(db);
    if (!job->bytes) snprintf(job->why, sizeof job->why, "out of memory");
    return job->bytes != NULL;
}
