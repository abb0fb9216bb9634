/* Mapi: a list of MAPI properties as TNEF writes them ([MS-OXTNEF] 2.1.3.4), read value by value.
 *
 *     count (4) | properties:  type (2) | id (2) | its name, where id >= 8000 | value
 *
 *     of a fixed size          value, to a multiple of 4
 *     text, binary, object     count (4) | values:  length (4) | bytes, to a multiple of 4
 *     several of a fixed size  count (4) | values, each to a multiple of 4
 *
 * No length is trusted: a value that is said to be longer than the list is as long as what is there.
 */
#ifndef KAV_MAPI_H
#define KAV_MAPI_H

#include "window.h"

enum kav_mapi_type { KAV_MAPI_OBJECT = 0x0d, KAV_MAPI_TEXT = 0x1e, KAV_MAPI_UNICODE = 0x1f, KAV_MAPI_BINARY = 0x102 };

typedef struct {
    uint64_t at, end;     /* what is not read yet */
    uint32_t left;        /* properties */
    uint16_t type, id;    /* of the property in hand; not that it may have several values */
    uint32_t values;      /* of it, that are not read yet */
    uint64_t value, size; /* where the value in hand lies; size 0: there is none */
    bool cut;             /* it is longer than the list */
} kav_mapi;

/* A list in the bytes at..end. False: not even its count is there. */
bool kav_mapi_begin(kav_mapi *m, kav_window *w, uint64_t at, uint64_t end);

/* One step: a property, a value, or both. 1; 0 at the end; -1 where the list cannot be read any further. */
int kav_mapi_next(kav_mapi *m, kav_window *w);

#endif
