/* Prints the members that the mail openers hand over; for tests/unit/test_mail_openers.py.
 *
 *     mail_members mail|mbox FILE [stop-after-members [bytes-that-have-gone]]
 *
 * For each member "NAME SIZE REASONS" and then its bytes; at the end "= REASONS-OF-THE-CONTAINER". This file takes the
 * sink's place, so that the openers are tested without matcher and budget. Memory is given back at the end, so that a
 * leak checker has something to say.
 */
#include "opener.h"

#include <sanitizer/lsan_interface.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct kav_unpack {
    char *name, *bytes;
    size_t len, room;
    int open;
    long members, most;
    uint32_t reasons;
};

int kav_unpack_begin(kav_unpack *u, const char *name, size_t name_len, uint64_t size, uint32_t flags)
{
    (void)size, (void)flags;
    if (u->open) abort();
    if (u->members == u->most) return 1;
    u->open = 1;
    u->members++;
    u->len = 0;
    u->name = strndup(name, name_len);
    return 0;
}

int kav_unpack_data(kav_unpack *u, const void *bytes, size_t len)
{
    if (!u->open) abort();
    if (u->len + len > u->room) {
        u->room = 2 * (u->len + len);
        u->bytes = realloc(u->bytes, u->room);
        if (!u->bytes) abort();
    }
    memcpy(u->bytes + u->len, bytes, len);
    u->len += len;
    return 0;
}

int kav_unpack_end(kav_unpack *u, uint32_t reasons)
{
    if (!u->open) abort();
    u->open = 0;
    printf("%s %zu %u\n", u->name, u->len, reasons);
    if (u->len) fwrite(u->bytes, 1, u->len, stdout);
    free(u->name);
    return 0;
}

void kav_unpack_flag(kav_unpack *u, uint32_t reasons)
{
    u->reasons |= reasons;
}

int kav_unpack_tick(kav_unpack *u)
{
    (void)u;
    return 0;
}

int main(int argc, char **argv)
{
    struct stat st;
    kav_unpack u = {.most = argc > 3 ? atol(argv[3]) : -1};
    int fd = argc > 2 ? open(argv[2], O_RDONLY) : -1;
    if (fd < 0 || fstat(fd, &st) != 0) return 2;
    uint64_t gone = argc > 4 ? strtoull(argv[4], NULL, 10) : 0; /* as if the file had shrunk since it was opened */
    kav_source source = {.fd = fd, .size = (uint64_t)st.st_size + gone};
    kav_type type = {KAV_FMT_MAIL, KAV_T_MAIL};
    __lsan_disable(); /* GMime keeps what it opens when it begins */
    kav_mail_init();
    __lsan_enable();
    int code = strcmp(argv[1], "mbox") == 0 ? kav_open_mbox(&source, type, &u) : kav_open_mail(&source, type, &u);
    if (u.open || lseek(fd, 0, SEEK_CUR) != 0) abort();
    printf("= %u\n", u.reasons);
    free(u.bytes);
    close(fd);
    return code == 0 ? 0 : 1;
}
