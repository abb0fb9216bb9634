/* Hash set, building side. hashset_table.h draws the table.
 *
 * The text is read twice: first to count (signatures and name bytes, entries per bucket, distinct sizes), then to put
 * every entry straight into its bucket. Nothing but the table, the set of sizes and the rejects is ever in memory.
 */
#include "hashset_table.h"

#include <stdlib.h>
#include <string.h>

enum { REJECTS_MAX = 100000, ENTRIES_PER_BUCKET = 4, SHORTEST_LINE = 40, BITS_MAX = 22 };

/* Entries are put into at most 2^16 coarse buckets, whose ends stay in the cache, and sorted there: with 8 million
 * lines that is twice as quick as putting each where the table's fine index wants it. */
enum { COARSE_MAX = 16 };

typedef struct {
    enum kav_hash_form form;
    uint32_t level, bits, coarse; /* bits of a bucket in the table and while placing */
    kav_hashset_built *out;
    uint64_t reject_room;
    uint32_t any;
    uint64_t count[KAV_HASH_KINDS];
    uint32_t *bucket[KAV_HASH_KINDS]; /* 2^coarse: first counts, then where the bucket's next entry goes */
    uint64_t *slots;                  /* distinct sizes, as in the table */
    uint64_t slot_count, slots_used;
    uint64_t name_bytes, ordinal; /* so far */
    uint32_t last_line;           /* of a signature */
    uint64_t at[KAV_HP_COUNT];
    uint8_t *table;
} build;

/* What a pass does with a signature. 0, or -1 out of memory. */
typedef int (*taker)(build *b, const kav_hash_line *sig, uint32_t line);
typedef int (*refuser)(build *b, uint32_t line, int why);

static int each_line(build *b, const char *text, uint64_t len, taker take, refuser refuse)
{
    const char *end = text + len;
    kav_hash_line sig;
    for (uint32_t line = 1; text < end; line++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop) stop = end;
        int why = kav_hash_line_read(text, (size_t)(stop - text), b->form, b->level, &sig);
        if ((why == KAV_HL_SIGNATURE ? take(b, &sig, line) : refuse(b, line, why)) < 0) return -1;
        if (line == UINT32_MAX) break;
        text = stop + (stop < end);
    }
    return 0;
}

/* ---- first pass: count ---------------------------------------------------------------------------------------- */

static void slot_put(uint64_t *slots, uint64_t count, uint64_t slot, uint64_t *used)
{
    uint64_t i = kav_hashset_spread(slot >> 3) >> 32;
    for (;; i++) {
        uint64_t *place = &slots[i & (count - 1)];
        if (*place && *place >> 3 != slot >> 3) continue;
        *used += !*place;
        *place |= slot;
        return;
    }
}

/* Add a size; the slots are never more than three quarters full. */
static int size_add(build *b, uint64_t size, unsigned kind)
{
    if (b->slots_used * 4 >= b->slot_count * 3) {
        uint64_t count = b->slot_count * 2, used = 0;
        uint64_t *slots = calloc(count, sizeof *slots);
        if (!slots) return -1;
        for (uint64_t i = 0; i < b->slot_count; i++)
            if (b->slots[i]) slot_put(slots, count, b->slots[i], &used);
        free(b->slots);
        b->slots = slots;
        b->slot_count = count;
    }
    slot_put(b->slots, b->slot_count, size << 3 | 1u << kind, &b->slots_used);
    return 0;
}

static size_t put_varint(uint8_t *out, uint32_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    return n;
}

/* Write the numbers before a name; how many bytes. */
static size_t put_name_head(build *b, uint8_t *out, uint32_t name_len, uint32_t line)
{
    size_t n = put_varint(out, line - b->last_line);
    b->last_line = line;
    return n + put_varint(out + n, name_len);
}

static int count_signature(build *b, const kav_hash_line *sig, uint32_t line)
{
    uint8_t head[10];
    uint32_t **bucket = &b->bucket[sig->kind];
    if (!*bucket && !(*bucket = calloc((size_t)1 << b->coarse, sizeof **bucket))) return -1;
    (*bucket)[kav_hashset_bucket(sig->digest, b->coarse)]++;
    b->count[sig->kind]++;
    b->out->accepted++;
    b->name_bytes += put_name_head(b, head, sig->name_len, line) + sig->name_len;
    if (sig->size != KAV_HASHSET_SIZE_ANY) return size_add(b, sig->size, sig->kind);
    b->any |= 1u << sig->kind;
    return 0;
}

