#define _GNU_SOURCE /* file seals */
#include "objects_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PENDING_MAX 16384 /* records that wait for level 2; 1 MiB. What comes beyond is in level 1 alone */
#define PIECE       1024  /* of them are written while the scan goes on: at its end nobody shares the work */
#define KEY_LABEL   0x6b6176206f626a31ull

struct kav_objects {
    kav_objects_options options;
    uint8_t *memory; /* level 1, mapped */
    kav_object_record *pending;
    size_t pending_count;
    uint8_t *filled; /* of a file that was one hole: a bit for each bucket that was written since; else NULL */
    int error;       /* -errno that made level 2 deaf */
};

static bool is_table(uint64_t length)
{
    return length > 0 && length % sizeof(kav_object_bucket) == 0 && length <= SIZE_MAX / 2;
}

/* Mapped memory that its maker could cut away would end us with SIGBUS: it must be sealed. The writer seals it, after
 * its own mapping also against any other writer; a descriptor of it is then good for reading only. */
static int map_memory(kav_objects *o)
{
    const kav_objects_options *p = &o->options;
    struct stat st;
    if (!is_table(p->memory_len) || fstat(p->memory, &st) != 0 || (uint64_t)st.st_size < p->memory_len) return -EINVAL;
    if (p->writable && fcntl(p->memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return -errno;
    int seals = fcntl(p->memory, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) return -EINVAL;
    int protection = p->writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *at = mmap(NULL, p->memory_len, protection, MAP_SHARED, p->memory, 0);
    if (at == MAP_FAILED) return -errno;
    o->memory = at;
    if (p->writable && fcntl(p->memory, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) != 0) return -errno;
    return 0;
}

/* Whoever reads need not ask a file that is one hole; what its writer puts there from now on is in level 1, too. Nor
 * need its writer, where he has not written himself. */
static int look_at_file(kav_objects *o)
{
    kav_objects_options *p = &o->options;
    struct stat st;
    if (!is_table(p->file_len)) return -EINVAL;
    posix_fadvise(p->file, 0, 0, POSIX_FADV_RANDOM); /* keys are spread evenly: what stands beside is of no use */
    bool hole = fstat(p->file, &st) == 0 && st.st_blocks == 0;
    if (hole && !p->writable && o->memory != NULL) p->file = -1;
    if (hole && p->writable && (uint64_t)st.st_size >= p->file_len)
        o->filled = calloc(p->file_len / sizeof(kav_object_bucket) / 8 + 1, 1); /* without it: as any file */
    return 0;
}

kav_objects *kav_objects_new(const kav_objects_options *options)
{
    kav_objects *o = calloc(1, sizeof *o);
    if (o == NULL) return NULL;
    o->options = *options;
    int error = 0;
    if (options->memory >= 0) error = map_memory(o);
    if (error == 0 && options->file >= 0) error = look_at_file(o);
    if (error == 0 && options->file >= 0 && options->writable) {
        o->pending = malloc(PENDING_MAX * sizeof *o->pending); /* untouched pages cost nothing */
        if (o->pending == NULL) error = -ENOMEM;
    }
    if (error == 0) return o;
    kav_objects_free(o);
    errno = -error;
    return NULL;
}

void kav_objects_free(kav_objects *o)
{
    if (o == NULL) return;
    if (o->memory != NULL) munmap(o->memory, o->options.memory_len);
    free(o->pending);
    free(o->filled);
    free(o);
}

/* SipHash is a pseudo-random function: two of its values over inputs that differ in their first word are one of 128
 * bits. */
void kav_objects_key(const kav_objects *o, const uint8_t context[16], const uint8_t fingerprint[16], uint64_t size,
                     uint16_t format, uint8_t target, uint8_t out[16])
{
    struct {
        uint64_t label;
        uint8_t context[16], fingerprint[16];
        uint64_t size, type;
    } text = {.label = KEY_LABEL, .size = size, .type = (uint64_t)format << 8 | target};
    memcpy(text.context, context, sizeof text.context);
    memcpy(text.fingerprint, fingerprint, sizeof text.fingerprint);
    uint64_t half = kav_seal(o->options.secret, &text, sizeof text);
    memcpy(out, &half, sizeof half);
    text.label++;
    half = kav_seal(o->options.secret, &text, sizeof text);
    memcpy(out + sizeof half, &half, sizeof half);
}

/* A bucket of level 1 as it stands just now; the coordinator may be writing it, then a seal does not fit. */
static void copy_bucket(const kav_objects *o, uint64_t index, kav_object_bucket *out)
{
    const uint64_t *from = (const uint64_t *)(o->memory + index * sizeof *out);
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++) to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static bool read_bucket(const kav_objects *o, uint64_t index, kav_object_bucket *out)
{
    ssize_t n;
    do n = pread(o->options.file, out, sizeof *out, (off_t)(index * sizeof *out));
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *out;
}

static bool take(const kav_object_bucket *bucket, const kav_objects *o, const uint8_t key[16], kav_learned *out)
{
    int way = kav_object_way(bucket, o->options.secret, key);
    if (way >= 0) *out = bucket->ways[way].learned;
    return way >= 0;
}

bool kav_objects_find(const kav_objects *o, const uint8_t key[16], bool costly, kav_learned *out)
{
    kav_object_bucket bucket;
    if (o->memory != NULL) {
        copy_bucket(o, kav_object_bucket_of(key, o->options.memory_len), &bucket);
        if (take(&bucket, o, key, out)) return true;
        if (!costly) return false;
    }
    return o->options.file >= 0 && read_bucket(o, kav_object_bucket_of(key, o->options.file_len), &bucket) &&
           take(&bucket, o, key, out);
}

static uint64_t now_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_REALTIME_COARSE, &t) == 0 && t.tv_sec > 0 ? (uint64_t)t.tv_sec : 1;
}

