/* Archive: every container that libarchive reads, zip, gzip and WARC excepted (zip.h, inflate.h and warc.c say why).
 * Exactly the reader that the detected format calls for is switched on. Formats that only compress one stream give one
 * member, which is then looked at like any other: a .tar.xz is an xz with a tar in it. */
#include "decode.h"
#include "mail.h"
#include "sfx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LZ4_MAGIC    4
#define SECTOR       2048u /* of an ISO image; its descriptors begin at the 16th */
#define FAILURES_MAX 1000  /* headers in a row that libarchive could not read but wants to go on after */

typedef int (*support)(struct archive *);

enum {
    STREAM = 1, /* a filter over one stream; read through libarchive's raw format */
    SOLID = 2,  /* passing over an entry means unpacking it */
    WEAK = 4,   /* detected from so little that "not this format after all" is no damage ... */
    FIRM = 16,  /* ... but only until libarchive, which looks closer, has taken it for that */
    SEEKS = 8   /* read from anywhere, so that nobody knows where it ends */
};

typedef struct {
    uint16_t format;
    uint16_t traits;
    support first, second;
} reader;

static const reader READERS[] = {
    {KAV_FMT_TAR, 0, archive_read_support_format_tar, NULL},
    {KAV_FMT_CPIO, 0, archive_read_support_format_cpio, NULL},
    {KAV_FMT_AR, 0, archive_read_support_format_ar, NULL},
    {KAV_FMT_7Z, SOLID | SEEKS, archive_read_support_format_7zip, NULL},
    {KAV_FMT_RAR, SOLID, archive_read_support_format_rar, archive_read_support_format_rar5},
    {KAV_FMT_CAB, SOLID, archive_read_support_format_cab, NULL},
    {KAV_FMT_LHA, WEAK, archive_read_support_format_lha, NULL},
    {KAV_FMT_ISO, SEEKS, archive_read_support_format_iso9660, NULL},
    {KAV_FMT_XAR, SEEKS, archive_read_support_format_xar, NULL},
    {KAV_FMT_RPM, STREAM, archive_read_support_filter_rpm, NULL},
    {KAV_FMT_BZIP2, STREAM, archive_read_support_filter_bzip2, NULL},
    {KAV_FMT_XZ, STREAM, archive_read_support_filter_xz, NULL},
    {KAV_FMT_LZMA, STREAM | WEAK | FIRM, archive_read_support_filter_lzma, NULL},
    {KAV_FMT_ZSTD, STREAM, archive_read_support_filter_zstd, NULL},
    {KAV_FMT_LZ4, STREAM, archive_read_support_filter_lz4, NULL},
    {KAV_FMT_COMPRESS, STREAM | WEAK | FIRM, archive_read_support_filter_compress, NULL},
    {KAV_FMT_UU, STREAM | WEAK, archive_read_support_filter_uu, NULL},
    {KAV_FMT_LZIP, STREAM, archive_read_support_filter_lzip, NULL},
    {KAV_FMT_LZOP, STREAM, archive_read_support_filter_lzop, NULL},
};

static const reader *reader_of(uint16_t format)
{
    for (size_t i = 0; i < sizeof READERS / sizeof READERS[0]; i++)
        if (READERS[i].format == format) return &READERS[i];
    return NULL;
}

/* Switch the readers on. ARCHIVE_WARN means "by starting a program", which a worker never does. */
static uint32_t enable(struct archive *a, const reader *r)
{
    int code = r->first(a);
    if (code == ARCHIVE_OK && r->second != NULL) code = r->second(a);
    if (code == ARCHIVE_OK && (r->traits & STREAM)) code = archive_read_support_format_raw(a);
    if (code == ARCHIVE_OK && (r->traits & STREAM))
        code = archive_read_support_format_empty(a); /* what `xz </dev/null` makes */
    return code == ARCHIVE_OK ? 0 : code == ARCHIVE_WARN ? KAV_R_METHOD : KAV_R_MEMORY;
}

/* The name as bytes: what the archive has, else what could be made of its UTF-16. */
static const char *name_of(struct archive *a, struct archive_entry *entry, bool stream)
{
    const char *name = archive_entry_pathname(entry);
    if (name == NULL) name = archive_entry_pathname_utf8(entry);
    if (name == NULL) return "";
    /* libarchive's own word for a stream that carries no name. */
    if (stream && archive_format(a) == ARCHIVE_FORMAT_RAW && strcmp(name, "data") == 0) return "";
    return name;
}

static bool is_bare(struct archive_entry *entry)
{
    __LA_MODE_T type = archive_entry_filetype(entry);
    return archive_entry_hardlink(entry) != NULL || (type != AE_IFREG && type != 0);
}

/* Unpack what nobody wants any more of an entry, because what follows needs it. libarchive would do this by itself, but
 * without ever looking at the clock. */
static void pass_over(struct archive *a, kav_feed *feed)
{
    const void *bytes;
    size_t len;
    la_int64_t offset;
    while (archive_read_data_block(a, &bytes, &len, &offset) == ARCHIVE_OK)
        if (kav_unpack_tick(feed->unpack) != 0) return;
}

