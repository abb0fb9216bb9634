/* Hash set, reading side. hashset_table.h draws the table.
 *
 * kav_hashset_open checks the header and the extent of every part in constant time, so that a table of hundreds of
 * megabytes is ready at once. What stands inside the parts is checked where it is used: a number that leads outside
 * its part makes that lookup find nothing.
 */
#include "hashset_table.h"

#include <string.h>

/* set->part: the header's offsets, then these. */
enum { PART_COUNT = KAV_HP_COUNT, PART_ANY, PART_BITS };

_Static_assert(PART_BITS < 16, "kav_hashset.part is too short");

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t part_length(const uint64_t *at, unsigned part)
{
    return at[part + 1] - at[part];
}

static bool power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

static uint64_t entry_count(const uint64_t *at, unsigned kind)
{
    return part_length(at, KAV_HP_ENTRIES + 2 * kind) / kav_hashset_entry_size(kind);
}

static bool parts_fit(const kav_hashset_header *h, uint64_t length)
{
    if (h->at[0] != sizeof *h || h->at[KAV_HP_END] != length || h->bits > KAV_HASHSET_BITS_MAX) return false;
    for (unsigned i = 0; i < KAV_HP_END; i++)
        if (h->at[i] % 8 || h->at[i + 1] < h->at[i]) return false;
    uint64_t slots = part_length(h->at, KAV_HP_SIZES), bitmap = part_length(h->at, KAV_HP_BITMAP), entries = 0;
    if (!power_of_two(slots) || !power_of_two(bitmap) || slots < 16 || bitmap < 8) return false;
    for (unsigned k = 0; k < KAV_HASH_KINDS; k++) {
        uint64_t n = entry_count(h->at, k), index = part_length(h->at, KAV_HP_INDEX + 2 * k);
        if (n && index < (((uint64_t)1 << h->bits) + 1) * 4) return false;
        if (n > UINT32_MAX) return false;
        entries += n;
    }
    if (entries != h->count || h->count > UINT32_MAX) return false;
    uint64_t blocks = (h->count + KAV_HASHSET_BLOCK - 1) / KAV_HASHSET_BLOCK;
    return part_length(h->at, KAV_HP_BLOCKS) == blocks * sizeof(kav_hashset_block);
}

int kav_hashset_open(kav_hashset *set, const void *data, uint64_t length)
{
    kav_hashset_header h;
    memset(set, 0, sizeof *set);
    if (length < sizeof h) return -1;
    memcpy(&h, data, sizeof h);
    if (h.magic != KAV_HASHSET_MAGIC || h.checksum != kav_hashset_checksum(&h) || !parts_fit(&h, length)) return -1;
    set->data = data;
    set->length = length;
    memcpy(set->part, h.at, sizeof h.at);
    set->part[PART_COUNT] = h.count;
    set->part[PART_ANY] = h.any & 7;
    set->part[PART_BITS] = h.bits;
    return 0;
}

uint32_t kav_hashset_kinds(const kav_hashset *set, uint64_t size)
{
    uint32_t kinds = (uint32_t)set->part[PART_ANY];
    if (!set->data || size > KAV_HASHSET_SIZE_MAX) return kinds;
    uint64_t spread = kav_hashset_spread(size);
    uint64_t bits = part_length(set->part, KAV_HP_BITMAP) * 8, bit = (spread >> 32) & (bits - 1);
    if (!(set->data[set->part[KAV_HP_BITMAP] + bit / 8] >> bit % 8 & 1)) return kinds;
    const uint8_t *slots = set->data + set->part[KAV_HP_SIZES];
    uint64_t count = part_length(set->part, KAV_HP_SIZES) / 8, i = spread >> 32;
    for (uint64_t tries = 0; tries < count; tries++, i++) {
        uint64_t slot = load64(slots + 8 * (i & (count - 1)));
        if (!slot) break;
        if (slot >> 3 == size) return kinds | (uint32_t)(slot & 7);
    }
    return kinds;
}

bool kav_hashset_next_size(const kav_hashset *set, uint64_t *at, uint64_t *size)
{
    const uint8_t *slots = set->data + set->part[KAV_HP_SIZES];
    uint64_t count = set->data ? part_length(set->part, KAV_HP_SIZES) / 8 : 0;
    while (*at < count) {
        uint64_t slot = load64(slots + 8 * (*at)++);
        if (!slot) continue;
        *size = slot >> 3;
        return true;
    }
    return false;
}

enum { FIND_MAX = 256 };

#define GONE UINT64_MAX

static int read_varint(const uint8_t **p, const uint8_t *end, uint32_t *out)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 32 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *out = value;
            return 1;
        }
    }
    return 0;
}

