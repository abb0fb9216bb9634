/* Outlet: the socket that all threads of a walk share; waiting for its reader is the back-pressure. */
#ifndef KAV_WALK_OUTLET_H
#define KAV_WALK_OUTLET_H

#include "walk.h"
#include <pthread.h>
#include <sys/uio.h>

#define KAV_MESSAGE_PARTS 5

typedef struct {
    struct iovec parts[KAV_MESSAGE_PARTS]; /* together at most KAV_MESSAGE_MAX bytes */
    size_t count;
    const int *fds; /* that travel with it, at most KAV_BATCH_FILES; they stay the caller's */
    uint32_t fd_count;
} kav_message;

typedef struct {
    const kav_walk_sink *sink;
    volatile int *stop;
    pthread_mutex_t lock; /* over waiting and slot->state */
    unsigned waiting;     /* threads that wait for the reader */
} kav_outlet;

int kav_outlet_init(kav_outlet *outlet, const kav_walk_sink *sink, volatile int *stop);
void kav_outlet_free(kav_outlet *outlet);

/* Send; waits for the reader as long as it takes or until stop is set, and with patience for the kernel when that has
 * no room for more descriptors on their way. Returns 0, also when it was stopped: what is lost then belongs to a walk
 * that nobody wants any more; or -errno (-EPIPE: nobody reads any more). */
int kav_outlet_send(kav_outlet *outlet, const kav_message *message);

#endif