/* One entry whose header was read with this code. False: stop. */
static bool pass_entry(struct archive *a, struct archive_entry *entry, kav_feed *feed, int code, const reader *r)
{
    uint32_t reasons = 0;
    bool ended = false;
    uint64_t size = archive_entry_size_is_set(entry) ? (uint64_t)archive_entry_size(entry) : UINT64_MAX;
    const char *name = name_of(a, entry, r->traits & STREAM);

    if (code == ARCHIVE_WARN && !kav_decode_is_naming(a)) reasons |= kav_decode_reasons(a, feed);
    if (kav_unpack_begin(feed->unpack, name, strlen(name), size, is_bare(entry) ? KAV_M_FOLDER : 0) != 0) return false;
    bool encrypted = archive_entry_is_data_encrypted(entry) || archive_entry_is_metadata_encrypted(entry);
    /* Bytes are asked for whatever kind the entry claims to be: a "folder" that holds some is scanned. */
    uint32_t trouble = kav_decode_entry(a, entry, feed, &ended);
    /* What comes out of an encrypted entry is noise even where libarchive hands it on without a word. */
    if (encrypted && (trouble != 0 || size != 0))
        trouble = (trouble & ~(uint32_t)(KAV_R_DAMAGED | KAV_R_METHOD)) | KAV_R_ENCRYPTED;
    if (kav_unpack_end(feed->unpack, reasons | trouble) != 0 || ended) return false;
    if ((r->traits & SOLID) && trouble == 0) pass_over(a, feed);
    return true;
}

/* libarchive gave up before the first entry, or between two. taken: but it is sure what it had before it. Returns what
 * the opener returns. */
static int pass_failure(struct archive *a, kav_feed *feed, const reader *r, bool any, bool taken)
{
    uint32_t reasons = kav_decode_reasons(a, feed);
    if (reasons == KAV_R_DAMAGED && !any && !taken && (r->traits & WEAK)) return KAV_OPEN_NOT_MINE;
    /* Asked only after an entry: where libarchive 3.6 has chosen no format, the question itself crashes. */
    if (reasons == KAV_R_DAMAGED && any && archive_read_has_encrypted_entries(a) > 0) reasons = KAV_R_ENCRYPTED;
    kav_unpack_flag(feed->unpack, reasons);
    return 0;
}

/* The archive is at its end; the file need not be. */
static void pass_rest(struct archive *a, kav_feed *feed, const reader *r)
{
    la_int64_t end = archive_filter_bytes(a, -1);
    if (r->format == KAV_FMT_LZ4 && end >= LZ4_MAGIC && (uint64_t)end < feed->source->size)
        end -= LZ4_MAGIC; /* which libarchive takes in to see whether another frame follows */
    if (!(r->traits & SEEKS)) {
        if (end >= 0) kav_rest_pass(feed->source, (uint64_t)end, feed->unpack);
    } else if (kav_sfx_at_end(feed->source)) {
        kav_open_zip(feed->source, (kav_type){KAV_FMT_ZIP, KAV_T_ANY}, feed->unpack);
    }
}

static int pass_entries(struct archive *a, kav_feed *feed, const reader *r)
{
    struct archive_entry *entry;
    unsigned failures = 0;
    bool any = false;
    for (;;) {
        int code = archive_read_next_header(a, &entry);
        /* Without its filter the raw reader would hand back the very bytes it was given. */
        if ((r->traits & STREAM) && !any && archive_filter_count(a) < 2) return pass_failure(a, feed, r, false, false);
        if (code == ARCHIVE_EOF) {
            pass_rest(a, feed, r);
            return 0;
        }
        if (code == ARCHIVE_OK || code == ARCHIVE_WARN) {
            any = true;
            failures = 0;
            if (!pass_entry(a, entry, feed, code, r)) return 0;
            continue;
        }
        int rc = pass_failure(a, feed, r, any, r->traits & FIRM);
        if (rc != 0 || code == ARCHIVE_FATAL || ++failures > FAILURES_MAX) return rc;
        if (kav_unpack_tick(feed->unpack) != 0) return 0;
    }
}

/* Whether a UDF file system lies in the image as well, whose tree may be quite another: Windows shows that one, and
 * nobody here can read it. */
static bool has_udf(const kav_source *source)
{
    uint8_t descriptor[5];
    for (uint64_t at = 16 * SECTOR; at < 48 * SECTOR; at += SECTOR)
        if (kav_source_read(source, at, descriptor, sizeof descriptor) == sizeof descriptor &&
            memcmp(descriptor + 1, "NSR0", 4) == 0)
            return true;
    return false;
}

static int open_with(const reader *r, struct archive *a, kav_feed *feed)
{
    uint32_t reasons = enable(a, r);
    if (reasons != 0) {
        kav_unpack_flag(feed->unpack, reasons);
        return 0;
    }
    if (r->format == KAV_FMT_ISO && has_udf(feed->source)) kav_unpack_flag(feed->unpack, KAV_R_METHOD);
    int code = kav_decode_open(a, feed, true);
    /* A filter is tried on its first bytes here, once it has taken them for its own. */
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return pass_failure(a, feed, r, false, r->traits & FIRM);
    return pass_entries(a, feed, r);
}

int kav_open_archive(const kav_source *source, kav_type type, kav_unpack *u)
{
    const reader *r = reader_of(type.format);
    if (r == NULL) return KAV_OPEN_NOT_MINE;
    kav_feed feed = {.source = source, .offset = 0, .length = source->size, .unpack = u};
    if (source->memory == NULL && (feed.buffer = malloc(KAV_DECODE_CHUNK)) == NULL) return -ENOMEM;
    struct archive *a = archive_read_new();
    int rc = a == NULL ? -ENOMEM : open_with(r, a, &feed);
    if (a != NULL) archive_read_free(a);
    free(feed.buffer);
    return rc;
}

/* libarchive gives out nothing of a file that breaks off in its first blocks; what there is of it counts. */
int kav_open_uu(const kav_source *source, kav_type type, kav_unpack *u)
{
    int rc = kav_open_archive(source, type, u);
    return rc == KAV_OPEN_NOT_MINE ? kav_inline_file(source, u) : rc;
}
