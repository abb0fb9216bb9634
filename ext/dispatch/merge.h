/* Merge: what several classes say of one object becomes one verdict.
 *
 * An object goes through the classes in the order of enum kav_engine. All notes are kept, each says its engine; the
 * gravest status wins; reasons add up. Nothing that one class could not look at is lifted because another one says
 * clean: none of them can say that it left nothing out. Who is infected already is not shown to the classes that
 * follow, unless all matches are wanted; what a delta answered neither: the others' knowledge is that of the fact.
 */
#ifndef KAV_MERGE_H
#define KAV_MERGE_H

#include "keep.h"
#include "state.h"

struct kav_earlier {
    kav_result result;
    uint32_t text_len, layers_len;
    uint8_t bytes[] __attribute__((aligned(8))); /* layers, then text */
};

uint8_t kav_merge_first(const kav_dispatch *d); /* the class that sees an object first */

/* The class that has to see the item after the one that has just said result of it; -1: none. */
int kav_merge_next(const kav_dispatch *d, const kav_item *item, const kav_result *result);

/* Whether the text has to name the class: it is not native, and did not look at everything. Such a verdict is kept
 * nowhere, as nobody knows what its engine would say the next time. */
bool kav_merge_names(const kav_item *item, const kav_result *result);

/* Add what the item's class says to what earlier ones said; notes that went ahead are in the item. 0 or -ENOMEM. */
int kav_merge_add(kav_item *item, const kav_said *said);

/* All of it; points into the item. */
kav_said kav_merge_said(const kav_item *item);

#endif
