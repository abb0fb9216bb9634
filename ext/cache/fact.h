/* Fact: what a store remembers of one file: "with this identity its content has this verdict for this generation".
 *
 * A fact never becomes false: it is about bytes that stood there with that identity. So an old one may be lost, kept or
 * read half-written at any time; what cannot be believed is a miss and costs a scan, never an answer.
 *
 *     kav_record   all facts of one directory (or of a part of a large one)
 *      +- kav_record_head    which place, which generations, sealed
 *      +- kav_fact[count]    sorted by inode
 *      +- extras             kav_extra + notes + layers, for facts that are more than clean and plain
 */
#ifndef KAV_FACT_H
#define KAV_FACT_H

#include "kav.h"
#include <stdbool.h>

/* What a file is told apart by. Compared field by field; `kavfs cache why` names the field that differs. */
typedef struct {
    uint64_t ino, size;
    int64_t mtime_ns, ctime_ns, btime_ns; /* btime INT64_MIN = the file system does not tell */
} kav_identity;

enum kav_fact_flag {
    KAV_FACT_CONTAINER = 1u << 0,
    KAV_FACT_UNOPENED = 1u << 1,
    KAV_FACT_LAYERS = 1u << 2,  /* its extra has the complete list of layers */
    KAV_FACT_JOURNAL = 1u << 3, /* holds for the scan whose journal this is, and for nothing else */
    KAV_FACT_INSIDE = 1u << 4   /* there are layers in it, or may be, whether or not it is a container */
};

#define KAV_FACT_GENERATIONS 4 /* that one record can hold at a time */

typedef struct {
    kav_identity id;
    uint32_t reasons;
    uint32_t extra; /* offset into the record's extras + 1; 0 = none */
    uint16_t format, views;
    uint8_t status, target;
    uint8_t flags;
    uint8_t generation; /* 0 .. KAV_FACT_GENERATIONS - 1: which of the record's */
} kav_fact;

typedef struct {
    uint32_t length; /* of this and what follows it, a multiple of 8 */
    uint32_t members;
    uint32_t notes, notes_len;   /* kav_note records as on the wire */
    uint32_t layers, layers_len; /* kav_layer records as on the wire, behind the notes */
    uint64_t scanned;
} kav_extra;

#define KAV_EXTRA_MAX (64u << 10) /* a fact whose extra would be longer is not kept */

/* Whether an extra, of which room bytes can be read, holds what it says. */
static inline bool kav_extra_sound(const kav_extra *extra, size_t room)
{
    if (room < sizeof *extra || extra->length < sizeof *extra || extra->length > room) return false;
    if (extra->length > KAV_EXTRA_MAX || extra->length % 8 || extra->notes_len % 8 || extra->layers_len % 8)
        return false;
    return (uint64_t)sizeof *extra + extra->notes_len + extra->layers_len <= extra->length;
}

/* Clean, complete, and nothing to tell but that. */
static inline bool kav_fact_plain(const kav_fact *fact)
{
    return fact->status == KAV_CLEAN && !fact->reasons && !(fact->flags & (KAV_FACT_CONTAINER | KAV_FACT_UNOPENED));
}

_Static_assert(sizeof(kav_fact) == 56, "kav_fact is in a store");
_Static_assert(sizeof(kav_extra) == 32, "kav_extra is in a store");

/* Reasons for partial coverage that the same bytes under the same settings give again. */
#define KAV_R_LASTING                                                                                                  \
    (KAV_R_DEPTH | KAV_R_MEMBERS | KAV_R_BYTES | KAV_R_SIZE | KAV_R_ENCRYPTED | KAV_R_DAMAGED | KAV_R_METHOD)

#endif
