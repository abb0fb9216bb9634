/* Byte compare: a subsignature that reads a number beside the place where another one matched and compares it.
 *
 *     Ref(Offset#Options#Comparisons)     0(>>4#hle4#>0x10,<500)
 *
 * Offset: nothing, <<n or >>n. Options: h hexadecimal text, d decimal text, a whichever it looks like, i a plain
 * integer; l or b for the order of bytes; e: no fewer bytes than asked for; then how many bytes. Comparisons: one or
 * two of <n >n =n, all of which must hold. Numbers as C reads them: 0x.. hexadecimal, 0.. octal.
 *
 * ClamAV's ways are kept: text without a digit counts as 0, and without l or b nothing is ever true.
 */
#ifndef KAV_BYTECOMPARE_H
#define KAV_BYTECOMPARE_H

#include "pattern.h"

/* A place of which ClamAV knows no more than its first window of the layer. */
#define KAV_BYTECOMPARE_REACH (128u << 10)

enum kav_bytecompare_option {
    KAV_BC_HEX = 1u << 0,
    KAV_BC_DECIMAL = 1u << 1,
    KAV_BC_INTEGER = 1u << 2,
    KAV_BC_AUTO = 1u << 3,
    KAV_BC_LITTLE = 1u << 4,
    KAV_BC_BIG = 1u << 5,
    KAV_BC_EXACT = 1u << 6
};

/* As it lies in DATA. */
typedef struct {
    int64_t offset;
    int64_t length; /* bytes, above 0 */
    int64_t value[2];
    uint8_t symbol[2]; /* '<', '>' or '='; the second may be 0 */
    uint8_t reference; /* subsignature */
    uint8_t options;
    uint32_t reserved;
} kav_bytecompare;

/* NULL, or why the text cannot be taken. */
const char *kav_bytecompare_parse(kav_text text, kav_bytecompare *out);

/* Read from a part: can kav_bytecompare_holds be asked? */
bool kav_bytecompare_check(const kav_bytecompare *b);

/* Where the bytes begin that are compared, when the other subsignature matched at place: false when they are not all
 * inside a layer of this size, or would begin with its first byte. */
bool kav_bytecompare_where(const kav_bytecompare *b, uint64_t place, uint64_t size, uint64_t *begin);

/* Do these b->length bytes fulfil the comparisons? */
bool kav_bytecompare_holds(const kav_bytecompare *b, const uint8_t *bytes);

#endif
