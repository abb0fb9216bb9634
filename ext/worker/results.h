/* Results: the messages in which a worker answers a batch.
 *
 *     kav_result_header | kav_result[count] | payload: of the first record, of the second ...
 *
 * A record's part of the payload: its notes, then the list of layers, then what the object cache may learn.
 *
 * Records are collected and sent together; a message goes out early when its notes fill it. An object whose notes do
 * not fit into one message gets several records: all but the last with KAV_F_MORE, holding nothing but index and notes.
 */
#ifndef KAV_RESULTS_H
#define KAV_RESULTS_H

#include "kav.h"

#include <stddef.h>

#define KAV_NOTES_MAX   100000 /* notes of one object that are sent; what lies beyond is only counted in .members */
#define KAV_THREATS_MAX 1000   /* threats among them */

/* Payload of one message: what KAV_MESSAGE_MAX leaves beside the header and the most records; a multiple of 8. */
#define KAV_PAYLOAD_MAX                                                                                                \
    ((KAV_MESSAGE_MAX - sizeof(kav_result_header) - KAV_BATCH_FILES * sizeof(kav_result)) & ~(size_t)7)

typedef struct {
    int socket;
    int error; /* -errno of the first failed send; nothing is sent after it */
    kav_result_header header;
    kav_result records[KAV_BATCH_FILES]; /* header.count finished ones */
    uint8_t payload[KAV_PAYLOAD_MAX];
    /* of the object in hand */
    uint32_t index, notes, all_notes, threats;
    size_t begin; /* of its notes in the payload */
} kav_results;

/* Start the answer to a batch. */
void kav_results_start(kav_results *r, int socket, uint64_t batch);

/* An object begins; its notes follow, then its record. */
void kav_results_begin(kav_results *r, uint32_t index);

/* Add a note. 0, or -errno when the socket is gone. */
int kav_results_note(kav_results *r, const kav_note *note, const char *name, const char *member);

/* The object's verdict; index and payload fields are filled in here. layers: result->layers_len bytes; learned:
 * result->learned records. 0, or -errno when the socket is gone. */
int kav_results_end(kav_results *r, const kav_result *result, const uint8_t *layers, const kav_learned *learned);

/* Send what is left, marked as the last message of the batch. */
int kav_results_finish(kav_results *r);

#endif
