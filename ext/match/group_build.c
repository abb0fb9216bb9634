#include "group.h"
#include "charset.h"
#include "compile.h"
#include "intern.h"
#include "kav.h"
#include "part.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is collected from the bodies, and the databases to make of it. */
typedef struct {
    kav_buffer literals; /* kav_literal, each once; posting = posting_count so far while merging */
    kav_buffer texts;    /* of weak ones */
    kav_buffer pairs;    /* kav_pair: literal, posting */
    kav_intern index;
    kav_compile jobs[KAV_DB_KINDS * KAV_TARGETS];
    uint32_t *wanted[KAV_DB_KINDS * KAV_TARGETS];
    uint32_t job_count;
    atomic_uint next; /* the job that a thread takes next */
} builder;

typedef struct {
    uint32_t literal;
    kav_posting posting;
} kav_pair;

static bool same_literal(const void *context, uint32_t index, const void *key)
{
    const builder *b = context;
    const kav_literal *x = KAV_ITEM(b->literals, const kav_literal, index), *y = key;
    return x->length == y->length && x->flags == y->flags && !memcmp(x->bytes, y->bytes, sizeof x->bytes) &&
           x->text_length == y->text_length &&
           (!x->text_length || !memcmp(b->texts.data + x->text, b->texts.data + y->text, x->text_length));
}

/* The literal's index among the merged ones. */
static uint32_t intern_literal(builder *b, const kav_body *body, const kav_literal *l)
{
    kav_literal key = {.length = l->length, .flags = l->flags, .text_length = l->text_length};
    memcpy(key.bytes, l->bytes, sizeof key.bytes);
    key.text = (uint32_t)kav_buffer_add(&b->texts, body->data + l->text, l->text_length);
    if (!kav_buffer_ok(&b->texts)) return KAV_NONE;
    uint64_t hash = l->text_length ? kav_intern_hash(b->texts.data + key.text, key.text_length)
                                   : kav_intern_hash(key.bytes, sizeof key.bytes);
    uint32_t index = kav_intern_find(&b->index, hash, same_literal, b, &key);
    if (index != KAV_NONE) {
        b->texts.length = key.text;
        return index;
    }
    index = KAV_COUNT(b->literals, kav_literal);
    kav_buffer_add(&b->literals, &key, sizeof key);
    return kav_buffer_ok(&b->literals) && kav_intern_add(&b->index, hash, index) ? index : KAV_NONE;
}

static void merge_literal(builder *b, const kav_body *body, uint32_t member, const kav_literal *l)
{
    uint32_t index = intern_literal(b, body, l);
    if (index == KAV_NONE) {
        b->literals.failed = true;
        return;
    }
    kav_literal *merged = KAV_ITEM(b->literals, kav_literal, index);
    merged->targets |= l->targets;
    merged->posting_count += l->posting_count;
    for (uint32_t i = 0; i < l->posting_count; i++) {
        kav_pair pair = {index, {member, body->postings[l->posting + i]}};
        kav_buffer_add(&b->pairs, &pair, sizeof pair);
    }
}

/* Does this database look for the literal? */
static bool takes(enum kav_stored_kind kind, uint16_t targets, const kav_literal *l)
{
    if (((l->flags & KAV_LF_WEAK) != 0) != (kind == KAV_DB_WEAK) || !(l->targets & targets)) return false;
    if (kind != KAV_DB_ASCII && kind != KAV_DB_PLAIN) return true;
    enum kav_charset set = kind == KAV_DB_ASCII ? KAV_CS_ASCII : KAV_CS_PLAIN;
    for (uint32_t i = 0; i < l->length; i++) {
        if (!kav_charset_has(set, l->bytes[i])) return false;
    }
    return true;
}

static bool plan_job(builder *b, enum kav_stored_kind kind, uint16_t targets, uint16_t serves)
{
    uint32_t count = KAV_COUNT(b->literals, kav_literal), n = 0;
    const kav_literal *literals = KAV_ITEM(b->literals, const kav_literal, 0);
    uint32_t *wanted = malloc((count + 1) * sizeof *wanted);
    if (!wanted) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (takes(kind, targets, &literals[i])) wanted[n++] = i;
    }
    b->wanted[b->job_count] = wanted;
    b->jobs[b->job_count++] = (kav_compile){
        .literals = literals, .wanted = wanted, .count = n, .targets = serves, .kind = kind, .texts = b->texts.data};
    return true;
}

/* Which databases: one per target with literals of its own, one for the rest; each fast and weak. Besides, a narrow one
 * for what texts are mostly made of, and for the form that signatures for texts and pages are made for. */
static bool plan_jobs(builder *b)
{
    const uint16_t any = 1u << KAV_T_ANY, forms = 1u << KAV_T_TEXT | 1u << KAV_T_HTML;
    uint32_t count = KAV_COUNT(b->literals, kav_literal);
    for (int weak = 0; weak < 2; weak++) {
        uint16_t own = 0;
        for (uint32_t i = 0; i < count; i++) {
            const kav_literal *l = KAV_ITEM(b->literals, const kav_literal, i);
            if (((l->flags & KAV_LF_WEAK) != 0) == weak) own |= l->targets;
        }
        for (int t = KAV_TARGETS - 1; t >= 0; t--) {
            uint16_t bit = (uint16_t)(1u << t), targets = bit | any, serves = t ? bit : (uint16_t)(~own | any);
            if (!(own & bit)) continue;
            if (!plan_job(b, weak ? KAV_DB_WEAK : KAV_DB_FAST, targets, serves)) return false;
            if (!weak && t == KAV_T_ANY && !plan_job(b, KAV_DB_ASCII, targets, serves)) return false;
            if (!weak && bit & forms && !plan_job(b, KAV_DB_PLAIN, targets, serves)) return false;
        }
    }
    return true;
}

