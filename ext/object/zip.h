/* Zip: the directory of a zip archive read by ourselves, so that nothing a zip tool would show goes unseen.
 *
 *     [stub] local header, data | local header, data | ... | central directory | end record [comment]
 *
 * Windows and unzip believe the central directory, streaming readers believe the local headers, and hostile archives
 * let the two disagree. zipdir.c lists what the central directory names and the stretches that it leaves uncovered;
 * zip.c decodes members: what is deflated with zlib, the rest with one libarchive reader each, which gets a local
 * header made anew out of checked numbers.
 */
#ifndef KAV_ZIP_H
#define KAV_ZIP_H

#include "opener.h"

#include <stdbool.h>

#define KAV_ZIP_LOCAL 30 /* bytes of a local header before its name */
#define KAV_ZIP_END   22 /* bytes of an end record without its comment */

enum { KAV_ZIP_ENCRYPTED = 1u << 0, KAV_ZIP_SIZES_LATER = 1u << 3 }; /* bits of the general purpose flag */

typedef struct {
    uint64_t header;   /* where its local header begins */
    uint64_t packed;   /* bytes of its data */
    uint64_t unpacked; /* as announced */
    uint32_t crc;
    uint16_t method, flags;
    const char *name; /* in the caller's or the directory's buffer */
    size_t name_len;
} kav_zip_entry;

/* The central directory while it is read. */
typedef struct {
    const kav_source *source;
    uint64_t at, end; /* of what is left of it */
    uint64_t shift;   /* bytes before the archive proper, which its own offsets do not count */
    uint64_t start;   /* where it began */
    uint64_t count;   /* entries that the end record announces */
    uint8_t *window;
    uint64_t window_at;
    size_t window_len;
} kav_zip_directory;

/* Find the end record and the directory. False when there is none that holds together. Nothing is left to be freed. */
bool kav_zip_find(kav_zip_directory *d, const kav_source *source);

/* The next entry. 1; 0 at the end; -EBADMSG where the directory breaks off; -ENOMEM, or another -errno of reading. */
int kav_zip_next(kav_zip_directory *d, kav_zip_entry *entry);
void kav_zip_close(kav_zip_directory *d);

/* zipoverlap.c: how many members lie partly or wholly in the bytes of others, as the directory has it; local names and
 * extra fields, which it does not know, are not counted in. For a directory that was just found, and leaves it so. */
uint32_t kav_zip_overlaps(kav_zip_directory *d, kav_unpack *u);

/* Read the local header at entry->header into *local; *data is where the bytes begin. name (room KAV_ZIP_NAME_MAX)
 * takes its name. False when there is no local header. */
#define KAV_ZIP_NAME_MAX 4096
bool kav_zip_local(const kav_source *source, uint64_t header, kav_zip_entry *local, uint64_t *data, char *name);

/* zipsecret.c: decode an encrypted member into the sink with the first password that opens it (of databases; the old
 * cipher and AES). buffer: KAV_DECODE_CHUNK bytes, not needed when the source lies in memory. Returns KAV_R_* bits:
 * KAV_R_ENCRYPTED when none does. */
uint32_t kav_zip_decrypt(const kav_source *source, kav_unpack *u, const kav_zip_entry *e, uint64_t data,
                         uint8_t *buffer);

/* The first "PK\3\4" in source[from .. to), or to. */
uint64_t kav_zip_search(const kav_source *source, uint64_t from, uint64_t to);

#endif
