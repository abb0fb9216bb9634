/* SipHash-2-4 (Aumasson, Bernstein 2012), with 64 and 128 bits of output. */
#include "place.h"

#include <string.h>

typedef struct {
    uint64_t a, b, c, d;
} siphash;

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static void store64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}

static inline uint64_t turn(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static inline void mix(siphash *s)
{
    s->a += s->b, s->c += s->d;
    s->b = turn(s->b, 13) ^ s->a, s->d = turn(s->d, 16) ^ s->c;
    s->a = turn(s->a, 32);
    s->c += s->b, s->a += s->d;
    s->b = turn(s->b, 17) ^ s->c, s->d = turn(s->d, 21) ^ s->a;
    s->c = turn(s->c, 32);
}

static inline void take(siphash *s, uint64_t word)
{
    s->d ^= word;
    mix(s);
    mix(s);
    s->a ^= word;
}

static uint64_t draw(siphash *s)
{
    for (unsigned i = 0; i < 4; i++) mix(s);
    return s->a ^ s->b ^ s->c ^ s->d;
}

/* The state after all of the message; wide: for 128 bits of output. */
static siphash absorb(const uint8_t key[16], const uint8_t *data, size_t length, int wide)
{
    uint64_t low = load64(key), high = load64(key + 8);
    siphash s = {.a = low ^ 0x736f6d6570736575u,
                 .b = high ^ 0x646f72616e646f6du ^ (wide ? 0xee : 0),
                 .c = low ^ 0x6c7967656e657261u,
                 .d = high ^ 0x7465646279746573u};
    size_t whole = length & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) take(&s, load64(data + i));
    uint64_t last = (uint64_t)(length & 0xff) << 56;
    for (size_t i = whole; i < length; i++) last |= (uint64_t)data[i] << 8 * (i - whole);
    take(&s, last);
    s.c ^= wide ? 0xee : 0xff;
    return s;
}

uint64_t kav_siphash(const uint8_t key[16], const void *data, size_t length)
{
    siphash s = absorb(key, data, length, 0);
    return draw(&s);
}

void kav_siphash_wide(const uint8_t key[16], const void *data, size_t length, uint8_t out[16])
{
    siphash s = absorb(key, data, length, 1);
    store64(out, draw(&s));
    s.b ^= 0xdd;
    store64(out + 8, draw(&s));
}

uint64_t kav_seal(const uint8_t secret[KAV_SECRET], const void *data, size_t length)
{
    return kav_siphash(secret, data, length);
}

void kav_place(const uint8_t secret[KAV_SECRET], const uint8_t fs[16], uint64_t dir_ino, int64_t dir_btime_ns,
               const uint8_t settings[16], uint8_t out[16])
{
    uint8_t message[48];
    memcpy(message, fs, 16);
    store64(message + 16, dir_ino);
    store64(message + 24, (uint64_t)dir_btime_ns);
    memcpy(message + 32, settings, 16);
    kav_siphash_wide(secret + 16, message, sizeof message, out);
}

unsigned kav_part_number(const uint8_t place[16], uint64_t ino)
{
    uint8_t message[8];
    store64(message, ino);
    return kav_siphash(place, message, sizeof message) & (KAV_PARTS - 1);
}

void kav_part_at(const uint8_t place[16], unsigned number, unsigned depth, uint8_t out[16])
{
    uint8_t message[16];
    store64(message, number);
    store64(message + 8, depth);
    kav_siphash_wide(place, message, sizeof message, out);
}

void kav_part_place(const uint8_t place[16], uint64_t ino, unsigned depth, uint8_t out[16])
{
    kav_part_at(place, kav_part_number(place, ino), depth, out);
}
