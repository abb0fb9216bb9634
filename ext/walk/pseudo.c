#include "pseudo.h"

#include <linux/magic.h>
#include <stddef.h>
#include <sys/vfs.h>

/* Those that <linux/magic.h> does not name; the numbers stand in the kernel beside each file system. */
#define MQUEUE_MAGIC    0x19800202
#define CONFIGFS_MAGIC  0x62656570
#define FUSECTL_MAGIC   0x65735543
#define RPC_PIPEFS      0x67596969
#define NFSD_MAGIC      0x6e667364
#define APPARMORFS      0x5a3c69f0
#define RESCTRL_MAGIC   0x07655821
#define XENFS_MAGIC     0xabba1974
#define FUNCTIONFS      0xa647361
#define GADGETFS_MAGIC  0xaee71ee7
#define IBMASMFS_MAGIC  0x66726f67
#define OPENPROM_FS     0x9fa1
#define USBDEVICE_MAGIC 0x9fa2

bool kav_is_pseudo(int fd)
{
    static const unsigned magics[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC,      CGROUP_SUPER_MAGIC,  CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
        TRACEFS_MAGIC,    SECURITYFS_MAGIC, DEVPTS_SUPER_MAGIC,  BPF_FS_MAGIC,        PSTOREFS_MAGIC,
        CONFIGFS_MAGIC,   FUSECTL_MAGIC,    MQUEUE_MAGIC,        HUGETLBFS_MAGIC,     EFIVARFS_MAGIC,
        SELINUX_MAGIC,    SMACK_MAGIC,      BINFMTFS_MAGIC,      AUTOFS_SUPER_MAGIC,  NSFS_MAGIC,
        RPC_PIPEFS,       NFSD_MAGIC,       APPARMORFS,          RESCTRL_MAGIC,       XENFS_MAGIC,
        FUNCTIONFS,       GADGETFS_MAGIC,   IBMASMFS_MAGIC,      OPENPROM_FS,         USBDEVICE_MAGIC,
        SOCKFS_MAGIC,     PIPEFS_MAGIC,     ANON_INODE_FS_MAGIC,
    };
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0) return false;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if ((unsigned)fs.f_type == magics[i]) return true;
    return false;
}
