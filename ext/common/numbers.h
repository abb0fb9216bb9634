/* Numbers: as they stand in files, in either order of bytes and at any place. */
#ifndef KAV_NUMBERS_H
#define KAV_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

static inline uint16_t kav_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t kav_le32(const uint8_t *p)
{
    return (uint32_t)kav_le16(p) | (uint32_t)kav_le16(p + 2) << 16;
}

static inline uint64_t kav_le64(const uint8_t *p)
{
    return (uint64_t)kav_le32(p) | (uint64_t)kav_le32(p + 4) << 32;
}

/* Numbers of a file that says itself in which order its bytes stand. */
static inline uint16_t kav_u16(const uint8_t *p, bool big)
{
    return big ? (uint16_t)(p[0] << 8 | p[1]) : kav_le16(p);
}

static inline uint32_t kav_u32(const uint8_t *p, bool big)
{
    return big ? (uint32_t)kav_u16(p, true) << 16 | kav_u16(p + 2, true) : kav_le32(p);
}

static inline uint64_t kav_u64(const uint8_t *p, bool big)
{
    return big ? (uint64_t)kav_u32(p, true) << 32 | kav_u32(p + 4, true) : kav_le64(p);
}

#endif
