/* Group: the Vectorscan databases over the literals of some BODY parts, one pair per target type that has literals of
 * its own (with those for any type), and one pair for all other types.
 *
 * The fast database of a pair is scanned for every layer; of those for texts there are narrow ones besides, for layers
 * that are made of few different bytes (charset.h). The weak one (short or common literals) is scanned in a
 * second pass over the layer, and only when a signature can still become true through it.
 *
 * A database lies in the part as it lies in memory, at a page boundary, so that the mapped file is scanned in place.
 * That layout is Vectorscan's own business: it is tried out when the group is built, and the stamp (library version and
 * CPU) keeps a part from being used where it was not. Where the trial fails, the serialised form is stored instead.
 */
#ifndef KAV_GROUP_H
#define KAV_GROUP_H

#include "body.h"
#include "buffer.h"

#include <hs.h>

/* Build a group over the checked bodies. threads: how many databases are compiled at the same time. On failure why
 * holds one line of text. */
bool kav_group_build(const kav_body *bodies, uint32_t count, int threads, kav_buffer *out, char *why, size_t why_len);

/* What a group built on this machine carries: library version and CPU features. */
void kav_group_stamp(uint8_t stamp[64]);

#define KAV_TARGETS 16

typedef struct {
    const uint8_t *part;
    const kav_member *members;
    const uint32_t *firsts; /* per literal */
    const kav_posting *postings;
    uint32_t member_count, literal_count, posting_count;
    const hs_database_t *databases[KAV_DB_KINDS][KAV_TARGETS]; /* NULL: no literals, or no narrow one */
    hs_database_t *owned[KAV_DB_KINDS * KAV_TARGETS];          /* deserialised copies */
    uint32_t owned_count;
} kav_group;

enum kav_group_open { KAV_GROUP_OK = 0, KAV_GROUP_DAMAGED, KAV_GROUP_FOREIGN, KAV_GROUP_MEMORY };

/* Adopt a part that kav_part_check has accepted, mapped at a page boundary. Piece numbers in postings are not checked
 * here: the caller knows the members. */
enum kav_group_open kav_group_open(kav_group *g, const uint8_t *part);
void kav_group_close(kav_group *g);

#endif
