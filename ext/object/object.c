#include "scanner.h"
#include "inflate.h"
#include "notebook.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ARENA_SIZE   (8u << 20) /* members and forms up to this lie in memory, larger ones in the spill file */
#define DIGEST_CHUNK (256u << 10)
#define DIGEST_HOLE  (1ull << 30) /* a file with a longer hole is not digested */
#define NS_PER_S     1000000000ll
#define HELD_SIZE    (256u << 10) /* a file up to this size is read once and held in memory */
#define DELTA_SHARE  8            /* of its time may go into a scan that then turns out not to be enough */

kav_object_scanner *kav_object_scanner_new(const kav_object_options *options)
{
    kav_object_scanner *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->options = *options;
    s->session = options->session;
    s->image = options->image;
    s->limits = options->limits;
    s->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    bool ok = (s->held = malloc(HELD_SIZE)) != NULL && kav_ahead_init(&s->ahead) == 0 &&
              kav_store_init(&s->store, ARENA_SIZE, options->spill_fd, options->spill_max) == 0 &&
              kav_deltas_init(&s->deltas, options->deltas, options->delta_count) == 0 &&
              kav_listing_init(&s->listing) == 0;
    if (ok && options->objects != NULL) ok = (s->fingerprint = kav_fingerprint_new(options->secret)) != NULL;
    if (ok) return s;
    kav_object_scanner_free(s);
    return NULL;
}

void kav_object_scanner_free(kav_object_scanner *scanner)
{
    if (scanner == NULL) return;
    if (scanner->utf8 != (locale_t)0) freelocale(scanner->utf8);
    kav_fingerprint_free(scanner->fingerprint);
    kav_listing_free(&scanner->listing);
    kav_deltas_free(&scanner->deltas);
    kav_member_path_free(&scanner->path);
    kav_inflater_free(scanner->inflater);
    kav_store_free(&scanner->store);
    kav_ahead_free(&scanner->ahead);
    free(scanner->held);
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
    if (found->size != source->size || (s->delta && result->status != KAV_CLEAN)) return; /* it will be scanned again */
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
    kav_layers_scan(s, source, (kav_manner){.type = NULL}, 0, 0, &found, &outcome);
    result->status = outcome.status;
    result->reasons = outcome.reasons | s->budget.spent; /* whoever met the end of it: it is never silent */
    result->format = found.type.format;
    result->target = found.type.target;
    put_digest(s, source, &found, result);
}

/* What stands in the result besides the verdict. */
static void put_gist(kav_object_scanner *s, kav_result *result)
{
    if (result->reasons != 0) kav_listing_gap(&s->listing);
    kav_listing_close(&s->listing);
    if (!s->listing.gap) result->flags |= KAV_F_LAYERS;
    result->flags |= s->gist.flags;
    if (result->reasons & KAV_R_METHOD) result->flags |= KAV_F_ELSEWHERE;
    result->views = s->gist.views;
    result->depth = s->gist.depth;
    result->layers = s->listing.layer_count;
    result->layers_len = s->listing.layers_len;
    result->learned = s->listing.learned_count;
    result->scanned = s->budget.scanned;
    result->members = s->budget.members;
}

static void start(kav_object_scanner *s, const kav_object_sinks *sinks, uint64_t size)
{
    s->sinks = sinks;
    s->path.len = 0;
    s->known = 0;
    memset(&s->gist, 0, sizeof s->gist);
    kav_listing_reset(&s->listing);
    kav_budget_start(&s->budget, &s->limits, size);
    if (s->delta && s->budget.allowed_ns != UINT64_MAX) s->budget.allowed_ns /= DELTA_SHARE;
}

/* The bytes of a small file are read once, so that all who look at them see the same, whoever writes to it meanwhile.
 * Where that fails the file itself is the source, and whoever reads it says what is wrong. */
static kav_source source_of(const kav_object_scanner *s, int fd, uint64_t size)
{
    kav_source file = {.memory = NULL, .fd = fd, .base = 0, .size = size};
    uint64_t limit = s->limits.max_file_size;
    if (size == 0 || size > HELD_SIZE || (limit != 0 && size > limit)) return file;
    if (kav_source_read(&file, 0, s->held, (size_t)size) != (ssize_t)size) return file;
    return (kav_source){.memory = s->held, .fd = -1, .base = 0, .size = size};
}

