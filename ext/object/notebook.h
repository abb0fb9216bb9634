/* Notebook: notes that wait until it is known whether they count. Bounded. */
#ifndef KAV_NOTEBOOK_H
#define KAV_NOTEBOOK_H

#include "object.h"

#define KAV_NOTEBOOK_MAX (1u << 20) /* bytes */

typedef struct {
    uint8_t *bytes; /* {kav_note, name, member}, one behind the other, unaligned. All zero = empty */
    size_t len, room;
} kav_notebook;

/* 0; -ENOSPC or -ENOMEM: it is full. */
int kav_notebook_add(kav_notebook *n, const kav_note *note, const char *name, const char *member);

/* Hand all of them on, in order. 0, or what the sink said. */
int kav_notebook_replay(const kav_notebook *n, kav_note_sink sink, void *context);

void kav_notebook_free(kav_notebook *n);

#endif
