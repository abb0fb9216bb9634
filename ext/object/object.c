#include "scanner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ARENA_SIZE   (32u << 20)
#define DIGEST_CHUNK (256u << 10)
#define DIGEST_HOLE  (1ull << 30) /* a file with a longer hole is not digested */
#define NS_PER_S     1000000000ll

kav_object_scanner *kav_object_scanner_new(kav_session *session, const kav_image *image, const kav_limits *limits,
                                           int spill_fd, uint64_t spill_max)
{
    kav_object_scanner *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    if (kav_store_init(&s->store, ARENA_SIZE, spill_fd, spill_max) != 0) {
        free(s);
        return NULL;
    }
    s->session = session;
    s->image = image;
    s->limits = *limits;
    s->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    return s;
}

void kav_object_scanner_free(kav_object_scanner *scanner)
{
    if (scanner == NULL) return;
    if (scanner->utf8 != (locale_t)0) freelocale(scanner->utf8);
    kav_member_path_free(&scanner->path);
    kav_store_free(&scanner->store);
    free(scanner);
}

static int64_t nanoseconds(struct timespec t)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)t.tv_sec, NS_PER_S, &ns)) return INT64_MIN;
    return ns + t.tv_nsec;
}

static bool same_identity(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void put_identity(kav_result *result, const struct stat *st)
{
    result->dev = (uint64_t)major(st->st_dev) << 32 | minor(st->st_dev);
    result->ino = st->st_ino;
    result->size = (uint64_t)st->st_size;
    result->mtime_ns = nanoseconds(st->st_mtim);
    result->ctime_ns = nanoseconds(st->st_ctim);
}

/* A report names the SHA-256 of what was found infected. Where no signature asked for it, it takes a second read: rare,
 * and under the object's own time budget. A terabyte that is a hole has none. */
static bool read_sha256(kav_object_scanner *s, const kav_source *source, uint8_t out[32])
{
    kav_digests digests = {.have = 0};
    kav_digest *d = kav_digest_new();
    uint8_t *chunk = malloc(DIGEST_CHUNK);
    bool ok = d != NULL && chunk != NULL && kav_digest_start(d, KAV_D_SHA256) == 0;
    uint64_t at = 0;
    while (ok && at < source->size) {
        if (kav_source_next_data(source, at) - at > DIGEST_HOLE) break;
        ssize_t n = kav_source_read(source, at, chunk, DIGEST_CHUNK);
        ok = n > 0 && kav_digest_feed(d, chunk, (size_t)n) == 0 && kav_layers_tick(s, 0) == 0;
        at += n > 0 ? (uint64_t)n : 0;
    }
    ok = ok && at >= source->size && kav_digest_finish(d, &digests) == 0 && (digests.have & KAV_D_SHA256);
    if (ok) memcpy(out, digests.sha256, sizeof digests.sha256);
    free(chunk);
    kav_digest_free(d);
    return ok;
}

static void put_digest(kav_object_scanner *s, const kav_source *source, const kav_layer_found *found,
                       kav_result *result)
{
    if (found->size != source->size) return;
    if (found->digests.have & KAV_D_SHA256) {
        memcpy(result->sha256, found->digests.sha256, sizeof result->sha256);
        result->flags |= KAV_F_SHA256;
    } else if (kav_status_rank(result->status) > kav_status_rank(KAV_ERROR) && read_sha256(s, source, result->sha256)) {
        result->flags |= KAV_F_SHA256;
    }
}

static void scan_source(kav_object_scanner *s, const kav_source *source, kav_result *result)
{
    kav_layer_found found;
    kav_outcome outcome;
    kav_layers_scan(s, source, 0, 0, &found, &outcome);
    result->status = outcome.status;
    result->reasons = outcome.reasons | s->budget.spent; /* whoever met the end of it: it is never silent */
    result->format = found.type.format;
    result->target = found.type.target;
    put_digest(s, source, &found, result);
}

void kav_object_scan(kav_object_scanner *scanner, int fd, const kav_object_sinks *sinks, kav_result *result)
{
    struct stat before, after;
    memset(result, 0, sizeof *result);
    if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode) || before.st_size < 0) {
        result->reasons = KAV_R_UNREADABLE;
        result->status = KAV_ERROR;
        return;
    }
    put_identity(result, &before);
    kav_source source = {.memory = NULL, .fd = fd, .base = 0, .size = result->size};
    scanner->sinks = sinks;
    scanner->flags = 0;
    scanner->path.len = 0;
    kav_budget_start(&scanner->budget, &scanner->limits, result->size);

    locale_t outside = scanner->utf8 != (locale_t)0 ? uselocale(scanner->utf8) : (locale_t)0;
    scan_source(scanner, &source, result);
    if (outside != (locale_t)0) uselocale(outside);

    if (fstat(fd, &after) == 0 && same_identity(&before, &after)) {
        result->flags |= KAV_F_STABLE;
    } else {
        result->reasons |= KAV_R_CHANGED;
        result->flags &= ~(uint32_t)KAV_F_SHA256; /* of bytes that may never have stood there together */
    }
    result->status = kav_graver(result->status, kav_status_of_reasons(result->reasons));
    result->flags |= scanner->flags;
    result->scanned = scanner->budget.scanned;
    result->members = scanner->budget.members;
}
