#include "part.h"
#include "checksum.h"

#include <string.h>

static kav_part_header *header(kav_buffer *out)
{
    return (kav_part_header *)(void *)out->data;
}

void kav_part_begin(kav_buffer *out)
{
    kav_buffer_add(out, NULL, sizeof(kav_part_header));
}

void kav_part_table(kav_buffer *out, int table, const void *data, size_t length)
{
    kav_buffer_align(out, 64);
    size_t at = kav_buffer_add(out, data, length);
    if (kav_buffer_ok(out)) header(out)->tables[table] = (kav_table){at, length};
}

uint64_t kav_part_checksum(const uint8_t *data, uint64_t length)
{
    kav_part_header copy;
    memcpy(&copy, data, sizeof copy);
    copy.checksum = 0;
    uint64_t seed = kav_checksum(&copy, sizeof copy, 1);
    return kav_checksum(data + sizeof copy, length - sizeof copy, seed);
}

bool kav_part_finish(kav_buffer *out, enum kav_part_kind kind, uint32_t flags, const uint8_t source[32])
{
    kav_buffer_align(out, 64);
    if (!kav_buffer_ok(out)) return false;
    kav_part_header *h = header(out);
    for (int i = 0; i < KAV_TABLE_COUNT; i++) {
        if (h->tables[i].length > UINT32_MAX) return false;
    }
    memcpy(h->magic, KAV_PART_MAGIC, sizeof h->magic);
    h->version = KAV_FORMAT_VERSION;
    h->kind = kind;
    h->flags = flags;
    h->length = out->length;
    if (source) memcpy(h->source, source, sizeof h->source);
    h->checksum = kav_part_checksum(out->data, out->length);
    return true;
}

const char *kav_part_check(const uint8_t *data, uint64_t length, bool *foreign)
{
    const kav_part_header *h = kav_part_of(data);
    *foreign = false;
    if (length < sizeof *h || memcmp(h->magic, KAV_PART_MAGIC, sizeof h->magic)) return "not a part of an image";
    if (h->length != length) return "cut short";
    if (h->version != KAV_FORMAT_VERSION) {
        *foreign = true;
        return "made by another version";
    }
    if (h->kind < KAV_P_BODY || h->kind > KAV_P_TRUST) return "unknown kind";
    if (h->checksum != kav_part_checksum(data, length)) return "checksum differs";
    for (int i = 0; i < KAV_TABLE_COUNT; i++) {
        kav_table t = h->tables[i];
        if (t.offset > length || t.length > length - t.offset || t.length > UINT32_MAX || t.offset % 64)
            return "table outside";
    }
    return NULL;
}
