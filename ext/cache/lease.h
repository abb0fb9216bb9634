/* Lease: what an open file says about whether its verdict may be remembered, and whether reading it fills the cache. */
#ifndef KAV_LEASE_H
#define KAV_LEASE_H

#include <stdbool.h>
#include <sys/stat.h>

/* Whether nobody has the file open for writing or mapped writable. Such a writer could change it without its times
 * telling, for as long as he likes. Asked by a read lease, given back at once; SIGIO must be ignored, because whoever
 * opens the file for writing meanwhile waits for us and we are told by that. *st* is of this descriptor, taken before.
 */
bool kav_unwritten(int fd, const struct statx *st);

/* Whether others than root and the scanning user may write to it. Whoever may, and has a shell, can exchange the blocks
 * of a file of XFS or ext4 with those of another one, and no stamp tells (XFS_IOC_SWAPEXT, EXT4_IOC_MOVE_EXT). An ACL
 * that lets somebody else write shows in the bits of the group. */
bool kav_others_write(const struct statx *st);

/* Whether none of its pages is in the page cache (Linux 6.5; false where the kernel does not tell). */
bool kav_is_cold(int fd);

#endif