static int count_other(build *b, uint32_t line, int why)
{
    kav_hashset_built *out = b->out;
    if (why == KAV_HL_COMMENT) {
        out->comments++;
        return 0;
    }
    out->reject_count++;
    if (out->reject_kept == REJECTS_MAX) return 0;
    if (out->reject_kept == b->reject_room) {
        uint64_t room = b->reject_room ? 2 * b->reject_room : 64;
        void *more = realloc(out->rejects, room * sizeof *out->rejects);
        if (!more) return -1;
        out->rejects = more;
        b->reject_room = room;
    }
    out->rejects[out->reject_kept++] = (kav_hashset_reject){.line = line, .why = (uint8_t)why};
    return 0;
}

/* ---- between: lay out the table -------------------------------------------------------------------------------- */

static uint64_t bitmap_bytes(const build *b)
{
    return b->slot_count; /* 8 bits a slot: at least 10 a size, so that less than 10 % of other sizes need the slots */
}

static int lay_out(build *b)
{
    uint64_t length[KAV_HP_COUNT] = {[KAV_HP_SIZES] = b->slot_count * 8, [KAV_HP_BITMAP] = bitmap_bytes(b)};
    for (unsigned k = 0; k < KAV_HASH_KINDS; k++) {
        length[KAV_HP_INDEX + 2 * k] = b->count[k] ? (((uint64_t)1 << b->bits) + 1) * 4 : 0;
        length[KAV_HP_ENTRIES + 2 * k] = b->count[k] * kav_hashset_entry_size(k);
    }
    uint64_t blocks = (b->out->accepted + KAV_HASHSET_BLOCK - 1) / KAV_HASHSET_BLOCK;
    length[KAV_HP_BLOCKS] = blocks * sizeof(kav_hashset_block);
    length[KAV_HP_NAMES] = b->name_bytes;
    uint64_t at = sizeof(kav_hashset_header);
    for (unsigned i = 0; i < KAV_HP_COUNT; i++) {
        b->at[i] = at;
        at = (at + length[i] + 7) & ~(uint64_t)7;
    }
    b->out->length = b->at[KAV_HP_END];
    return (b->table = b->out->table = calloc(1, b->out->length)) ? 0 : -1;
}

/* Turn counts into starts. */
static void start_buckets(build *b, unsigned kind)
{
    uint32_t start = 0;
    for (uint64_t i = 0; i < (uint64_t)1 << b->coarse; i++) {
        uint32_t count = b->bucket[kind][i];
        b->bucket[kind][i] = start;
        start += count;
    }
}

