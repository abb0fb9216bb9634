/* Seek: two bytes of each beginning are compared for many places at once, as wide as the processor can. */
#include "seek.h"
#include "numbers.h"

#include <string.h>

typedef uint8_t lanes __attribute__((vector_size(32)));

/* Two bytes in the midst of a beginning, and all of it around them. */
typedef struct {
    char bytes[8];
    uint8_t length;
    uint8_t pair; /* where the two stand in it */
} beginning;

static const beginning BEGINNINGS[KAV_SEEK_COUNT] = {
    [KAV_SEEK_RAR] = {"Rar!\x1a\7", 6, 2},   [KAV_SEEK_7Z] = {"7z\xbc\xaf\x27\x1c", 6, 2},
    [KAV_SEEK_CAB] = {"MSCF\0\0\0\0", 8, 2}, [KAV_SEEK_ZIP] = {"PK\3\4", 4, 2},
    [KAV_SEEK_PE] = {"PE\0\0", 4, 0},
};

enum { LONGEST = 8, BLOCK = 128, LANES = sizeof(lanes) };

/* How many bytes, in whole blocks, no pair begins in. Reads one byte more than it looks at. No pair has a NUL. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default")))
#endif
static size_t
pass_over(const uint8_t *p, size_t length)
{
    size_t at = 0;
    for (; length - at > BLOCK; at += BLOCK) {
        lanes any = {0};
        for (int i = 0; i < BLOCK; i += LANES) {
            lanes a, b;
            memcpy(&a, p + at + i, sizeof a);
            memcpy(&b, p + at + i + 1, sizeof b);
            any |= (lanes)((a == 'C') & (b == 'F'));
            any |= (lanes)((a == 'r') & (b == '!'));
            any |= (lanes)((a == 0xbc) & (b == 0xaf));
            any |= (lanes)((a == 3) & (b == 4));
            any |= (lanes)((a == 'P') & (b == 'E'));
        }
        uint64_t words[LANES / 8];
        memcpy(words, &any, sizeof words);
        if (words[0] | words[1] | words[2] | words[3]) break;
    }
    return at;
}

static void keep(kav_seek *seek, unsigned kind, uint64_t offset)
{
    uint32_t *count = &seek->count[kind];
    uint32_t most = kind == KAV_SEEK_ZIP ? 1 : KAV_SEEK_MAX;
    if (offset == 0 || (*count && seek->offset[kind][*count - 1] >= offset)) return;
    if (*count == most) seek->more[kind] = true;
    else seek->offset[kind][(*count)++] = offset;
}

size_t kav_seek_program(const uint8_t *p, size_t length)
{
    for (size_t far = KAV_SEEK_NEAREST; far <= KAV_SEEK_FARTHEST && far <= length; far++) {
        const uint8_t *mz = p + length - far, *to = mz + 60;
        if (mz[0] != 'M' || mz[1] != 'Z') continue;
        if (kav_le32(to) == far) return far;
    }
    return 0;
}

/* A few bytes more, where they are there: programs that handle archives, and words that end with "PE", would use up the
 * places. Near the beginning of a later window what stands before is not there any more. */
static bool is_likely(unsigned kind, const uint8_t *data, size_t at, size_t end, uint64_t base)
{
    const uint8_t *p = data + at;
    size_t there = end - at;
    switch (kind) {
    case KAV_SEEK_RAR: return there < 10 || (p[6] == 0 ? p[9] == 0x73 : p[6] == 1 && p[7] == 0);
    case KAV_SEEK_7Z: return there < 7 || p[6] == 0;
    case KAV_SEEK_CAB: return there < 26 || p[25] == 1;
    case KAV_SEEK_PE: return (base > 0 && at < KAV_SEEK_FARTHEST) || kav_seek_program(data, at) != 0;
    default: return true;
    }
}

/* The places of pairs p[0 .. length): which beginnings are whole in data[0 .. end)? */
static void look(kav_seek *seek, const uint8_t *data, size_t end, uint64_t base, size_t at, size_t length)
{
    for (size_t i = at; i < at + length; i++) {
        for (unsigned kind = 0; kind < KAV_SEEK_COUNT; kind++) {
            const beginning *b = &BEGINNINGS[kind];
            if (data[i] != (uint8_t)b->bytes[b->pair] || i < b->pair || b->length > end - (i - b->pair)) continue;
            if (memcmp(data + i - b->pair, b->bytes, b->length) == 0 && is_likely(kind, data, i - b->pair, end, base))
                keep(seek, kind, base + i - b->pair);
        }
    }
}

/* What is left behind the last whole block: looked at among NULs, and again only if there is something in it. */
static void look_at_rest(kav_seek *seek, const uint8_t *data, size_t end, uint64_t base, size_t at)
{
    uint8_t rest[BLOCK + 1] = {0};
    memcpy(rest, data + at, end - at);
    if (pass_over(rest, sizeof rest) == 0) look(seek, data, end, base, at, end - at);
}

void kav_seek_window(kav_seek *seek, const uint8_t *data, uint64_t base, uint64_t from, uint64_t to)
{
    size_t at = (size_t)(from - base), end = (size_t)(to - base);
    at -= at < LONGEST ? at : LONGEST; /* what stood at the edge of the window before */
    while ((at += pass_over(data + at, end - at)), end - at > BLOCK) {
        look(seek, data, end, base, at, BLOCK);
        at += BLOCK;
    }
    look_at_rest(seek, data, end, base, at);
}