bool kav_hashset_at(const kav_hashset *set, uint64_t i, kav_hashset_hit *out)
{
    if (i >= set->part[PART_COUNT]) return false;
    kav_hashset_block block;
    memcpy(&block, set->data + set->part[KAV_HP_BLOCKS] + i / KAV_HASHSET_BLOCK * sizeof block, sizeof block);
    const uint8_t *p = set->data + set->part[KAV_HP_NAMES], *end = set->data + set->part[KAV_HP_END];
    if (block.offset >= (uint64_t)(end - p)) return false;
    p += block.offset;
    uint32_t line = block.line, step, len;
    for (uint64_t skip = i % KAV_HASHSET_BLOCK;; skip--) {
        if (!read_varint(&p, end, &step) || !read_varint(&p, end, &len) || len > (uint64_t)(end - p)) return false;
        line += step;
        if (!skip) break;
        p += len;
    }
    *out = (kav_hashset_hit){.name = (const char *)p, .name_len = len, .line = line};
    return true;
}

/* A signature that was found: its line now, then its ordinal, so that the least line comes first. Where no line has
 * moved, ordinals are in the order of lines. */
static uint64_t rank(const kav_hashset *set, uint32_t ordinal)
{
    kav_hashset_hit hit;
    if (!set->moved.now) return (uint64_t)1 << 32 | ordinal;
    uint64_t line = kav_hashset_at(set, ordinal, &hit) ? kav_moved_line(&set->moved, hit.line) : 0;
    return line ? line << 32 | ordinal : GONE;
}

/* Keep the rank if it is among the max least so far; out is sorted. */
static size_t keep(uint64_t *out, size_t n, size_t max, uint64_t rank)
{
    if (rank == GONE) return n;
    if (n == max) {
        if (n == 0 || rank >= out[n - 1]) return n;
        n--;
    }
    size_t i = n;
    for (; i > 0 && out[i - 1] > rank; i--) out[i] = out[i - 1];
    out[i] = rank;
    return n + 1;
}

/* The first entry in [low, high) whose digest is not less. */
static uint32_t lower_bound(const uint8_t *entries, unsigned kind, const uint8_t *digest, uint32_t low, uint32_t high)
{
    size_t width = kav_hashset_entry_size(kind), len = kav_hash_length[kind];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(entries + middle * width, digest, len) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

static size_t find_kind(const kav_hashset *set, unsigned kind, uint64_t size, const uint8_t *digest, uint64_t *found,
                        size_t n, size_t max)
{
    uint64_t count = entry_count(set->part, kind);
    if (!count) return n;
    const uint8_t *index = set->data + set->part[KAV_HP_INDEX + 2 * kind];
    const uint8_t *entries = set->data + set->part[KAV_HP_ENTRIES + 2 * kind];
    size_t width = kav_hashset_entry_size(kind), len = kav_hash_length[kind];
    uint32_t bucket = kav_hashset_bucket(digest, (uint32_t)set->part[PART_BITS]);
    uint32_t low = load32(index + 4 * (uint64_t)bucket), high = load32(index + 4 * ((uint64_t)bucket + 1));
    if (low > high || high > count) return n;
    for (uint32_t i = lower_bound(entries, kind, digest, low, high); i < high; i++) {
        const uint8_t *entry = entries + i * width;
        if (memcmp(entry, digest, len)) break;
        uint64_t want = load64(entry + len);
        if (want == size || want == KAV_HASHSET_SIZE_ANY) n = keep(found, n, max, rank(set, load32(entry + len + 8)));
    }
    return n;
}

size_t kav_hashset_find(const kav_hashset *set, uint64_t size, const kav_digests *digests, kav_hashset_hit *out,
                        size_t max)
{
    uint64_t found[FIND_MAX];
    const uint8_t *digest[KAV_HASH_KINDS] = {digests->md5, digests->sha1, digests->sha256};
    size_t n = 0, hits = 0;
    if (max > FIND_MAX) max = FIND_MAX;
    if (!set->data) return 0;
    for (unsigned k = 0; k < KAV_HASH_KINDS; k++)
        if (digests->have >> k & 1) n = find_kind(set, k, size, digest[k], found, n, max);
    for (size_t i = 0; i < n; i++) {
        if (!kav_hashset_at(set, (uint32_t)found[i], &out[hits])) continue;
        out[hits].line = kav_moved_line(&set->moved, out[hits].line);
        hits++;
    }
    return hits;
}

uint64_t kav_hashset_count(const kav_hashset *set)
{
    return set->part[PART_COUNT];
}
