/* Fuzz: every view of any bytes, as a text, as a page, and as the scripts of one. */
#include "script.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_view(void *context, kav_type type, const uint8_t *bytes, size_t len)
{
    uint64_t *sum = context;
    (void)type;
    for (size_t i = 0; i < len; i += 97) *sum += bytes[i];
    return 0;
}

static int on_tick(void *context)
{
    (void)context;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    bool inline_data;
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) return 0;
    if (size) memcpy(exact, data, size); /* so that a byte too far is seen */
    const kav_source source = {.memory = exact, .fd = -1, .base = 0, .size = size};
    const kav_views views = {.view = on_view, .tick = on_tick, .context = &sum};
    kav_text_out out = {.limit = 1u << 20};
    kav_script *script = kav_script_new(&out);
    kav_views_text(&source, &views);
    kav_views_page(&source, &views, &inline_data);
    kav_views_late_page(&source, &views);
    if (script) kav_script_feed(script, exact, size / 2);
    if (script) kav_script_feed(script, exact + size / 2, size - size / 2);
    if (script) kav_script_end(script);
    kav_type_detect(exact, size, size);
    kav_script_free(script);
    kav_text_out_free(&out);
    free(exact);
    return 0;
}
