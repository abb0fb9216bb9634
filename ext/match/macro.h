/* Macro: a subsignature that stands for any signature of a group, at a distance from the subsignature before it.
 *
 *     ${6-7}12$            beside   Name:0:$12$:626262   in .ndb, or a subsignature $12$:626262
 *
 * A member of a group is a pattern of its own that makes nothing true; where it matches is noted. The rules are
 * ClamAV's, who settles a match of the subsignature before the macro only when the next one of it comes, or at the
 * end, and then only from the second one on.
 */
#ifndef KAV_MACRO_H
#define KAV_MACRO_H

#include "pattern.h"

#define KAV_MACRO_GROUPS 32

/* As it lies in DATA. */
typedef struct {
    uint32_t least, most; /* from the first byte of the subsignature before to the first of the group's */
    uint32_t group;
    uint32_t reserved;
} kav_macro;

/* NULL, or why the text cannot be taken. */
const char *kav_macro_parse(kav_text text, kav_macro *out);

/* What became of a subsignature with a macro behind it. */
typedef struct {
    const kav_macro *macro;
    uint64_t last;   /* the match that is to be settled next */
    uint64_t member; /* the last match of the group, or KAV_MACRO_NEVER */
    uint32_t count;  /* of the subsignature */
    uint32_t found;  /* of the macro */
} kav_macro_run;

#define KAV_MACRO_NEVER UINT64_MAX

/* The subsignature has matched at place (in order; a group's member is put into .member when it matches). */
void kav_macro_matched(kav_macro_run *run, uint64_t place);

/* The layer is over. */
void kav_macro_finish(kav_macro_run *run);

#endif
