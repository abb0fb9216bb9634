/* Process: what a child of the fork server gives up before it touches anything foreign.
 *
 * Single-threaded callers only. Each returns 0 or -errno and can be called by root and by anybody else; what one has
 * not got is given up already.
 */
#ifndef KAV_PROCESS_H
#define KAV_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The name that ps and top show; 15 bytes of it. */
int kav_process_name(const char *name);

/* Be sent signal when the parent dies. -ESRCH: it is dead already (its pid was parent). A change of user takes the wish
 * back, so ask after that. */
int kav_process_follow(int signal, pid_t parent);

/* Become uid and gid with no other groups, for good. Root only (-EPERM). */
int kav_process_become(uid_t uid, gid_t gid);

/* The same with these other groups, as who opens files in another's name must be. */
int kav_process_stand_in(uid_t uid, gid_t gid, const gid_t *groups, size_t count);

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

/* What there is in the kernel of Landlock: its version, or -errno (-ENOSYS, -EOPNOTSUPP: none; -EPERM: a container's
 * own filter forbids the call). */
int kav_landlock_version(void);

/* Forbid what Landlock can, as far as the kernel's version of it goes, for good: every kind of access to files by path,
 * TCP, abstract sockets and signals to processes outside. Descriptors that are open already keep what they may. */
typedef struct {
    bool reads;         /* whatever only reads is allowed everywhere: for walkers */
    const char *folder; /* below it everything but devices and programs is allowed; NULL = nowhere */
    uint16_t port;      /* a TCP connection to this port is allowed; 0 = to none */
} kav_landlock;
int kav_landlock_close(const kav_landlock *allowed);

/* Which calls a child may make; filter.c says what and why. Anything else fails with ENOSYS or EACCES, and what nobody
 * but an attacker asks for (programs, tracing, mounts, executable memory ...) ends the process with SIGSYS. */
typedef enum {
    KAV_CALLS_NATIVE, /* descriptors and memory */
    KAV_CALLS_WALKER, /* and threads, reading by path */
    KAV_CALLS_FILES,  /* KAV_CALLS_NATIVE and files by path: Landlock says which */
    KAV_CALLS_UNIX,   /* KAV_CALLS_NATIVE and UNIX stream sockets */
    KAV_CALLS_TCP,    /* the same with TCP */
    KAV_CALLS_OPENER, /* KAV_CALLS_NATIVE and opening for reading */
    KAV_CALLS_COUNT
} kav_calls;

/* Install it for this thread and what it starts, for good; after no_new_privs. -ENOSYS or -EINVAL: the kernel has no
 * such filters. */
int kav_calls_filter(kav_calls calls);

/* Whether kav_calls_filter() can work here. */
bool kav_calls_supported(void);

/* Open files for who asks at the other end of a SOCK_SEQPACKET socket, with the rights that this process has, until
 * that end is closed. Asked: kav_open_request, then folder and path with a NUL each. Answered, in order:
 * kav_open_answer, and where error is 0 the descriptor, open for reading, never waiting. What is neither a regular file
 * nor a directory is ENXIO and is not opened; what lies in a proc file system is EACCES, and nothing leads through its
 * links to what is open here. 0 or -errno. */
#define KAV_OPEN_MAX    4096      /* bytes of folder and of path, each with its NUL */
#define KAV_OPEN_FOLLOW (1u << 0) /* the last part of the path may be a symbolic link; others always may */

typedef struct {
    uint32_t id, flags;
    uint32_t folder_len; /* without NUL. Not 0: the path is relative to it and may not lead out of it */
    uint32_t path_len;
} kav_open_request;

typedef struct {
    uint32_t id;
    int32_t error; /* errno */
    uint32_t directory, reserved;
} kav_open_answer;

int kav_process_open_for(int socket);

/* No core dump, no ptrace() and no /proc/self/mem for others of the same user. */
int kav_process_hide(void);

#endif
