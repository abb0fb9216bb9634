/* Lookup: the questions of one walker thread to the stores. No lock, no allocation per file.
 *
 *     kav_lookup_dir(l, fs, dir_ino, dir_btime)      once for each directory
 *     kav_lookup_file(l, &identity, &known)          for each file in it, before it is opened
 *     kav_lookup_end(l)                              what is remembered and was not asked for
 */
#ifndef KAV_LOOKUP_H
#define KAV_LOOKUP_H

#include "cachefile.h"
#include "delta.h"

#define KAV_SETTINGS_MAX 4 /* that a walk asks for: its own first, then others whose complete verdicts hold for it */

typedef struct {
    int file;    /* the store, or -1 */
    int journal; /* of the scan that is resumed, or -1 */
    uint8_t secret[KAV_SECRET];
    uint8_t generation[16];
    uint8_t settings[KAV_SETTINGS_MAX][16];
    uint32_t settings_count;
    const kav_delta *delta; /* may be NULL */
} kav_lookup_options;

typedef struct kav_lookup kav_lookup;

kav_lookup *kav_lookup_new(const kav_lookup_options *options); /* NULL: out of memory. A bad store is an empty one. */
void kav_lookup_free(kav_lookup *l);

/* Begin a directory: its place under the walk's own settings goes to *place. Only a -errno of memory stops a walk. */
int kav_lookup_dir(kav_lookup *l, const uint8_t fs[16], uint64_t dir_ino, int64_t dir_btime_ns, uint8_t place[16]);

/* Nothing is remembered of any file of this directory: asking for them is in vain. */
bool kav_lookup_empty(kav_lookup *l);

enum kav_answer {
    KAV_A_UNKNOWN = 0, /* scan in full */
    KAV_A_PLAIN = 1,   /* clean, complete, plain: count it */
    KAV_A_REPLAY = 2,  /* known->fact and, where it has one, known->extra are the verdict */
    KAV_A_DELTA = 3    /* scan against row known->row */
};

typedef struct {
    const kav_fact *fact;
    const kav_extra *extra; /* the lookup's, until the next question; NULL = none */
    uint32_t row;
} kav_known;

enum kav_answer kav_lookup_file(kav_lookup *l, const kav_identity *id, kav_known *known);

typedef struct {
    bool renew;           /* some facts were older and the delta does not concern them: tell kav_memory_renew */
    const uint64_t *gone; /* inodes that are remembered and were not asked for, when they are worth telling; none with a
                           * journal */
    uint32_t gone_count;
} kav_lookup_rest;

/* The directory was listed to its end. */
kav_lookup_rest kav_lookup_end(kav_lookup *l);

/* For `kavfs cache why`: bit per field of kav_identity in which a fact differs, in order, 0 = none. */
uint32_t kav_identity_differs(const kav_identity *a, const kav_identity *b);

#endif
