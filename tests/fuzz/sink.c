#include "sink.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 1000
#define BYTES_MAX   (64u << 20)
#define TICKS_MAX   1000000u

struct kav_unpack {
    bool open;
    uint64_t members, bytes, ticks;
    uint32_t sum;
    struct kav_inflater *inflater; /* serves all inputs, as a scanner's does all files */
};

static kav_unpack sink;

kav_unpack *kav_fuzz_sink(void)
{
    sink = (kav_unpack){.open = false, .inflater = sink.inflater};
    return &sink;
}

void kav_fuzz_check(const kav_unpack *u, size_t size)
{
    (void)size;
    if (u->open || u->ticks > 2 * TICKS_MAX) abort();
}

static int spent(const kav_unpack *u)
{
    return u->members > MEMBERS_MAX || u->bytes > BYTES_MAX || u->ticks > TICKS_MAX;
}

int kav_unpack_begin(kav_unpack *u, const char *name, size_t name_len, uint64_t size, uint32_t flags)
{
    (void)size, (void)flags;
    if (u->open) abort();
    for (size_t i = 0; i < name_len; i++) u->sum += (uint8_t)name[i];
    if (spent(u)) return 1;
    u->open = true;
    u->members++;
    return 0;
}

/* scanner.h, which knows another kav_unpack */
struct kav_inflater **kav_unpack_inflater(kav_unpack *u);
uint64_t kav_unpack_left(const kav_unpack *u);

struct kav_inflater **kav_unpack_inflater(kav_unpack *u)
{
    return &u->inflater;
}

uint64_t kav_unpack_left(const kav_unpack *u)
{
    return u->open && u->bytes < BYTES_MAX ? BYTES_MAX - u->bytes : 0;
}

void kav_unpack_facts(kav_unpack *u, const kav_member_facts *facts)
{
    if (!u->open) abort();
    u->sum += facts->crc;
}

uint32_t kav_unpack_count(const kav_unpack *u, bool files)
{
    (void)files;
    return (uint32_t)u->members;
}

bool kav_unpack_password(const kav_unpack *u, uint32_t *at, uint32_t container, const char **text, uint32_t *length)
{
    static const char *const WORDS[] = {"infected", "virus"};
    (void)u, (void)container;
    if (*at >= 2) return false;
    *text = WORDS[(*at)++];
    *length = (uint32_t)strlen(*text);
    return true;
}

void kav_unpack_type(kav_unpack *u, kav_type type)
{
    if (!u->open || type.format >= KAV_FMT_COUNT) abort();
}

int kav_unpack_data(kav_unpack *u, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    if (!u->open) abort();
    for (size_t i = 0; i < len; i++) u->sum += p[i];
    u->bytes += len;
    return spent(u);
}

int kav_unpack_hole(kav_unpack *u, uint64_t len)
{
    if (!u->open) abort();
    u->bytes += len;
    return spent(u);
}

int kav_unpack_end(kav_unpack *u, uint32_t reasons)
{
    if (!u->open) abort();
    u->sum += reasons;
    u->open = false;
    return spent(u);
}

void kav_unpack_elsewhere(kav_unpack *u)
{
    if (u->open) abort();
    u->sum++;
}

void kav_unpack_suspect(kav_unpack *u, const char *name)
{
    if (u->open) abort();
    u->sum += (uint8_t)name[0];
}

void kav_unpack_flag(kav_unpack *u, uint32_t reasons)
{
    u->sum += reasons;
}

int kav_unpack_tick(kav_unpack *u)
{
    u->ticks++;
    return spent(u);
}
