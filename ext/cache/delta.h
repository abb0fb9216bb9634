/* Delta: what came new between generations, as far as a walker needs it to decide without opening a file.
 *
 * The table is one piece of bytes, made by kavfs/signatures/delta.py, checked here from its first to its last field:
 *
 *     kav_delta_head | kav_delta_row[count], sorted by generation | hash sets (ext/hash/hashset.h), 64-byte aligned
 *
 * A row answers for objects that were clean and complete for its generation: targets says which views new body
 * signatures ask for (bit KAV_T_ANY: all), the sets hold the new hash signatures.
 */
#ifndef KAV_DELTA_H
#define KAV_DELTA_H

#include "fact.h"
#include "hashset.h"

#define KAV_DELTA_MAGIC "KAVDELT" /* with its NUL: 8 bytes */
#define KAV_DELTA_SETS  4         /* of a row */

typedef struct {
    uint8_t magic[8];
    uint32_t version; /* 1 */
    uint32_t count;
    uint64_t length; /* of the whole */
    uint8_t reserved[40];
} kav_delta_head;

enum kav_delta_flag {
    KAV_DELTA_FULL = 1u << 0 /* so much, or such a thing, is new that objects are scanned in full */
};

typedef struct {
    uint8_t generation[16];
    uint16_t targets; /* bit per enum kav_target */
    uint16_t reserved;
    uint32_t flags;
    uint32_t set_count;
    uint32_t reserved2;
    struct {
        uint64_t offset, length;
    } sets[KAV_DELTA_SETS];
} kav_delta_row; /* row i belongs to image i that the workers get (deltas in the order of rows) */

_Static_assert(sizeof(kav_delta_head) == 64, "kav_delta_head is in a file");
_Static_assert(sizeof(kav_delta_row) == 96, "kav_delta_row is in a file");

typedef struct kav_delta kav_delta;

/* Check and adopt; bytes must outlive it and be 8-byte aligned. NULL: malformed, or out of memory. */
kav_delta *kav_delta_open(const void *bytes, size_t length);
void kav_delta_close(kav_delta *delta);

/* The row of a generation, for who remembers less than facts and judges for himself; NULL: there is none. *row is its
 * number. */
const kav_delta_row *kav_delta_find(const kav_delta *delta, const uint8_t generation[16], uint32_t *row);

/* The i-th of its sets, i < set_count. */
const kav_hashset *kav_delta_set(const kav_delta *delta, uint32_t row, uint32_t i);

enum kav_judgement {
    KAV_J_HOLDS = 0, /* the fact holds for the signatures of now */
    KAV_J_DELTA = 1, /* scan against row *row only */
    KAV_J_FULL = 2   /* scan in full */
};

/* What a fact of a generation is worth now. layers: the fact's kav_layer records, or NULL where it has none or they
 * were not read; then *wants_layers says whether they could make a difference. delta may be NULL. */
enum kav_judgement kav_judge(const kav_delta *delta, const uint8_t now[16], const uint8_t generation[16],
                             const kav_fact *fact, const kav_extra *extra, uint32_t *row, bool *wants_extra);

#endif
