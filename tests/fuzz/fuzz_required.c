/* Fuzz: a regular expression, a line end, and what it is tried on: what matches must hold the run of bytes that is said
 * to be in every match. */
#include "required.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    int error;
    PCRE2_SIZE where;
    kav_required required;
    if (!end || size > 4096) return 0;
    size_t length = (size_t)(end - data), rest = size - length - 1;
    kav_required_find((const char *)data, length, &required);
    pcre2_code *code = required.length ? pcre2_compile(data, length, 0, &error, &where, NULL) : NULL;
    if (!code) return 0;
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *found = pcre2_match_data_create_from_pattern(code, NULL);
    if (context && found) {
        pcre2_set_match_limit(context, 10000);
        if (pcre2_match(code, end + 1, rest, 0, 0, found, context) > 0 && !kav_required_is_in(&required, end + 1, rest))
            abort();
    }
    pcre2_match_data_free(found);
    pcre2_match_context_free(context);
    pcre2_code_free(code);
    return 0;
}