static int by_size(const void *a, const void *b)
{
    const kav_compile *x = a, *y = b;
    return x->count > y->count ? -1 : x->count < y->count;
}

static void *work(void *context)
{
    builder *b = context;
    for (unsigned i; (i = atomic_fetch_add(&b->next, 1)) < b->job_count;) {
        if (!kav_compile_run(&b->jobs[i])) break;
    }
    return NULL;
}

/* Largest first, so that the threads end together. */
static bool run_jobs(builder *b, int threads, char *why, size_t why_len)
{
    pthread_t others[16];
    int started = 0;
    qsort(b->jobs, b->job_count, sizeof *b->jobs, by_size);
    while (started < threads - 1 && started < 16 && (uint32_t)started + 1 < b->job_count &&
           pthread_create(&others[started], NULL, work, b) == 0)
        started++;
    work(b);
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
    for (uint32_t i = 0; i < b->job_count; i++) {
        if (b->jobs[i].bytes) continue;
        snprintf(why, why_len, "%s", b->jobs[i].why[0] ? b->jobs[i].why : "compiling was given up");
        return false;
    }
    return true;
}

/* Postings by literal: counted, summed up, filled in. */
static void write_postings(const builder *b, kav_buffer *out)
{
    uint32_t count = KAV_COUNT(b->literals, kav_literal), pairs = KAV_COUNT(b->pairs, kav_pair);
    const kav_literal *literals = KAV_ITEM(b->literals, const kav_literal, 0);
    uint32_t *firsts = calloc(count + 2, sizeof *firsts);
    kav_posting *postings = calloc(pairs + 1u, sizeof *postings);
    if (firsts && postings) {
        for (uint32_t i = 0; i < count; i++) firsts[i + 1] = firsts[i] + literals[i].posting_count;
        for (uint32_t i = 0; i < pairs; i++) {
            const kav_pair *pair = KAV_ITEM(b->pairs, const kav_pair, i);
            postings[firsts[pair->literal]++] = pair->posting;
        }
        memmove(firsts + 1, firsts, count * sizeof *firsts); /* each first had become the next one's */
        firsts[0] = 0;
        kav_part_table(out, KAV_TAB_FIRSTS, firsts, (count + 1) * sizeof *firsts);
        kav_part_table(out, KAV_TAB_GROUP_POSTINGS, postings, pairs * sizeof *postings);
    } else {
        out->failed = true;
    }
    free(firsts);
    free(postings);
}

static bool write_group(const builder *b, const kav_body *bodies, uint32_t count, kav_buffer *out)
{
    kav_part_begin(out);
    kav_part_table(out, KAV_TAB_DATABASE, "", 0);
    kav_buffer members = {0}, stored = {0};
    for (uint32_t i = 0; i < count; i++) {
        kav_member member = {.checksum = kav_part_of(bodies[i].part)->checksum};
        memcpy(member.source, kav_part_of(bodies[i].part)->source, sizeof member.source);
        kav_buffer_add(&members, &member, sizeof member);
    }
    kav_part_table(out, KAV_TAB_MEMBERS, members.data, members.length);
    write_postings(b, out);
    for (uint32_t i = 0; i < b->job_count; i++) {
        const kav_compile *job = &b->jobs[i];
        kav_buffer_align(out, KAV_PAGE);
        kav_stored row = {0, job->length, job->targets, job->kind, job->form, 0};
        row.offset = kav_buffer_add(out, job->bytes, job->length);
        kav_buffer_add(&stored, &row, sizeof row);
    }
    kav_part_table(out, KAV_TAB_STORED, stored.data, stored.length);
    bool ok = kav_buffer_ok(&members) && kav_buffer_ok(&stored) && kav_buffer_ok(out);
    if (ok) kav_group_stamp(((kav_part_header *)(void *)out->data)->stamp);
    kav_buffer_free(&members);
    kav_buffer_free(&stored);
    return ok && kav_part_finish(out, KAV_P_GROUP, 0, NULL);
}

bool kav_group_build(const kav_body *bodies, uint32_t count, int threads, kav_buffer *out, char *why, size_t why_len)
{
    builder *b = calloc(1, sizeof *b);
    bool ok = b != NULL;
    snprintf(why, why_len, "out of memory");
    for (uint32_t i = 0; ok && i < count; i++) {
        for (uint32_t k = 0; k < bodies[i].literal_count; k++) merge_literal(b, &bodies[i], i, &bodies[i].literals[k]);
    }
    ok = ok && kav_buffer_ok(&b->literals) && kav_buffer_ok(&b->pairs) && plan_jobs(b) &&
         run_jobs(b, threads, why, why_len) && write_group(b, bodies, count, out);
    for (uint32_t i = 0; b && i < b->job_count; i++) {
        free(b->wanted[i]);
        free(b->jobs[i].bytes);
    }
    if (b) {
        kav_buffer_free(&b->literals);
        kav_buffer_free(&b->texts);
        kav_buffer_free(&b->pairs);
        kav_intern_free(&b->index);
    }
    free(b);
    return ok;
}
