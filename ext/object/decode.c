#include "decode.h"

#include <errno.h>
#include <string.h>

#define WARNINGS_MAX 16 /* in one entry, before it counts as unreadable */

/* libarchive has no codes for why; its texts are the only source, and these words of theirs have been the same
 * since 3.3. What no word explains is damage. */
static const struct {
    const char *word;
    uint32_t reason;
} WORDS[] = {
    {"ncrypt", KAV_R_ENCRYPTED},       {"assphrase", KAV_R_ENCRYPTED},
    {"assword", KAV_R_ENCRYPTED},      {"too many filters", KAV_R_DEPTH},
    {"too much memory", KAV_R_MEMORY}, {"out of memory", KAV_R_MEMORY},
    {"Out of memory", KAV_R_MEMORY},   {"memory limit", KAV_R_MEMORY},
    {"an't allocate", KAV_R_MEMORY},   {"nsupported", KAV_R_METHOD},
    {"not supported", KAV_R_METHOD},   {"not yet supported", KAV_R_METHOD},
    {"nexpected codec", KAV_R_METHOD}, {"nrecognized compression", KAV_R_METHOD},
    {"nknown codec", KAV_R_METHOD},    {"nknown compression", KAV_R_METHOD},
};

/* Warnings about names that begin like this say nothing about the bytes. The beginning is compared and nothing else,
 * because what follows may quote the archive. */
static const char *const NAMING[] = {
    "Pathname can't be converted",  "Pathname cannot be converted", "Linkname can't be converted",
    "Linkname cannot be converted", "Symlink cannot be converted",  "Gname cannot be converted",
    "Uname cannot be converted",    "Gname can't be converted",     "Uname can't be converted",
    "link cannot be converted",     "Pathname in pax header can't", "Linkpath in pax header can't",
};

bool kav_decode_is_naming(struct archive *a)
{
    const char *text = archive_error_string(a);
    if (text == NULL) return false;
    for (size_t i = 0; i < sizeof NAMING / sizeof NAMING[0]; i++)
        if (strncmp(text, NAMING[i], strlen(NAMING[i])) == 0) return true;
    return false;
}

uint32_t kav_decode_reasons(struct archive *a, const kav_feed *feed)
{
    if (feed->late) return KAV_R_TIME;
    if (feed->error != 0) return KAV_R_UNREADABLE;
    if (archive_errno(a) == ENOMEM) return KAV_R_MEMORY;
    const char *text = archive_error_string(a);
    for (size_t i = 0; text != NULL && i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (strstr(text, WORDS[i].word) != NULL) return WORDS[i].reason;
    return KAV_R_DAMAGED;
}

static uint64_t total(const kav_feed *f)
{
    return f->head_len + f->length;
}

static la_ssize_t feed_read(struct archive *a, void *context, const void **out)
{
    kav_feed *f = context;
    if (kav_unpack_tick(f->unpack) != 0) {
        f->late = true;
        archive_set_error(a, ECANCELED, "time is up");
        return ARCHIVE_FATAL;
    }
    if (f->at >= total(f)) return 0;
    if (f->at < f->head_len) {
        size_t left = f->head_len - (size_t)f->at;
        *out = f->head + f->at;
        f->at += left;
        return (la_ssize_t)left;
    }
    uint64_t in = f->at - f->head_len, left = f->length - in;
    size_t want = left < KAV_DECODE_CHUNK ? (size_t)left : KAV_DECODE_CHUNK;
    ssize_t n;
    if (f->source->memory != NULL) {
        *out = f->source->memory + f->offset + in;
        n = (ssize_t)want;
    } else {
        n = kav_source_read(f->source, f->offset + in, f->buffer, want);
        *out = f->buffer;
    }
    if (n < 0) {
        f->error = (int)-n;
        archive_set_error(a, f->error, "read failed");
        return ARCHIVE_FATAL;
    }
    f->at += (uint64_t)n;
    return n;
}

static la_int64_t feed_skip(struct archive *a, void *context, la_int64_t request)
{
    kav_feed *f = context;
    (void)a;
    uint64_t left = f->at < total(f) ? total(f) - f->at : 0;
    if (request <= 0) return 0;
    if ((uint64_t)request > left) request = (la_int64_t)left;
    f->at += (uint64_t)request;
    return request;
}

static la_int64_t feed_seek(struct archive *a, void *context, la_int64_t offset, int whence)
{
    kav_feed *f = context;
    int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (int64_t)f->at : (int64_t)total(f), to;
    (void)a;
    if (__builtin_add_overflow(base, offset, &to) || to < 0) return ARCHIVE_FATAL;
    f->at = (uint64_t)to > total(f) ? total(f) : (uint64_t)to;
    return (la_int64_t)f->at;
}

int kav_decode_open(struct archive *a, kav_feed *feed, bool seekable)
{
    /* The stretch never reaches past the source: no callback has to look again. */
    uint64_t size = feed->source->size;
    if (feed->offset > size) feed->offset = size;
    if (feed->length > size - feed->offset) feed->length = size - feed->offset;

    archive_read_set_read_callback(a, feed_read);
    archive_read_set_skip_callback(a, feed_skip);
    if (seekable) archive_read_set_seek_callback(a, feed_seek);
    archive_read_set_callback_data(a, feed);
    return archive_read_open1(a);
}

uint32_t kav_decode_entry(struct archive *a, struct archive_entry *entry, kav_feed *feed, bool *ended)
{
    const void *bytes;
    size_t len;
    la_int64_t offset;
    uint64_t position = 0;
    uint32_t reasons = 0;
    unsigned warnings = 0;

    *ended = false;
    for (;;) {
        bytes = NULL;
        len = 0;
        offset = 0;
        int r = archive_read_data_block(a, &bytes, &len, &offset);
        if (r != ARCHIVE_OK && r != ARCHIVE_EOF) reasons |= kav_decode_reasons(a, feed);
        if (r == ARCHIVE_FATAL) *ended = true;
        if (r == ARCHIVE_FATAL || r == ARCHIVE_FAILED) return reasons;
        if ((r == ARCHIVE_WARN || r == ARCHIVE_RETRY) && ++warnings > WARNINGS_MAX) return reasons;

        if (r == ARCHIVE_EOF) break;
        /* Holes of sparse entries show as jumps of the offset. */
        if (offset > 0 && (uint64_t)offset > position) {
            if (kav_unpack_hole(feed->unpack, (uint64_t)offset - position) != 0) return reasons;
            position = (uint64_t)offset;
        }
        if (len > 0) {
            if (kav_unpack_data(feed->unpack, bytes, len) != 0) return reasons;
            position += len;
        }
    }
    /* A hole at the end shows as nothing but missing bytes (the offset that comes with EOF is not to be relied on). */
    if (entry != NULL && archive_entry_sparse_count(entry) > 0 && archive_entry_size(entry) > (la_int64_t)position)
        kav_unpack_hole(feed->unpack, (uint64_t)archive_entry_size(entry) - position);
    return reasons;
}
