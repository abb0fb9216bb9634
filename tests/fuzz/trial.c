#define _GNU_SOURCE
#include "trial.h"

#include "group.h"
#include "image.h"
#include "layer.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int memory_file(const void *bytes, size_t length)
{
    int fd = memfd_create("part", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, bytes, length) != (ssize_t)length) abort();
    return fd;
}

static uint32_t stop_late(void *context, uint64_t bytes)
{
    uint32_t *ticks = context;
    (void)bytes;
    return ++*ticks > 100 ? KAV_R_TIME : 0;
}

static void scan(const kav_image *image, const uint8_t *subject, size_t size)
{
    static const kav_type AS[] = {{KAV_FMT_UNKNOWN, KAV_T_ANY}, {KAV_FMT_TEXT, KAV_T_TEXT}, {KAV_FMT_PE, KAV_T_PE}};
    const kav_source source = {.memory = subject, .fd = -1, .size = size};
    kav_session *session = kav_session_new(image);
    for (size_t i = 0; session && i < sizeof AS / sizeof AS[0]; i++) {
        kav_layer_found found = {0};
        uint32_t ticks = 0;
        kav_layer_options options = {.switches = KAV_S_ALL_MATCH,
                                     .type = &AS[i],
                                     .around = AS,
                                     .around_count = 1,
                                     .tick = stop_late,
                                     .tick_context = &ticks};
        if (kav_layer_scan(session, &source, &options, &found) != 0) continue;
        for (size_t k = 0; k < found.hit_count; k++)
            if (memchr(found.hits[k].name, 0, found.hits[k].name_len)) continue; /* reads the whole name */
    }
    kav_session_free(session);
}

void kav_fuzz_trial(const uint8_t *part, size_t length, const uint8_t *subject, size_t size)
{
    bool foreign;
    char why[160] = "";
    kav_buffer group = {0};
    kav_body body;
    if (kav_part_check(part, length, &foreign)) return;
    bool is_body = kav_part_of(part)->kind == KAV_P_BODY;
    if (is_body && !kav_body_open(&body, part)) return;
    if (is_body && !kav_group_build(&body, 1, 1, &group, why, sizeof why)) {
        kav_buffer_free(&group);
        return;
    }
    int first = memory_file(part, length), second = group.length ? memory_file(group.data, group.length) : -1;
    kav_part parts[] = {{first, 0, length}, {second, 0, group.length}};
    kav_image *image = NULL;
    if (kav_image_open(parts, second >= 0 ? 2 : 1, &image, why, sizeof why) == KAV_IMAGE_OK) {
        scan(image, subject, size);
        kav_image_close(image);
    }
    if (first >= 0) close(first);
    if (second >= 0) close(second);
    kav_buffer_free(&group);
}
