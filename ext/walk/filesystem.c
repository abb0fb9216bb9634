#define _GNU_SOURCE
#include "filesystem.h"

#include "open.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U /* Linux 6.8: stx_mnt_id is this one then */
#endif

struct uuid_answer { /* struct fsuuid2 of Linux 6.9 */
    uint8_t len;
    uint8_t uuid[16];
};
#define GET_UUID _IOR(0x15, 0, struct uuid_answer) /* FS_IOC_GETFSUUID */

int kav_file_system_ask(int fd, kav_file_system *out)
{
    struct statx st;
    struct uuid_answer answer = {0};
    *out = (kav_file_system){0};
    int error = kav_identify(fd, &st);
    if (error) return error;
    out->dev = kav_dev(&st);
    if (st.stx_mask & STATX_MNT_ID) out->mount = st.stx_mnt_id;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID_UNIQUE, &st) == 0 &&
        st.stx_mask & STATX_MNT_ID_UNIQUE)
        out->unique_mount = st.stx_mnt_id;
    if (ioctl(fd, GET_UUID, &answer) == 0 && answer.len > 0 && answer.len <= sizeof answer.uuid) {
        out->uuid_len = answer.len;
        memcpy(out->uuid, answer.uuid, answer.len);
    }
    return 0;
}

int kav_subvolume(int fd, const uint8_t fs[16], uint8_t out[16])
{
    struct statfs answer;
    if (fstatfs(fd, &answer) != 0) return -errno;
    if (answer.f_type != BTRFS_SUPER_MAGIC) return -EXDEV; /* something was mounted there meanwhile */
    memcpy(out, fs, 16);
    const uint8_t *id = (const uint8_t *)&answer.f_fsid; /* of btrfs: UUID and number of the subvolume */
    for (size_t i = 0; i < sizeof answer.f_fsid && i < 16; i++) out[i] ^= id[i];
    return 0;
}
