/* Ahead: the next small files of a batch, read before their turn, so that their MD5 digests can be made side by side.
 *
 * A file that is read so has its identity taken before and after, as one that is read in its turn: nothing of it is
 * read later, so that what happens to it between here and there is nothing to its verdict.
 */
#include "md5many.h"
#include "scanner.h"

#include <errno.h>
#include <stdlib.h>

#define AHEAD_SIZE (512u << 10) /* bytes of all of them: they stay in the L2 cache until it is their turn */
#define LONGEST                                                                                                        \
    (32u << 10) /* of a file that is read ahead: the digest of a longer one would keep the others waiting              \
                 */

int kav_ahead_init(kav_ahead *a)
{
    a->bytes = malloc(AHEAD_SIZE); /* untouched pages cost nothing */
    return a->bytes != NULL ? 0 : -ENOMEM;
}

void kav_ahead_free(kav_ahead *a)
{
    free(a->bytes);
}

void kav_object_ahead_start(kav_object_scanner *s)
{
    s->ahead.count = s->ahead.next = s->ahead.used = 0;
}

static bool is_small(const kav_object_scanner *s, const struct stat *st)
{
    uint64_t limit = s->limits.max_file_size;
    return S_ISREG(st->st_mode) && st->st_size > 0 && st->st_size <= (off_t)LONGEST &&
           (limit == 0 || (uint64_t)st->st_size <= limit);
}

bool kav_object_ahead(kav_object_scanner *s, int fd)
{
    kav_ahead *a = &s->ahead;
    if (a->count == KAV_BATCH_FILES) return false;
    kav_ahead_file *file = &a->files[a->count];
    if (fstat(fd, &file->before) != 0 || !is_small(s, &file->before)) return true;
    size_t size = (size_t)file->before.st_size;
    if (size > AHEAD_SIZE - a->used) return false;
    kav_source source = {.memory = NULL, .fd = fd, .base = 0, .size = size};
    uint8_t *bytes = a->bytes + a->used;
    if (kav_source_read(&source, 0, bytes, size) != (ssize_t)size || fstat(fd, &file->after) != 0) return true;
    file->fd = fd;
    file->source = (kav_source){.memory = bytes, .fd = -1, .base = 0, .size = size};
    file->digests.have = 0;
    a->used += size;
    a->count++;
    return true;
}

void kav_object_ahead_end(kav_object_scanner *s)
{
    kav_ahead *a = &s->ahead;
    kav_md5_job jobs[KAV_BATCH_FILES];
    size_t count = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        kav_ahead_file *file = &a->files[i];
        if (!(kav_layer_kinds(s->session, file->source.size) & KAV_D_MD5)) continue;
        jobs[count++] =
            (kav_md5_job){.bytes = file->source.memory, .length = file->source.size, .out = file->digests.md5};
        file->digests.have = KAV_D_MD5;
    }
    if (count >= KAV_MD5_LEAST) {
        kav_md5_many(jobs, count);
        return;
    }
    for (uint32_t i = 0; i < a->count; i++) a->files[i].digests.have = 0;
}

const kav_ahead_file *kav_ahead_take(kav_object_scanner *s, int fd)
{
    kav_ahead *a = &s->ahead;
    if (a->next == a->count || a->files[a->next].fd != fd) return NULL;
    return &a->files[a->next++];
}
