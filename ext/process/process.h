/* Process: what a child of the fork server gives up before it touches anything foreign.
 *
 * Single-threaded callers only. Each returns 0 or -errno and can be called by root and by anybody else; what one has
 * not got is given up already.
 */
#ifndef KAV_PROCESS_H
#define KAV_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* The name that ps and top show; 15 bytes of it. */
int kav_process_name(const char *name);

/* Be sent signal when the parent dies. -ESRCH: it is dead already (its pid was parent). A change of user takes the wish
 * back, so ask after that. */
int kav_process_follow(int signal, pid_t parent);

/* Become uid and gid with no other groups, for good. Root only (-EPERM). */
int kav_process_become(uid_t uid, gid_t gid);

/* Cut the bounding set down to the capabilities in the mask (bit n = capability n): no execve() gives others any more.
 * Takes CAP_SETPCAP, so do it before giving that up; without it nothing happens and no_new_privs stands in. */
int kav_process_bound(uint64_t mask);

/* Keep, of those one has, the capabilities in the mask; 0 = none at all. No set but the bounding set is left out. */
int kav_process_keep(uint64_t mask);

/* Never gain privileges again, by no execve() of anything. */
int kav_process_no_new_privs(void);

/* Read and write only when nobody else wants the disk, where its scheduler knows of that (I/O class idle). Threads made
 * later do so too. */
int kav_process_idle_io(void);

/* No core dump, no ptrace() and no /proc/self/mem for others of the same user. */
int kav_process_hide(void);

#endif
