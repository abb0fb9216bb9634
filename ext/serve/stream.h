/* Stream: the content that a client sends, in memory while it is small and little is held there, else in a file without
 * a name in the spill folder. Handed out it cannot be changed any more: sealed, or a descriptor for reading only. */
#ifndef KAV_SERVE_STREAM_H
#define KAV_SERVE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all streams of a front share. Used: bytes of those that are being received or not yet answered. */
typedef struct {
    const char *spill_dir;
    uint64_t memory_each, memory_total, spill_total;
    uint64_t memory_used, spill_used;
    uint64_t spilled; /* streams, ever */
} kav_stream_budget;

/* What of this is one client's. No client holds more than is left free, so that there is something left for the next.
 */
typedef struct {
    uint64_t memory_used, spill_used;
} kav_stream_share;

typedef struct {
    int fd; /* -1: none yet */
    bool spilled;
    uint64_t size;
} kav_stream;

/* 0 or -errno; after an error the stream is to be dropped. -ENOSPC: the budget of the spill folder, or
 * the client's share of it, is used up. */
int kav_stream_write(kav_stream *stream, kav_stream_budget *budget, kav_stream_share *share, const uint8_t *bytes,
                     size_t len);

/* The descriptor that is handed out, or -errno. The stream has none then; its bytes count until kav_stream_settle. */
int kav_stream_seal(kav_stream *stream);

/* Its bytes no longer count; a descriptor that it still has is closed. */
void kav_stream_settle(kav_stream *stream, kav_stream_budget *budget, kav_stream_share *share);

#endif
