/* Fuzz: documents of Office (ext/ole): a compound file or a text of RTF, whichever the bytes begin like.
 *
 * With clang: link with -fsanitize=fuzzer. With any compiler: link with mutate.c, which stands in for libFuzzer. What
 * the openers hand over goes to sink.c, which holds them to their contract.
 */
#include "sink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    kav_source source = {.memory = data, .fd = -1, .size = size};
    kav_type type = {KAV_FMT_OLE2, KAV_T_OLE2};
    kav_unpack *u = kav_fuzz_sink();
    if (size > 0 && data[0] == '{') kav_open_rtf(&source, type, u);
    else kav_open_ole(&source, type, u);
    kav_fuzz_check(u, size);
    return 0;
}
