/* File system: what an open file or directory tells about where it lies. Asked in the walker's process: a dead server
 * must not hang anybody else. */
#ifndef KAV_WALK_FILESYSTEM_H
#define KAV_WALK_FILESYSTEM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t dev;          /* as in kav_entry */
    uint64_t mount;        /* as in /proc/self/mountinfo; 0 = the kernel does not tell (before 5.8) */
    uint64_t unique_mount; /* never given to another mount; 0 = not told (before 6.8) */
    uint8_t uuid[16];
    uint8_t uuid_len; /* 0 = not told (before 6.9, and by many file systems) */
} kav_file_system;

/* 0 or -errno. */
int kav_file_system_ask(int fd, kav_file_system *out);

/* Make a digest of a btrfs file system that of the subvolume on which *fd* lies: inode numbers are given once for each
 * subvolume, snapshots included. 0; -EXDEV: that is no btrfs; -errno. */
int kav_subvolume(int fd, const uint8_t fs[16], uint8_t out[16]);

#endif
