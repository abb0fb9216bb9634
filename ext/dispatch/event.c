#include "event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES (1u << 20) /* a larger buffer is given back when it has been read */

static int reserve(void **block, size_t *max, size_t need, size_t unit)
{
    if (need <= *max) return 0;
    size_t larger = *max ? *max : 64;
    while (larger < need) larger *= 2;
    void *grown = realloc(*block, larger * unit);
    if (!grown) return -ENOMEM;
    *block = grown;
    *max = larger;
    return 0;
}

uint8_t *kav_events_add(kav_events *events, uint32_t kind, uint64_t number, size_t path_len, size_t data_len,
                        size_t text_len)
{
    size_t need = path_len + data_len + text_len;
    if (reserve((void **)&events->rows, &events->rows_max, events->count + 1, sizeof *events->rows)) return NULL;
    if (reserve((void **)&events->bytes, &events->bytes_max, events->used + need + 1, 1)) return NULL;
    kav_event_row *row = &events->rows[events->count++];
    row->kind = kind;
    row->number = number;
    row->at = events->used;
    row->path_len = (uint32_t)path_len;
    row->data_len = data_len;
    row->text_len = (uint32_t)text_len;
    events->used += need;
    return events->bytes + row->at;
}

int kav_events_say(kav_events *events, uint32_t kind, uint64_t number, const char *text)
{
    size_t len = strlen(text);
    uint8_t *to = kav_events_add(events, kind, number, 0, 0, len);
    if (!to) return -ENOMEM;
    memcpy(to, text, len);
    return 0;
}

kav_event kav_events_get(const kav_events *events, size_t index)
{
    const kav_event_row *row = &events->rows[index];
    const uint8_t *path = events->bytes + row->at;
    const uint8_t *data = path + row->path_len;
    return (kav_event){
        .kind = row->kind,
        .number = row->number,
        .path = path,
        .path_len = row->path_len,
        .data = data,
        .data_len = row->data_len,
        .text = data + row->data_len,
        .text_len = row->text_len,
    };
}

void kav_events_clear(kav_events *events)
{
    events->count = events->used = 0;
    if (events->bytes_max <= KEEP_BYTES) return;
    free(events->bytes);
    events->bytes = NULL;
    events->bytes_max = 0;
}

void kav_events_free(kav_events *events)
{
    free(events->rows);
    free(events->bytes);
    memset(events, 0, sizeof *events);
}
