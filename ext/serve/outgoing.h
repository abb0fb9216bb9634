/* Outgoing: lines that a peer has not taken yet, each to be sent by itself. Empty it holds no memory. */
#ifndef KAV_SERVE_OUTGOING_H
#define KAV_SERVE_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct {
    uint8_t *bytes;
    size_t begin, end, room;
} kav_outgoing;

/* A line of these parts without its first `sent` bytes. Apart: its end is to be the end of what one recv brings.
 * 0 or -ENOMEM. */
int kav_outgoing_add(kav_outgoing *out, const struct iovec *parts, size_t count, size_t sent, bool apart);

/* The rest of the first line; NULL: nothing waits. */
const uint8_t *kav_outgoing_first(const kav_outgoing *out, size_t *len, bool *apart);

/* So many of its bytes were taken. */
void kav_outgoing_took(kav_outgoing *out, size_t len);

static inline size_t kav_outgoing_waits(const kav_outgoing *out)
{
    return out->end - out->begin;
}

void kav_outgoing_free(kav_outgoing *out);

#endif
