/* Fuzz: body and logical signatures through the builder: patterns, offsets, modifiers, probes, expressions. Lines are
 *
 *     target;expression;subsignature[;subsignature ...]
 *
 * What the builder takes must give a part that opens, and that scans these same bytes without harm.
 */
#define _GNU_SOURCE
#include "body.h"
#include "part.h"
#include "segment.h"
#include "trial.h"

#include <stdlib.h>
#include <string.h>

#define LINES 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands before the separator; the rest stays. */
static kav_text cut(kav_text *rest, char separator)
{
    kav_text first = *rest;
    const char *at = rest->length ? memchr(rest->text, separator, rest->length) : NULL;
    first.length = at ? (size_t)(at - rest->text) : rest->length;
    size_t gone = at ? first.length + 1 : first.length;
    rest->text += gone;
    rest->length -= gone;
    return first;
}

static bool has(kav_text text, const char *any)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.text[i] && strchr(any, text.text[i])) return true;
    return false;
}

static uint32_t subsignature(kav_segment *s, kav_text text, uint32_t own)
{
    const char *why = NULL;
    kav_text offset = {"*", 1}, modifiers = {"", 0};
    if (has(text, "/#$")) return kav_segment_probe(s, text, own, &why);
    const char *twice = text.length ? memmem(text.text, text.length, "::", 2) : NULL;
    if (twice) {
        modifiers = (kav_text){twice + 2, text.length - (size_t)(twice - text.text) - 2};
        text.length = (size_t)(twice - text.text);
    }
    if (has(text, ":")) offset = cut(&text, ':');
    return kav_segment_pattern(s, text, offset, modifiers, &why);
}

static void take_line(kav_segment *s, kav_text line, uint32_t number)
{
    uint32_t subsigs[64], count = 0;
    kav_text target = cut(&line, ';'), expression = cut(&line, ';');
    while (line.length > 0 && count < 64) {
        subsigs[count] = subsignature(s, cut(&line, ';'), count);
        if (subsigs[count++] == KAV_NONE) return;
    }
    kav_segment_signature_in in = {.name = {"Fuzz", 4}, .line = number, .subsigs = subsigs, .subsig_count = count};
    if (target.length == 1 && target.text[0] >= '0' && target.text[0] <= '9')
        in.target = (uint32_t)(target.text[0] - '0');
    in.expression = expression.length ? expression : (kav_text){NULL, 0};
    kav_segment_signature(s, &in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t SOURCE[32];
    kav_text rest = {(const char *)data, size};
    kav_segment *s = kav_segment_new();
    kav_buffer part = {0};
    kav_body body;
    bool foreign;
    if (!s) return 0;
    for (uint32_t number = 1; rest.length > 0 && number <= LINES; number++) take_line(s, cut(&rest, '\n'), number);
    if (kav_segment_finish(s, (kav_text){"fuzz.ldb", 8}, SOURCE, false, &part)) {
        if (kav_part_check(part.data, part.length, &foreign) || !kav_body_open(&body, part.data)) abort();
        if (body.signature_count > 0) kav_fuzz_trial(part.data, part.length, data, size);
    }
    kav_buffer_free(&part);
    kav_segment_free(s);
    return 0;
}