static void write_sizes(build *b)
{
    uint8_t *bitmap = b->table + b->at[KAV_HP_BITMAP];
    uint64_t bits = bitmap_bytes(b) * 8;
    memcpy(b->table + b->at[KAV_HP_SIZES], b->slots, b->slot_count * 8);
    for (uint64_t i = 0; i < b->slot_count; i++) {
        if (!b->slots[i]) continue;
        uint64_t bit = (kav_hashset_spread(b->slots[i] >> 3) >> 32) & (bits - 1);
        bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

/* ---- second pass: place ---------------------------------------------------------------------------------------- */

static int place_signature(build *b, const kav_hash_line *sig, uint32_t line)
{
    if (b->ordinal % KAV_HASHSET_BLOCK == 0) {
        kav_hashset_block block = {.offset = b->name_bytes, .line = b->last_line};
        uint64_t i = b->ordinal / KAV_HASHSET_BLOCK;
        memcpy(b->table + b->at[KAV_HP_BLOCKS] + i * sizeof block, &block, sizeof block);
    }
    uint8_t *names = b->table + b->at[KAV_HP_NAMES];
    b->name_bytes += put_name_head(b, names + b->name_bytes, sig->name_len, line);
    memcpy(names + b->name_bytes, sig->name, sig->name_len);
    b->name_bytes += sig->name_len;

    size_t len = kav_hash_length[sig->kind];
    uint32_t ordinal = (uint32_t)b->ordinal++;
    uint64_t place = b->bucket[sig->kind][kav_hashset_bucket(sig->digest, b->coarse)]++;
    uint8_t *entry = b->table + b->at[KAV_HP_ENTRIES + 2 * sig->kind] + place * kav_hashset_entry_size(sig->kind);
    memcpy(entry, sig->digest, len);
    memcpy(entry + len, &sig->size, 8);
    memcpy(entry + len + 8, &ordinal, 4);
    return 0;
}

static int place_nothing(build *b, uint32_t line, int why)
{
    (void)b, (void)line, (void)why;
    return 0;
}

/* By digest, then ordinal; one function for each width, because qsort hands no context over. */
static int compare(const uint8_t *x, const uint8_t *y, size_t len)
{
    uint32_t a, b;
    int order = memcmp(x, y, len);
    if (order) return order;
    memcpy(&a, x + len + 8, 4);
    memcpy(&b, y + len + 8, 4);
    return a < b ? -1 : a > b;
}

static int compare_md5(const void *x, const void *y)
{
    return compare(x, y, 16);
}

static int compare_sha1(const void *x, const void *y)
{
    return compare(x, y, 20);
}

static int compare_sha256(const void *x, const void *y)
{
    return compare(x, y, 32);
}

/* A few entries are quicker to sort by insertion than by qsort. They were placed in order of their ordinals. */
static void sort_few(uint8_t *entries, size_t n, unsigned kind)
{
    size_t width = kav_hashset_entry_size(kind), len = kav_hash_length[kind];
    uint8_t held[44];
    for (size_t i = 1; i < n; i++) {
        size_t j = i;
        memcpy(held, entries + i * width, width);
        for (; j > 0 && memcmp(entries + (j - 1) * width, held, len) > 0; j--)
            memcpy(entries + j * width, entries + (j - 1) * width, width);
        memcpy(entries + j * width, held, width);
    }
}

static void sort_buckets(build *b, unsigned kind)
{
    static int (*const order[KAV_HASH_KINDS])(const void *, const void *) = {compare_md5, compare_sha1, compare_sha256};
    size_t width = kav_hashset_entry_size(kind);
    uint8_t *entries = b->table + b->at[KAV_HP_ENTRIES + 2 * kind];
    uint32_t start = 0;
    for (uint64_t i = 0; i < (uint64_t)1 << b->coarse; i++) {
        uint32_t end = b->bucket[kind][i]; /* after placing: where the next bucket begins */
        if (end - start <= 32) sort_few(entries + start * width, end - start, kind);
        else qsort(entries + start * width, end - start, width, order[kind]);
        start = end;
    }
}

/* Where each of the table's buckets begins, read off the sorted entries. */
static void write_index(build *b, unsigned kind)
{
    const uint8_t *entries = b->table + b->at[KAV_HP_ENTRIES + 2 * kind];
    uint8_t *index = b->table + b->at[KAV_HP_INDEX + 2 * kind];
    size_t width = kav_hashset_entry_size(kind);
    uint32_t n = (uint32_t)b->count[kind], entry = 0;
    for (uint64_t bucket = 0; bucket <= (uint64_t)1 << b->bits; bucket++) {
        while (entry < n && kav_hashset_bucket(entries + entry * width, b->bits) < bucket) entry++;
        memcpy(index + bucket * 4, &entry, 4);
    }
}

static void write_header(build *b)
{
    kav_hashset_header h = {.magic = KAV_HASHSET_MAGIC, .count = b->out->accepted, .any = b->any, .bits = b->bits};
    memcpy(h.at, b->at, sizeof h.at);
    h.checksum = kav_hashset_checksum(&h);
    memcpy(b->table, &h, sizeof h);
}

static int run(build *b, const char *text, uint64_t len)
{
    if (each_line(b, text, len, count_signature, count_other) < 0 || lay_out(b) < 0) return -1;
    for (unsigned k = 0; k < KAV_HASH_KINDS; k++)
        if (b->count[k]) start_buckets(b, k);
    write_sizes(b);
    b->name_bytes = b->last_line = 0;
    each_line(b, text, len, place_signature, place_nothing);
    for (unsigned k = 0; k < KAV_HASH_KINDS; k++)
        if (b->count[k]) sort_buckets(b, k), write_index(b, k);
    write_header(b);
    return 0;
}

int kav_hashset_build(const char *text, uint64_t len, enum kav_hash_form form, uint32_t level, kav_hashset_built *out)
{
    build b = {.form = form, .level = level, .out = out, .slot_count = 64};
    memset(out, 0, sizeof *out);
    while (b.bits < BITS_MAX && (uint64_t)SHORTEST_LINE * ENTRIES_PER_BUCKET << b.bits < len) b.bits++;
    b.coarse = b.bits < COARSE_MAX ? b.bits : COARSE_MAX;
    b.slots = calloc(b.slot_count, sizeof *b.slots);
    int done = b.slots ? run(&b, text, len) : -1;
    free(b.slots);
    for (unsigned k = 0; k < KAV_HASH_KINDS; k++) free(b.bucket[k]);
    if (done < 0) kav_hashset_built_free(out);
    return done;
}

void kav_hashset_built_free(kav_hashset_built *built)
{
    free(built->table);
    free(built->rejects);
    memset(built, 0, sizeof *built);
}
