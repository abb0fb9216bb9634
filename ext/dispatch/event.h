/* Event: what the C loop has to tell Python, in order, in one growing buffer that is emptied at every step. */
#ifndef KAV_EVENT_H
#define KAV_EVENT_H

#include "dispatch.h"

typedef struct {
    uint32_t kind;
    uint32_t path_len, text_len;
    uint64_t number, at, data_len; /* at: path, data and text lie there one behind the other */
} kav_event_row;

typedef struct {
    kav_event_row *rows;
    size_t count, rows_max;
    uint8_t *bytes;
    size_t used, bytes_max;
} kav_events;

/* A new event with room for its bytes; returns where path, data and text go, in this order; NULL: out of memory. */
uint8_t *kav_events_add(kav_events *events, uint32_t kind, uint64_t number, size_t path_len, size_t data_len,
                        size_t text_len);

/* An event of a number and a phrase. 0 or -ENOMEM. */
int kav_events_say(kav_events *events, uint32_t kind, uint64_t number, const char *text);

kav_event kav_events_get(const kav_events *events, size_t index);
void kav_events_clear(kav_events *events);
void kav_events_free(kav_events *events);

#endif
