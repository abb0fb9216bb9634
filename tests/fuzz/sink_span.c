/* The one sink function whose contract is in scanner.h, which has another struct kav_unpack than sink.c. */
#include "scanner.h"

#include <stdlib.h>
#include <string.h>

int kav_unpack_span(kav_unpack *u, const char *name, const kav_source *source, kav_span span)
{
    if (span.size == 0 || span.offset > source->size || span.size > source->size - span.offset) abort();
    if (kav_unpack_begin(u, name, strlen(name), span.size, 0) != 0) return 1;
    return kav_unpack_end(u, 0);
}
