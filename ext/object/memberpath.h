/* Path: where inside an object we are: member names joined with '/', as bytes.
 *
 * Names come from containers and are hostile: a NUL becomes '?', a long name loses its middle. Nothing here is ever
 * used to open anything.
 */
#ifndef KAV_MEMBER_PATH_H
#define KAV_MEMBER_PATH_H

#include <stddef.h>

#define KAV_MEMBER_NAME_MAX 1024 /* bytes kept of one name */
#define KAV_MEMBER_PATH_MAX 4096 /* bytes shown of a whole path */

typedef struct {
    char *bytes; /* grows with depth */
    size_t len, room;
    char shown[KAV_MEMBER_PATH_MAX];
} kav_member_path;

void kav_member_path_free(kav_member_path *p);

/* Append a name; *mark takes what kav_member_path_pop wants. 0, or -ENOMEM (nothing was appended). */
int kav_member_path_push(kav_member_path *p, const char *name, size_t len, size_t *mark);
void kav_member_path_pop(kav_member_path *p, size_t mark);

/* The path for reports, at most KAV_MEMBER_PATH_MAX bytes, the middle cut out of a longer one. Valid until the next
 * call. */
const char *kav_member_path_show(kav_member_path *p, size_t *len);

#endif
