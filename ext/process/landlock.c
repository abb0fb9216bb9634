#define _GNU_SOURCE /* O_PATH */

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's interface (Documentation/userspace-api/landlock.rst), spelled out: what the build machine's headers know
 * must not decide what is forbidden. */
#define RULESET_VERSION 1u
#define RULE_PATH       1
#define RULE_PORT       2

enum {
    EXECUTE = 1 << 0,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    MAKE_CHAR = 1 << 6,
    MAKE_SOCK = 1 << 9,
    MAKE_FIFO = 1 << 10,
    MAKE_BLOCK = 1 << 11,
    REFER = 1 << 13,
    TRUNCATE = 1 << 14,
    IOCTL_DEV = 1 << 15,
    FILES_1 = (1 << 13) - 1, /* everything that version 1 knows */
    CONNECT_TCP = 1 << 1,
    NET = 3,   /* and bind */
    SCOPED = 3 /* abstract sockets, signals */
};

#define DEVICES (MAKE_CHAR | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | IOCTL_DEV)

typedef struct {
    uint64_t files, net, scoped;
} ruleset;

typedef struct {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed)) path_rule;

typedef struct {
    uint64_t allowed, port;
} port_rule;

int kav_landlock_version(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    return version < 0 ? -errno : (int)version;
}

static uint64_t files_of(int version)
{
    uint64_t files = FILES_1;
    if (version >= 2) files |= REFER;
    if (version >= 3) files |= TRUNCATE;
    if (version >= 5) files |= IOCTL_DEV;
    return files;
}

static int allow_folder(int set, uint64_t files, const char *folder)
{
    path_rule rule = {.allowed = files & ~(uint64_t)(EXECUTE | DEVICES), .parent = 0};
    rule.parent = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (rule.parent < 0) return -errno;
    long rc = syscall(SYS_landlock_add_rule, set, RULE_PATH, &rule, 0);
    int error = rc < 0 ? -errno : 0;
    close(rule.parent);
    return error;
}

static int allow_port(int set, uint16_t port)
{
    port_rule rule = {.allowed = CONNECT_TCP, .port = port};
    return syscall(SYS_landlock_add_rule, set, RULE_PORT, &rule, 0) < 0 ? -errno : 0;
}

int kav_landlock_close(const kav_landlock *allowed)
{
    int version = kav_landlock_version();
    if (version < 0) return version;
    ruleset rules = {.files = files_of(version)};
    if (allowed->reads) rules.files &= ~(uint64_t)(READ_FILE | READ_DIR);
    if (version >= 4) rules.net = NET;
    if (version >= 6) rules.scoped = SCOPED;
    int set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (set < 0 && errno == E2BIG) /* an older kernel takes no fields that it does not know */
        set = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules.files, 0);
    if (set < 0) return -errno;
    int error = 0;
    if (allowed->folder != NULL) error = allow_folder(set, rules.files, allowed->folder);
    if (error == 0 && allowed->port != 0 && rules.net) error = allow_port(set, allowed->port);
    if (error == 0 && syscall(SYS_landlock_restrict_self, set, 0) < 0) error = -errno;
    close(set);
    return error;
}
