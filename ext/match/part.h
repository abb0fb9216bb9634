/* Part: writing the common header of a part and checking it when a part is opened. */
#ifndef KAV_PART_H
#define KAV_PART_H

#include "buffer.h"
#include "format.h"

/* Begin a part in out (which must be empty): room for the header. */
void kav_part_begin(kav_buffer *out);

/* Append a table, 64-byte aligned (or page-aligned where the table must be). */
void kav_part_table(kav_buffer *out, int table, const void *data, size_t length);

/* Fill in what is common, then the checksum. False: out of memory or longer than tables can say. */
bool kav_part_finish(kav_buffer *out, enum kav_part_kind kind, uint32_t flags, const uint8_t source[32]);

/* The checksum that the header of these bytes should have. */
uint64_t kav_part_checksum(const uint8_t *data, uint64_t length);

/* Check magic, version, length, kind, checksum and that every table lies inside. NULL, or why not; *foreign is set when
 * the part is whole but made by another format version. */
const char *kav_part_check(const uint8_t *data, uint64_t length, bool *foreign);

static inline const kav_part_header *kav_part_of(const uint8_t *data)
{
    return (const kav_part_header *)(const void *)data;
}

/* A checked part's table, and how many items of a size it holds. */
static inline const void *kav_part_data(const uint8_t *data, int table)
{
    return data + kav_part_of(data)->tables[table].offset;
}

static inline uint32_t kav_part_count(const uint8_t *data, int table, size_t item)
{
    return (uint32_t)(kav_part_of(data)->tables[table].length / item);
}

/* Does the part hold a table of digests, of whatever? */
static inline bool kav_part_is_set(const uint8_t *data)
{
    uint32_t kind = kav_part_of(data)->kind;
    return kind == KAV_P_HASH || kind == KAV_P_EXCEPTION || kind == KAV_P_SECTIONS || kind == KAV_P_IMPORTS;
}

#endif
