/* Archive: every container that libarchive reads, zip, gzip and WARC excepted (zip.h, inflate.h and warc.c say why).
 * Exactly the reader that the detected format calls for is switched on. Formats that only compress one stream give one
 * member, which is then looked at like any other: a .tar.xz is an xz with a tar in it. */
#include "decode.h"
#include "extents.h"
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

/* The trees of an ISO image, as options of libarchive, which reads one at a time: first the one it likes best, then
 * what Linux shows, what Windows shows, and what is there without any extension. Each may hold a file that the others
 * hide. */
static const char *const TREES[] = {NULL, "iso9660:!joliet", "iso9660:!rockridge",
                                    "iso9660:!rockridge,iso9660:!joliet"};

/* One reading of the file from its beginning. */
typedef struct {
    const reader *reader;
    struct archive *a;
    kav_feed *feed;
    kav_extents *extents; /* of an image's files; bounded by the members that the budget allows. NULL: no image */
    bool again;           /* another tree: only what the earlier ones did not have */
} pass;

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

/* Where an image has the bytes of the entry in hand: libarchive stands there once it has read the header. */
static uint64_t place_of(const pass *p)
{
    return (uint64_t)archive_filter_bytes(p->a, 0);
}

/* The entry at place has been handed over: remember it if place and size say which bytes these were. They do not when
 * libarchive jumped (it never goes back within a file: more is behind it than the size) or unpacked them (zisofs), nor
 * for a folder, whose bytes it leaves alone. */
static void remember(const pass *p, uint64_t place, uint64_t size)
{
    static const uint8_t zisofs[8] = {0x37, 0xe4, 0x53, 0x96, 0xc9, 0xdb, 0xd6, 0x07};
    uint8_t head[sizeof zisofs];
    if (size == 0 || size == UINT64_MAX || place_of(p) - place > size) return;
    if (kav_source_read(p->feed->source, place, head, sizeof head) == sizeof head &&
        memcmp(head, zisofs, sizeof head) == 0)
        return;
    if (!kav_extents_add(p->extents, place, size)) kav_unpack_flag(p->feed->unpack, KAV_R_MEMORY);
}

/* Whether this entry of another tree has nothing new: no bytes, or bytes that were handed over. */
static bool is_known(const pass *p, struct archive_entry *entry, int code)
{
    if (code == ARCHIVE_WARN && !kav_decode_is_naming(p->a))
        kav_unpack_flag(p->feed->unpack, kav_decode_reasons(p->a, p->feed));
    if (archive_entry_filetype(entry) == AE_IFDIR || archive_entry_size(entry) <= 0) return true;
    return kav_extents_has(p->extents, place_of(p), (uint64_t)archive_entry_size(entry));
}

/* What ClamAV compares with signatures of containers, where it does: which sizes it takes, and how it counts. */
static void tell_facts(const pass *p, uint64_t size, bool encrypted)
{
    kav_unpack *u = p->feed->unpack;
    kav_member_facts facts = {.packed = size, .unpacked = size, .encrypted = encrypted};
    switch (p->reader->format) {
    case KAV_FMT_TAR: facts.position = kav_unpack_count(u, true); break;
    case KAV_FMT_7Z:
        facts.packed = 0;
        facts.position = kav_unpack_count(u, false) - 1;
        break;
    case KAV_FMT_CAB:
        facts.packed = 0;
        facts.position = kav_unpack_count(u, false) - 1;
        facts.encrypted = false;
        break;
    case KAV_FMT_RAR:
        facts.packed = UINT64_MAX; /* libarchive keeps it to itself */
        facts.position = kav_unpack_count(u, false);
        break;
    case KAV_FMT_CPIO:
    case KAV_FMT_ISO: break;
    default: return;
    }
    kav_unpack_facts(u, &facts);
}

/* One entry whose header was read with this code. False: stop. */
static bool pass_entry(const pass *p, struct archive_entry *entry, int code)
{
    struct archive *a = p->a;
    kav_feed *feed = p->feed;
    const reader *r = p->reader;
    uint32_t reasons = 0;
    bool ended = false;
    uint64_t place = p->extents != NULL ? place_of(p) : 0;
    if (p->again && is_known(p, entry, code)) return kav_unpack_tick(feed->unpack) == 0;
    uint64_t size = archive_entry_size_is_set(entry) ? (uint64_t)archive_entry_size(entry) : UINT64_MAX;
    const char *name = name_of(a, entry, r->traits & STREAM);

    if (code == ARCHIVE_WARN && !kav_decode_is_naming(a)) reasons |= kav_decode_reasons(a, feed);
    if (kav_unpack_begin(feed->unpack, name, strlen(name), size, is_bare(entry) ? KAV_M_FOLDER : 0) != 0) return false;
    bool encrypted = archive_entry_is_data_encrypted(entry) || archive_entry_is_metadata_encrypted(entry);
    if (!is_bare(entry) || r->format != KAV_FMT_TAR) tell_facts(p, size, encrypted);
    /* Bytes are asked for whatever kind the entry claims to be: a "folder" that holds some is scanned. */
    uint32_t trouble = kav_decode_entry(a, entry, feed, &ended);
    /* What comes out of an encrypted entry is noise even where libarchive hands it on without a word. */
    if (encrypted && (trouble != 0 || size != 0))
        trouble = (trouble & ~(uint32_t)(KAV_R_DAMAGED | KAV_R_METHOD)) | KAV_R_ENCRYPTED;
    if (p->extents != NULL && archive_entry_filetype(entry) != AE_IFDIR) remember(p, place, size);
    if (kav_unpack_end(feed->unpack, reasons | trouble) != 0 || ended) return false;
    if ((r->traits & SOLID) && trouble == 0) pass_over(a, feed);
    return true;
}