void kav_objects_put(kav_objects *o, const kav_learned *learned)
{
    if (!o->options.writable) return;
    kav_object_record record = kav_object_sealed(learned, now_seconds(), o->options.secret);
    if (o->memory != NULL) {
        uint64_t index = kav_object_bucket_of(learned->key, o->options.memory_len);
        kav_object_bucket *bucket = (kav_object_bucket *)(o->memory + index * sizeof *bucket);
        uint64_t *to = (uint64_t *)&bucket->ways[kav_object_victim(bucket, o->options.secret, learned->key)];
        const uint64_t *from = (const uint64_t *)&record;
        for (size_t i = 0; i < sizeof record / sizeof *to; i++) __atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
    }
    bool costly = learned->depth > 0 || learned->scanned >= KAV_OBJECT_COSTLY || o->memory == NULL;
    if (costly && o->pending != NULL && o->error == 0 && o->pending_count < PENDING_MAX)
        o->pending[o->pending_count++] = record;
}

/* The bucket as it is before a record of ours goes there. What others write at the same time is lost: a miss. */
static bool bucket_to_fill(kav_objects *o, uint64_t index, kav_object_bucket *out)
{
    if (o->filled == NULL) return read_bucket(o, index, out);
    uint8_t bit = (uint8_t)(1u << index % 8), *bits = &o->filled[index / 8];
    if (*bits & bit) return read_bucket(o, index, out);
    *bits |= bit;
    memset(out, 0, sizeof *out);
    return true;
}

static int write_record(const kav_objects *o, const kav_object_record *record, uint64_t offset)
{
    ssize_t n;
    do n = pwrite(o->options.file, record, sizeof *record, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *record ? 0 : n < 0 ? -errno : -EIO;
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x, y; /* what chooses the bucket */
    memcpy(&x, ((const kav_object_record *)a)->learned.key, sizeof x);
    memcpy(&y, ((const kav_object_record *)b)->learned.key, sizeof y);
    return x < y ? -1 : x > y;
}

bool kav_objects_due(const kav_objects *o)
{
    return o->pending_count >= PIECE;
}

/* Beyond the end of a file that somebody has cut there is nothing to be read, and it is not made longer again. */
int kav_objects_flush(kav_objects *o)
{
    size_t count = o->pending_count;
    o->pending_count = 0;
    if (o->pending == NULL || o->error != 0 || count == 0) return o->error;
    qsort(o->pending, count, sizeof *o->pending, compare_keys);
    for (size_t i = 0; i < count && o->error == 0; i++) {
        kav_object_bucket bucket;
        const kav_object_record *record = &o->pending[i];
        uint64_t index = kav_object_bucket_of(record->learned.key, o->options.file_len);
        if (!bucket_to_fill(o, index, &bucket)) continue;
        int way = kav_object_victim(&bucket, o->options.secret, record->learned.key);
        o->error = write_record(o, record, index * sizeof bucket + (uint64_t)way * sizeof *record);
    }
    return o->error;
}
