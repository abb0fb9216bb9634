/* smtpscanner as mail servers start it for one conversation: joins stdin and stdout to the daemon's socket.
 *
 *   main.c   words, where the daemon is, the exit code; becomes kavfs-smtpscanner where there is more to do
 *   join.c   bytes both ways until both have ended
 *
 * It adds nothing to a conversation that has begun: whatever breaks, the client sees a connection that ends without a
 * reply, and comes again.
 */
#ifndef KAV_SMTPRELAY_H
#define KAV_SMTPRELAY_H

#include <stdbool.h>

enum {
    RELAY_OK = 0,
    RELAY_TEMPORARY = 75, /* EX_TEMPFAIL: what came stays with who has it */
};

typedef enum {
    JOIN_DONE,   /* both sides have said that they end */
    JOIN_BROKEN, /* the daemon or the client went away */
    JOIN_SILENT, /* the daemon went away before it said anything */
} join_end;

/* What comes on `in` goes to `socket`, what that says to `out`. */
join_end join(int in, int out, int socket);

#endif
