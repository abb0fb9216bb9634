/* Each lane of the vectors has a job; when that is done it takes the next one. RFC 1321 has the algorithm. */
#include "md5many.h"
#include "numbers.h"

#include <string.h>

enum { LANES = 8, BLOCK = 64, WORDS = BLOCK / 4, LENGTH_AT = BLOCK - 8 };

typedef uint32_t row __attribute__((vector_size(4 * LANES)));

typedef struct {
    kav_md5_job *job;  /* NULL: none is left for this lane */
    const uint8_t *at; /* the next whole block */
    size_t whole;      /* how many of them */
    uint32_t tail, tails;
    uint8_t padded[2 * BLOCK]; /* the rest with its padding */
} lane;

typedef struct {
    uint32_t state[4][LANES];
    uint32_t words[WORDS][LANES]; /* of the blocks in hand */
    lane lanes[LANES];
} many;

static const uint32_t SINES[BLOCK] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

#define STEP(mix, a, b, c, d, word, index, turn)                                                                       \
    do {                                                                                                               \
        a += (mix) + words[word] + SINES[index];                                                                       \
        a = b + (a << (turn) | a >> (32 - (turn)));                                                                    \
    } while (0)

#define FOUR(mix1, mix2, mix3, mix4, first, factor, index, t1, t2, t3, t4)                                             \
    do {                                                                                                               \
        STEP(mix1, a, b, c, d, ((first)) % WORDS, (index), t1);                                                        \
        STEP(mix2, d, a, b, c, ((first) + (factor)) % WORDS, (index) + 1, t2);                                         \
        STEP(mix3, c, d, a, b, ((first) + 2 * (factor)) % WORDS, (index) + 2, t3);                                     \
        STEP(mix4, b, c, d, a, ((first) + 3 * (factor)) % WORDS, (index) + 3, t4);                                     \
    } while (0)

/* The four mixing functions, of the three values in their order of each step. */
#define F(x, y, z) (z ^ (x & (y ^ z)))
#define G(x, y, z) (y ^ (z & (x ^ y)))
#define H(x, y, z) (x ^ y ^ z)
#define I(x, y, z) (y ^ (x | ~z))

#define FOUR_OF(mix, first, factor, index, t1, t2, t3, t4)                                                             \
    FOUR(mix(b, c, d), mix(a, b, c), mix(d, a, b), mix(c, d, a), first, factor, index, t1, t2, t3, t4)

/* One block in every lane. Compiled for each kind of processor: its vectors are the compiler's. */
static inline __attribute__((always_inline)) void digest_blocks(many *m)
{
    row s[4], words[WORDS];
    memcpy(s, m->state, sizeof s);
    memcpy(words, m->words, sizeof words);
    row a = s[0], b = s[1], c = s[2], d = s[3];
    for (int i = 0; i < WORDS; i += 4) FOUR_OF(F, i, 1, i, 7, 12, 17, 22);
    for (int i = 0; i < WORDS; i += 4) FOUR_OF(G, 1 + 5 * i, 5, 16 + i, 5, 9, 14, 20);
    for (int i = 0; i < WORDS; i += 4) FOUR_OF(H, 5 + 3 * i, 3, 32 + i, 4, 11, 16, 23);
    for (int i = 0; i < WORDS; i += 4) FOUR_OF(I, 7 * i, 7, 48 + i, 6, 10, 15, 21);
    s[0] += a;
    s[1] += b;
    s[2] += c;
    s[3] += d;
    memcpy(m->state, s, sizeof s);
}

typedef void (*digester)(many *m);

static void digest_plain(many *m)
{
    digest_blocks(m);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void digest_avx2(many *m)
{
    digest_blocks(m);
}

/* Turns and mixes in one instruction each. */
__attribute__((target("avx2,avx512f,avx512vl"))) static void digest_avx512(many *m)
{
    digest_blocks(m);
}
#endif

static digester choose(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512vl")) return digest_avx512;
    if (__builtin_cpu_supports("avx2")) return digest_avx2;
#endif
    return digest_plain;
}

static void begin(many *m, unsigned index, kav_md5_job *job)
{
    static const uint32_t START[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    lane *l = &m->lanes[index];
    l->job = job;
    if (!job) return;
    size_t rest = job->length % BLOCK;
    l->at = job->bytes;
    l->whole = job->length / BLOCK;
    l->tail = 0;
    l->tails = rest < LENGTH_AT ? 1 : 2;
    memset(l->padded, 0, sizeof l->padded);
    if (rest) memcpy(l->padded, job->bytes + (job->length - rest), rest);
    l->padded[rest] = 0x80;
    uint64_t bits = (uint64_t)job->length * 8;
    for (int i = 0; i < 8; i++) l->padded[(l->tails - 1) * BLOCK + LENGTH_AT + i] = (uint8_t)(bits >> (8 * i));
    for (int i = 0; i < 4; i++) m->state[i][index] = START[i];
}

static void load(many *m, unsigned index)
{
    lane *l = &m->lanes[index];
    const uint8_t *block;
    if (l->whole) {
        block = l->at;
        l->at += BLOCK;
        l->whole--;
    } else {
        block = l->padded + l->tail++ * BLOCK;
    }
    for (int i = 0; i < WORDS; i++) m->words[i][index] = kav_le32(block + 4 * i);
}

static void finish(many *m, unsigned index)
{
    kav_md5_job *job = m->lanes[index].job;
    for (int i = 0; i < 16; i++) job->out[i] = (uint8_t)(m->state[i / 4][index] >> (8 * (i % 4)));
}

static void sort_by_length(kav_md5_job *jobs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        kav_md5_job job = jobs[i];
        size_t k = i;
        for (; k > 0 && jobs[k - 1].length < job.length; k--) jobs[k] = jobs[k - 1];
        jobs[k] = job;
    }
}

void kav_md5_many(kav_md5_job *jobs, size_t count)
{
    many m;
    const digester digest = choose();
    size_t next = 0;
    unsigned busy = 0;
    memset(&m, 0, offsetof(many, lanes));
    sort_by_length(jobs, count);
    for (unsigned i = 0; i < LANES; i++) {
        begin(&m, i, next < count ? &jobs[next++] : NULL);
        if (m.lanes[i].job) busy++;
    }
    while (busy) {
        for (unsigned i = 0; i < LANES; i++)
            if (m.lanes[i].job) load(&m, i);
        digest(&m);
        for (unsigned i = 0; i < LANES; i++) {
            const lane *l = &m.lanes[i];
            if (!l->job || l->whole || l->tail < l->tails) continue;
            finish(&m, i);
            begin(&m, i, next < count ? &jobs[next++] : NULL);
            if (!l->job) busy--;
        }
    }
}
