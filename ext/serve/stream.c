/* Content in memory or in a file without a name (contract: stream.h). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "stream.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int open_memory(void)
{
    int fd = memfd_create("stream", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (fd < 0 && errno == EINVAL) fd = memfd_create("stream", MFD_CLOEXEC | MFD_ALLOW_SEALING); /* before Linux 6.3 */
    return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len) {
        ssize_t done = write(fd, bytes, len);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done ? -errno : -EIO;
        bytes += done;
        len -= (size_t)done;
    }
    return 0;
}

static int copy_all(int from, int to, uint64_t len)
{
    off_t at = 0;
    while (len) {
        ssize_t done = sendfile(to, from, &at, len);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return done ? -errno : -EIO;
        len -= (uint64_t)done;
    }
    return 0;
}

/* For `more` bytes: the client has at most as much then as is free. */
static bool has_room(uint64_t used, uint64_t total, uint64_t own, uint64_t more)
{
    return used + more <= total && own + more <= total - used - more;
}

/* From memory to the spill folder, with what has come so far, if there is room for `more`, too. */
static int spill(kav_stream *stream, kav_stream_budget *budget, kav_stream_share *share, size_t more)
{
    if (!has_room(budget->spill_used, budget->spill_total, share->spill_used, stream->size + more)) return -ENOSPC;
    int fd = open(budget->spill_dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC | O_NOATIME, 0600);
    if (fd < 0) return -errno;
    int failed = stream->fd >= 0 ? copy_all(stream->fd, fd, stream->size) : 0;
    if (failed) {
        close(fd);
        return failed;
    }
    if (stream->fd >= 0) close(stream->fd);
    budget->memory_used -= stream->size;
    budget->spill_used += stream->size;
    share->memory_used -= stream->size;
    share->spill_used += stream->size;
    budget->spilled++;
    stream->fd = fd;
    stream->spilled = true;
    return 0;
}

int kav_stream_write(kav_stream *stream, kav_stream_budget *budget, kav_stream_share *share, const uint8_t *bytes,
                     size_t len)
{
    if (!stream->spilled && (stream->size + len > budget->memory_each ||
                             !has_room(budget->memory_used, budget->memory_total, share->memory_used, len))) {
        int failed = spill(stream, budget, share, len);
        if (failed) return failed;
    }
    if (stream->fd < 0) {
        int fd = open_memory();
        if (fd < 0) return fd;
        stream->fd = fd;
    }
    if (stream->spilled && !has_room(budget->spill_used, budget->spill_total, share->spill_used, len)) return -ENOSPC;
    int failed = write_all(stream->fd, bytes, len);
    if (failed) return failed;
    stream->size += len;
    *(stream->spilled ? &budget->spill_used : &budget->memory_used) += len;
    *(stream->spilled ? &share->spill_used : &share->memory_used) += len;
    return 0;
}

int kav_stream_seal(kav_stream *stream)
{
    int fd = stream->fd < 0 ? open_memory() : stream->fd;
    if (fd < 0) return fd;
    stream->fd = -1;
    int sealed;
    if (stream->spilled) { /* a file of a disk has no seals, but a descriptor may lack the right to write */
        char name[32];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        sealed = open(name, O_RDONLY | O_CLOEXEC);
        int why = errno;
        close(fd);
        return sealed < 0 ? -why : sealed;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS) == 0) return fd;
    sealed = -errno;
    close(fd);
    return sealed;
}

void kav_stream_settle(kav_stream *stream, kav_stream_budget *budget, kav_stream_share *share)
{
    if (stream->fd >= 0) close(stream->fd);
    *(stream->spilled ? &budget->spill_used : &budget->memory_used) -= stream->size;
    *(stream->spilled ? &share->spill_used : &share->memory_used) -= stream->size;
    *stream = (kav_stream){.fd = -1};
}