/* With the image in hand. */
static void scan_once(kav_object_scanner *s, int fd, const kav_object_sinks *sinks, kav_result *result)
{
    struct stat before, after;
    const kav_ahead_file *ahead = kav_ahead_take(s, fd);
    memset(result, 0, sizeof *result);
    if (ahead != NULL) before = ahead->before;
    else if (fstat(fd, &before) != 0 || !S_ISREG(before.st_mode) || before.st_size < 0) {
        result->reasons = KAV_R_UNREADABLE;
        result->status = KAV_ERROR;
        return;
    }
    put_identity(result, &before);
    start(s, sinks, result->size);
    kav_source source = ahead != NULL ? ahead->source : source_of(s, fd, result->size);
    s->given = ahead != NULL ? &ahead->digests : NULL;

    locale_t outside = s->utf8 != (locale_t)0 ? uselocale(s->utf8) : (locale_t)0;
    scan_source(s, &source, result);
    if (outside != (locale_t)0) uselocale(outside);

    if (ahead != NULL) after = ahead->after;
    if ((ahead != NULL || fstat(fd, &after) == 0) && same_identity(&before, &after)) {
        result->flags |= KAV_F_STABLE;
    } else {
        result->reasons |= KAV_R_CHANGED;
        result->flags &= ~(uint32_t)KAV_F_SHA256; /* of bytes that may never have stood there together */
        s->listing.learned_count = 0;
    }
    result->status = kav_graver(result->status, kav_status_of_reasons(result->reasons));
    put_gist(s, result);
}

typedef struct {
    const kav_object_sinks *sinks;
    kav_notebook notebook;
} attempt;

/* Anything but the line of a clean member ends the attempt. */
static int attempt_note(void *context, const kav_note *note, const char *name, const char *member)
{
    attempt *a = context;
    if (note->name_len > 0 || note->status != KAV_CLEAN || note->reasons != 0) return -1;
    return kav_notebook_add(&a->notebook, note, name, member);
}

static void attempt_progress(void *context, uint64_t bytes)
{
    attempt *a = context;
    a->sinks->progress(a->sinks->context, bytes);
}

/* True when what is new since then found nothing in the object, and looked at all of it. */
static bool scan_delta(kav_object_scanner *s, int fd, uint32_t row, const kav_object_sinks *sinks, kav_result *result)
{
    const kav_delta_open *open = kav_deltas_get(&s->deltas, row);
    if (open == NULL) return false;
    attempt a = {.sinks = sinks};
    const kav_object_sinks own = {.note = attempt_note, .progress = attempt_progress, .context = &a};
    s->session = open->session;
    s->image = open->image;
    s->delta = true;
    scan_once(s, fd, &own, result);
    s->session = s->options.session;
    s->image = s->options.image;
    s->delta = false;
    bool enough = result->status == KAV_CLEAN && result->reasons == 0 && !(result->flags & KAV_F_SUPPRESSED);
    if (enough) {
        result->flags |= KAV_F_DELTA;
        if (kav_notebook_replay(&a.notebook, sinks->note, sinks->context) != 0) enough = false; /* nobody listens */
    } else {
        s->earlier = s->budget.scanned + s->budget.unpacked;
    }
    kav_notebook_free(&a.notebook);
    return enough;
}

void kav_object_scan(kav_object_scanner *scanner, int fd, uint32_t delta, const kav_object_sinks *sinks,
                     kav_result *result)
{
    scanner->earlier = 0;
    scanner->known = 0;
    if (delta == 0 || !scan_delta(scanner, fd, delta, sinks, result)) scan_once(scanner, fd, sinks, result);
    kav_store_empty(&scanner->store);
}

void kav_object_rest(kav_object_scanner *scanner)
{
    kav_store_rest(&scanner->store);
}

void kav_object_sleep(kav_object_scanner *scanner)
{
    kav_image_let_go(scanner->options.image);
}

const uint8_t *kav_object_layers(const kav_object_scanner *scanner)
{
    return scanner->listing.layers;
}

const kav_learned *kav_object_learned(const kav_object_scanner *scanner)
{
    return scanner->listing.learned;
}

uint32_t kav_object_known(const kav_object_scanner *scanner)
{
    return scanner->known;
}
