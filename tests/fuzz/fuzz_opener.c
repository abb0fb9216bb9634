/* Fuzz: one opener of containers or documents, given with -DOPENER=kav_open_... -DFORMAT=KAV_FMT_...; what it hands
 * over goes to sink.c, which holds it to its contract. */
#include "sfx.h"
#include "sink.h"

#ifdef MAIL
#include <sanitizer/lsan_interface.h>
#endif
#include <stdlib.h>

int LLVMFuzzerInitialize(int *count, char ***words);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *count, char ***words)
{
    (void)count, (void)words;
#ifdef MAIL
    __lsan_disable(); /* GMime keeps what it opens when it begins */
    kav_mail_init();
    __lsan_enable();
#endif
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kav_source source = {.memory = data, .fd = -1, .size = size};
    kav_unpack *u = kav_fuzz_sink();
    if (OPENER(&source, (kav_type){FORMAT, KAV_T_ANY}, u) == KAV_OPEN_NOT_MINE && kav_unpack_count(u, false)) abort();
    kav_fuzz_check(u, size);
    return 0;
}
