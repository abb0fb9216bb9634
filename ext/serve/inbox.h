/* Inbox: requests and ends of connections that Python has not heard of yet, in order. */
#ifndef KAV_SERVE_INBOX_H
#define KAV_SERVE_INBOX_H

#include "serve.h"

typedef struct {
    uint64_t connection, number;
    size_t at; /* option and argument lie there one behind the other */
    uint32_t option_len, argument_len;
    uint32_t verb;
    int fd;
} kav_inbox_row;

typedef struct {
    kav_inbox_row *rows;
    size_t count, rows_max;
    uint8_t *bytes;
    size_t used, bytes_max;
    uint64_t *ids;
    size_t ids_count, ids_max;
    kav_unwanted *unwanted;
    size_t unwanted_count, unwanted_max;
} kav_inbox;

/* 0 or -ENOMEM; the descriptor is the inbox's only after 0. */
int kav_inbox_add(kav_inbox *inbox, const kav_request *request);
int kav_inbox_add_id(kav_inbox *inbox, uint64_t id);
kav_request kav_inbox_get(const kav_inbox *inbox, size_t i);

/* To be closed by somebody else; without memory it is closed here. */
void kav_inbox_add_unwanted(kav_inbox *inbox, int64_t uid, int fd);

/* Requests are forgotten; descriptors of those from `first` on are unwanted, the others have been taken over. */
void kav_inbox_clear(kav_inbox *inbox, size_t first);
void kav_inbox_free(kav_inbox *inbox);

#endif
