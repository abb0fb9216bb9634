/* Closer: a process that closes descriptors for this one. It shares our table of descriptors and nothing else: a number
 * that it closes is free here at once, while it alone waits for what the file system says to that, were it for ever.
 * When this process ends meanwhile, that is no end of the table, and so nothing is waited for there either.
 *
 * It reads numbers (int) from its socket, one to a message, and says each again when it is closed. -1: it ends.
 */
#ifndef KAV_CLOSER_H
#define KAV_CLOSER_H

#include <stdbool.h>
#include <stdint.h>

/* The process ID, or -errno. Call it in the main thread: it ends when that does. The socket is to be closed by the
 * caller when the process has gone. */
int kav_closer_start(int socket);

/* What is behind a descriptor lies in memory (or is no file at all) and takes no time to close. Asks nobody. */
bool kav_closer_in_memory(int fd);

/* The mount on which it lies, by its number in /proc/self/mountinfo; 0: not told. Asks nobody. */
uint64_t kav_closer_mount(int fd);

#endif