/* libarchive gave up before the first entry, or between two. taken: but it is sure what it had before it. Returns what
 * the opener returns. */
static int pass_failure(const pass *p, bool any, bool taken)
{
    uint32_t reasons = kav_decode_reasons(p->a, p->feed);
    if (reasons == KAV_R_DAMAGED && !any && !taken && (p->reader->traits & WEAK)) return KAV_OPEN_NOT_MINE;
    /* Asked only after an entry: where libarchive 3.6 has chosen no format, the question itself crashes. */
    if (reasons == KAV_R_DAMAGED && any && archive_read_has_encrypted_entries(p->a) > 0) reasons = KAV_R_ENCRYPTED;
    kav_unpack_flag(p->feed->unpack, reasons);
    return 0;
}

/* The archive is at its end; the file need not be. */
static void pass_rest(const pass *p)
{
    const reader *r = p->reader;
    kav_feed *feed = p->feed;
    la_int64_t end = archive_filter_bytes(p->a, -1);
    if (p->again) return; /* seen to the first time */
    if (r->format == KAV_FMT_LZ4 && end >= LZ4_MAGIC && (uint64_t)end < feed->source->size)
        end -= LZ4_MAGIC; /* which libarchive takes in to see whether another frame follows */
    if (!(r->traits & SEEKS)) {
        if (end >= 0) kav_rest_pass(feed->source, (uint64_t)end, feed->unpack);
    } else if (kav_sfx_at_end(feed->source)) {
        kav_open_zip(feed->source, (kav_type){KAV_FMT_ZIP, KAV_T_ANY}, feed->unpack);
    }
}

static int pass_entries(const pass *p)
{
    struct archive *a = p->a;
    uint16_t traits = p->reader->traits;
    struct archive_entry *entry;
    unsigned failures = 0;
    bool any = false;
    for (;;) {
        int code = archive_read_next_header(a, &entry);
        /* Without its filter the raw reader would hand back the very bytes it was given. */
        if ((traits & STREAM) && !any && archive_filter_count(a) < 2) return pass_failure(p, false, false);
        if (code == ARCHIVE_EOF) {
            pass_rest(p);
            return 0;
        }
        if (code == ARCHIVE_OK || code == ARCHIVE_WARN) {
            any = true;
            failures = 0;
            if (!pass_entry(p, entry, code)) return 0;
            continue;
        }
        int rc = pass_failure(p, any, traits & FIRM);
        if (rc != 0 || code == ARCHIVE_FATAL || ++failures > FAILURES_MAX) return rc;
        if (kav_unpack_tick(p->feed->unpack) != 0) return 0;
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

static int open_with(const pass *p, const char *options)
{
    uint32_t reasons = enable(p->a, p->reader);
    if (reasons == 0 && options != NULL && archive_read_set_options(p->a, options) != ARCHIVE_OK)
        reasons = KAV_R_METHOD;
    if (reasons != 0) {
        kav_unpack_flag(p->feed->unpack, reasons);
        return 0;
    }
    int code = kav_decode_open(p->a, p->feed, true);
    /* A filter is tried on its first bytes here, once it has taken them for its own. */
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return pass_failure(p, false, p->reader->traits & FIRM);
    return pass_entries(p);
}

/* Read the file as often as it has trees. */
static int open_trees(const reader *r, kav_feed feed)
{
    bool image = r->format == KAV_FMT_ISO;
    size_t count = image ? sizeof TREES / sizeof TREES[0] : 1; /* the first is no option at all */
    kav_extents extents = {NULL};
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        kav_feed fresh = feed;
        pass p = {.reader = r, .feed = &fresh, .extents = image ? &extents : NULL, .again = i > 0};
        p.a = archive_read_new();
        rc = p.a == NULL ? -ENOMEM : open_with(&p, TREES[i]);
        if (p.a != NULL) archive_read_free(p.a);
    }
    kav_extents_clear(&extents);
    return rc;
}

int kav_open_archive(const kav_source *source, kav_type type, kav_unpack *u)
{
    const reader *r = reader_of(type.format);
    if (r == NULL) return KAV_OPEN_NOT_MINE;
    kav_feed feed = {.source = source, .offset = 0, .length = source->size, .unpack = u};
    if (source->memory == NULL && (feed.buffer = malloc(KAV_DECODE_CHUNK)) == NULL) return -ENOMEM;
    if (r->format == KAV_FMT_ISO && has_udf(source)) kav_unpack_flag(u, KAV_R_METHOD);
    int rc = open_trees(r, feed);
    free(feed.buffer);
    return rc;
}

/* libarchive gives out nothing of a file that breaks off in its first blocks; what there is of it counts. */
int kav_open_uu(const kav_source *source, kav_type type, kav_unpack *u)
{
    int rc = kav_open_archive(source, type, u);
    return rc == KAV_OPEN_NOT_MINE ? kav_inline_file(source, u) : rc;
}
