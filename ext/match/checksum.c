#include "checksum.h"

#include <string.h>

/* Any odd constants with well-mixed bits do. */
#define MUL_A 0x9e3779b97f4a7c15u
#define MUL_B 0xd6e8feb86659fd93u

static inline uint64_t step(uint64_t lane, uint64_t word)
{
    lane = (lane ^ word) * MUL_A;
    return (lane << 29) | (lane >> 35);
}

static inline uint64_t load(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * MUL_B;
    x = (x ^ (x >> 29)) * MUL_A;
    return x ^ (x >> 32);
}

uint64_t kav_checksum(const void *data, size_t length, uint64_t seed)
{
    const uint8_t *p = data;
    size_t left = length;
    uint64_t a = seed, b = seed ^ MUL_A, c = seed ^ MUL_B, d = ~seed;
    for (; left >= 32; p += 32, left -= 32) {
        a = step(a, load(p));
        b = step(b, load(p + 8));
        c = step(c, load(p + 16));
        d = step(d, load(p + 24));
    }
    for (; left >= 8; p += 8, left -= 8) a = step(a, load(p));
    if (left) {
        uint64_t tail = 0;
        memcpy(&tail, p, left);
        b = step(b, tail);
    }
    return mix(a) + mix(b + 1) * 3 + mix(c + 2) * 5 + mix(d + 3) * 7 + mix(length);
}
