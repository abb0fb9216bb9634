/* Mutate: a plain stand-in for libFuzzer, where there is no clang: changes the files it is given, without feedback.
 *
 *     PROGRAM SECONDS SEED FILE...      prints how many inputs it tried; the input in hand is in "mutate.last"
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILES_MAX 256
#define SIZE_MAX_ (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static uint64_t any(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below ? state % below : 0;
}

static size_t change(uint8_t *d, size_t len)
{
    static const uint8_t odd[] = {0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xfe, 0xff, 0x10, 0x40};
    size_t at = any(len);
    switch (any(7)) {
    case 0: d[at] ^= (uint8_t)(1u << any(8)); break;
    case 1: d[at] = (uint8_t)any(256); break;
    case 2: d[at] = odd[any(sizeof odd)]; break;
    case 3:
        for (size_t i = 0; i < 4 && at + i < len; i++)
            d[at + i] = i ? (uint8_t)(any(2) ? 0 : 0xff) : odd[any(sizeof odd)];
        break;
    case 4: { /* a number of four bytes, near the one that is there */
        at &= ~(size_t)3;
        if (at + 4 > len) break;
        uint32_t v;
        memcpy(&v, d + at, 4);
        v += (uint32_t)any(9) - 4;
        memcpy(d + at, &v, 4);
        break;
    }
    case 5: {
        size_t from = any(len), n = any(64);
        for (size_t i = 0; i < n && at + i < len && from + i < len; i++) d[at + i] = d[from + i];
        break;
    }
    default: return any(40) == 0 ? at : len;
    }
    return len;
}

static void keep(const uint8_t *d, size_t len)
{
    FILE *f = fopen("mutate.last", "wb");
    if (f == NULL) return;
    fwrite(d, 1, len, f);
    fclose(f);
}

int main(int argc, char **argv)
{
    static uint8_t *seeds[FILES_MAX];
    static size_t sizes[FILES_MAX];
    int count = 0;
    uint64_t tried = 0;
    if (argc < 4) return 2;
    time_t until = time(NULL) + atol(argv[1]);
    state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    for (int i = 3; i < argc && count < FILES_MAX; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (f == NULL) return 2;
        seeds[count] = malloc(SIZE_MAX_);
        if (seeds[count] == NULL) return 2;
        sizes[count] = fread(seeds[count], 1, SIZE_MAX_, f);
        fclose(f);
        LLVMFuzzerTestOneInput(seeds[count], sizes[count]);
        if (sizes[count] > 0) count++;
    }
    while (count > 0 && time(NULL) < until) {
        int which = (int)any((uint64_t)count);
        size_t len = sizes[which];
        uint8_t *d = malloc(len); /* of its own size, so that a byte read behind it is noticed */
        if (d == NULL) return 2;
        memcpy(d, seeds[which], len);
        for (uint64_t n = 1 + any(12); n > 0 && len > 0; n--) len = change(d, len);
        uint8_t *exact = malloc(len ? len : 1);
        if (exact == NULL) return 2;
        memcpy(exact, d, len);
        keep(exact, len);
        LLVMFuzzerTestOneInput(exact, len);
        free(exact);
        free(d);
        tried++;
    }
    printf("%llu inputs\n", (unsigned long long)tried);
    for (int i = 0; i < count; i++) free(seeds[i]);
    return 0;
}
