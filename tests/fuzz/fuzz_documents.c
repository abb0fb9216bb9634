/* Fuzz target: PDF and Flash, any bytes, from memory and from a file. libFuzzer calls it; with -DSTANDALONE it is a
 * program of its own that changes its seeds itself, for machines without clang, or shows the parts of one file.
 *
 * The sink here takes what the scanner would take, and nothing more: no matcher is needed. */
#define _GNU_SOURCE
#include "opener.h"

#include <stdbool.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct kav_unpack {
    bool begun, show;
    uint64_t bytes, parts, ticks, sum;
    uint32_t reasons;
};

enum { BYTES = 64 << 20, PARTS = 10000, TICKS = 100000 };

int kav_unpack_begin(kav_unpack *u, const char *name, size_t name_len, uint64_t size, uint32_t flags)
{
    (void)size;
    if (u->begun || flags != KAV_M_PART) abort();
    u->begun = true;
    if (u->show) printf("== %.*s\n", (int)name_len, name);
    return ++u->parts > PARTS;
}

void kav_unpack_type(kav_unpack *u, kav_type type)
{
    if (!u->begun || type.format >= KAV_FMT_COUNT) abort();
}

int kav_unpack_data(kav_unpack *u, const void *bytes, size_t len)
{
    if (!u->begun) abort();
    if (u->show) fwrite(bytes, 1, len, stdout);
    for (size_t i = 0; i < len; i += 97) u->sum += ((const uint8_t *)bytes)[i];
    u->bytes += len;
    return u->bytes > BYTES;
}

int kav_unpack_end(kav_unpack *u, uint32_t reasons)
{
    if (!u->begun) abort();
    if (u->show) printf("\n");
    u->begun = false;
    u->reasons |= reasons;
    return u->bytes > BYTES || u->parts > PARTS;
}

void kav_unpack_flag(kav_unpack *u, uint32_t reasons)
{
    u->reasons |= reasons;
}

int kav_unpack_tick(kav_unpack *u)
{
    return ++u->ticks > TICKS;
}

static void open_both(const kav_source *source, kav_unpack *pdf, kav_unpack *flash)
{
    kav_open_pdf(source, (kav_type){KAV_FMT_PDF, KAV_T_PDF}, pdf);
    if (pdf->begun) kav_unpack_end(pdf, 0);
    kav_open_flash(source, (kav_type){KAV_FMT_FLASH, KAV_T_FLASH}, flash);
    if (flash->begun) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kav_unpack pdf[2] = {0}, flash[2] = {0};
    uint8_t *exact = malloc(size ? size : 1);
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (!exact || fd < 0) abort();
    if (size) memcpy(exact, data, size); /* so that a byte too far is seen */
    if (write(fd, data, size) != (ssize_t)size) abort();
    const kav_source memory = {.memory = exact, .fd = -1, .base = 0, .size = size};
    const kav_source file = {.memory = NULL, .fd = fd, .base = 0, .size = size};
    open_both(&memory, &pdf[0], &flash[0]);
    open_both(&file, &pdf[1], &flash[1]);
    bool ended = pdf[0].ticks > TICKS || pdf[1].ticks > TICKS;
    if (!ended && (pdf[0].parts != pdf[1].parts || pdf[0].bytes != pdf[1].bytes)) abort(); /* seen differently */
    free(exact);
    close(fd);
    return 0;
}

#ifdef STANDALONE
enum { LONGEST = 1 << 16 };

static int show(const char *name)
{
    static uint8_t bytes[LONGEST * 16];
    kav_unpack pdf = {.show = true}, flash = {.show = true};
    FILE *file = fopen(name, "rb");
    size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    const kav_source memory = {.memory = bytes, .fd = -1, .base = 0, .size = n};
    open_both(&memory, &pdf, &flash);
    printf("reasons %x %x\n", pdf.reasons, flash.reasons);
    return file ? fclose(file) : 1;
}

int main(int count, char **names)
{
    static const char *const words[] = {"obj",      "endobj", "stream", "endstream", "<<",      ">>",     "/Filter",
                                        "/LZW",     "/A85",   "/AHx",   "/Fl",       "/RL",     "/Crypt", "/ObjStm",
                                        "/Encrypt", "/JS(",   "1 0 R",  "trailer",   "/Length", "#4a"};
    static uint8_t seed[LONGEST], other[LONGEST], bytes[2 * LONGEST + 16];
    unsigned random = 1;
    if (count == 2) return show(names[1]);
    for (int round = 0; count > 2 && round < atoi(names[1]); round++) {
        FILE *a = fopen(names[2 + rand_r(&random) % (count - 2)], "rb");
        FILE *b = fopen(names[2 + rand_r(&random) % (count - 2)], "rb");
        size_t n = a ? fread(seed, 1, LONGEST, a) : 0, m = b ? fread(other, 1, LONGEST, b) : 0;
        if (a) fclose(a);
        if (b) fclose(b);
        size_t cut = n ? (size_t)rand_r(&random) % n : 0, from = m ? (size_t)rand_r(&random) % m : 0;
        if (rand_r(&random) % 2) from = cut < m ? cut : m;
        memcpy(bytes, seed, cut);
        memcpy(bytes + cut, other + from, m - from);
        size_t len = cut + m - from;
        for (int i = rand_r(&random) % 8; len && i > 0; i--) {
            bytes[(size_t)rand_r(&random) % len] = (uint8_t)rand_r(&random);
            const char *word = words[(size_t)rand_r(&random) % (sizeof words / sizeof words[0])];
            memcpy(bytes + (size_t)rand_r(&random) % len, word, strlen(word));
        }
        LLVMFuzzerTestOneInput(bytes, len);
    }
    return 0;
}
#endif
