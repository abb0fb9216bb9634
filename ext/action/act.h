/* Act: the calls by which files are acted on: always by descriptor of a directory and a name in it, never over anything
 * that is there, never through a link.
 *
 * Each returns 0 (or a descriptor) or -errno. Names have no slash in them. Only -ENOSYS, -EINVAL and -EPERM of calls
 * that an old kernel, a file system or a container's filter does not have are answered by other calls that promise the
 * same.
 */
#ifndef KAV_ACT_H
#define KAV_ACT_H

#include <stdint.h>

/* An open directory for reading, by a path of any length: absolute, or below dirfd. -ELOOP or -ENOTDIR when a
 * component, the last included, is a link; -EXDEV when ".." leads out of where it began. */
int kav_act_directory(int dirfd, const char *path);

/* When the inode behind fd came to be, in ns since 1970: the one stamp that nobody can set. -ENODATA: the file system
 * does not know. */
int64_t kav_act_born(int fd);

/* Move an entry, whatever it is; -EEXIST when there is something at the new name. A file system without such a call
 * gets a second link and loses the first, which directories cannot have (-EPERM). */
int kav_act_rename_new(int from, const char *name, int to, const char *new_name);

/* Exchange two entries, atomically; -EINVAL or -ENOSYS when the file system cannot. */
int kav_act_exchange(int one, const char *name, int other, const char *other_name);

/* Give a file without a name (O_TMPFILE), or another one, a name; -EEXIST when it is taken. */
int kav_act_link(int fd, int to, const char *name);

#endif
