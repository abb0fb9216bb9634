/* Loop: the life of a worker: receive descriptors, scan what is behind them, answer.
 *
 *     kav_work_header + descriptors --> [ scan each, close each ] --> kav_result messages, the last one KAV_RF_LAST
 *
 * The worker knows no path and keeps nothing from one object to the next. It ends when the other end of the socket is
 * closed, or at the first message that is not as kav.h says: a coordinator that sends such is not ours.
 */
#ifndef KAV_LOOP_H
#define KAV_LOOP_H

#include "kav.h"
#include "object.h"

/* Serve a blocking SOCK_SEQPACKET socket until it closes. slot: shared memory, may be NULL. Ignores SIGXFSZ for the
 * whole process, so that a full spill file is an error code. 0 when the socket closed; -EPROTO, -ENOMEM or another
 * -errno when it cannot go on. */
int kav_worker_run(int socket, kav_slot *slot, kav_object_scanner *scanner);

#endif
