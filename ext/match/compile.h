/* Compile: one Vectorscan database over some literals, in the form in which it is stored. */
#ifndef KAV_COMPILE_H
#define KAV_COMPILE_H

#include "format.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    /* in */
    const kav_literal *literals; /* all of the group; a match's id is the literal's index */
    const uint32_t *wanted;      /* indices of those that go into this database */
    uint32_t count;
    uint16_t targets;
    uint8_t kind;         /* enum kav_stored_kind; the weak one has expressions instead of literals */
    const uint8_t *texts; /* weak: what literals' text fields point into */
    /* out */
    uint8_t *bytes; /* malloc'ed */
    size_t length;
    uint8_t form;  /* enum kav_form */
    char why[160]; /* set on failure */
} kav_compile;

/* True, or why is set. Takes no locks and touches nothing but the job: may run in any thread. */
bool kav_compile_run(kav_compile *job);

#endif
