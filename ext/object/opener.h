/* Opener: takes one container apart and hands its members, one by one, to an unpack sink.
 *
 *     begin(name) data(bytes)* end(reasons)      for each member, in the order of the container
 *
 * The sink keeps the bytes (memory arena, then spill file), scans the member when it ends - recursively, before end()
 * returns - and counts everything against the object's budget. Whenever a sink function returns non-zero the opener
 * stops at once, frees what it holds and returns 0: the budget is used up, the reason is already noted.
 * An opener never fails the object: what it cannot read it reports with kav_unpack_flag and goes on where it can.
 */
#ifndef KAV_OPENER_H
#define KAV_OPENER_H

#include "kav.h"
#include "source.h"
#include "type.h"

#include <stdbool.h>

typedef struct kav_unpack kav_unpack;

/* What an opener can say of a member beyond its name. */
enum kav_member_flag {
    KAV_M_FOLDER = 1u << 0, /* counts as a member, has no bytes */
    KAV_M_MAILPART = 1u << 1,
    /* A piece of a document: stream, macro, embedded file. It has no line of its own while nothing is to be said of it,
     * does not make a container of the file around it, and counts against the limit of members, but not as one. */
    KAV_M_PART = 1u << 2,
    /* The layer itself in another form (normalised text): a part that is matched as kav_unpack_type says and not opened
     * any further; what is found in it is found in the layer. */
    KAV_M_VIEW = 1u << 3
};

/* A member begins. name: bytes as the container has them, "" where it has none (the sink then numbers it).
 * size: as announced, UINT64_MAX = unknown; only a hint. Non-zero: stop. */
int kav_unpack_begin(kav_unpack *u, const char *name, size_t name_len, uint64_t size, uint32_t flags);

/* The member in hand is of this type, whatever its bytes look like. After begin, before end. */
void kav_unpack_type(kav_unpack *u, kav_type type);

/* What the container says of the member in hand, for signatures of containers. */
typedef struct {
    uint64_t packed, unpacked; /* UINT64_MAX: it does not say */
    uint64_t position;         /* as ClamAV counts the members of this kind of container */
    uint32_t crc;
    bool encrypted;
} kav_member_facts;

/* After begin, before end. Members without facts are not compared with signatures of containers. */
void kav_unpack_facts(kav_unpack *u, const kav_member_facts *facts);

/* Members begun in this container; files: without folders. */
uint32_t kav_unpack_count(const kav_unpack *u, bool files);

/* The next password to be tried, as kav_image_password says. */
bool kav_unpack_password(const kav_unpack *u, uint32_t *at, uint32_t container, const char **text, uint32_t *length);

/* Bytes of the member. Non-zero: no more bytes of this member are wanted (call end next, then go on). */
int kav_unpack_data(kav_unpack *u, const void *bytes, size_t len);

/* A stretch of zero bytes, as sparse entries have them: like kav_unpack_data, but costs no space in the spill file. */
int kav_unpack_hole(kav_unpack *u, uint64_t len);

/* The member is over; reasons: KAV_R_* that concern it (ENCRYPTED, DAMAGED, METHOD). Scans it. Non-zero: stop. */
int kav_unpack_end(kav_unpack *u, uint32_t reasons);

/* Something concerns the container itself: KAV_R_ENCRYPTED, DAMAGED, METHOD, UNREADABLE, MEMORY. */
void kav_unpack_flag(kav_unpack *u, uint32_t reasons);

/* There is something in it that another engine may see more of. */
void kav_unpack_elsewhere(kav_unpack *u);

/* What stands in the container is written as nobody writes it who has nothing to hide: noted under this name, unless
 * heuristics are switched off or an exception lifts it. Between members. */
void kav_unpack_suspect(kav_unpack *u, const char *name);

/* Call now and then where no data flows (long decoding, many headers). Non-zero: time is up, stop. */
int kav_unpack_tick(kav_unpack *u);

/* rest.c: what stands behind an archive that ends at from, if that is more than zeros and a few bytes, is a member
 * without a name. */
void kav_rest_pass(const kav_source *source, uint64_t from, kav_unpack *u);

/* Open a container. Returns 0, -ENOMEM, or KAV_OPEN_NOT_MINE when the bytes turn out to be no such container at all
 * (nothing was begun then: the layer counts as a plain one). */
typedef int (*kav_opener)(const kav_source *source, kav_type type, kav_unpack *u);

#define KAV_OPEN_NOT_MINE 1

int kav_open_archive(const kav_source *source, kav_type type, kav_unpack *u); /* archive.c, libarchive */
int kav_open_zip(const kav_source *source, kav_type type, kav_unpack *u);     /* zip.c, libarchive for each member */
int kav_open_gzip(const kav_source *source, kav_type type, kav_unpack *u);    /* gzip.c, zlib */
int kav_open_fat(const kav_source *source, kav_type type, kav_unpack *u);     /* fat.c: Mach-O for several processors */
int kav_open_warc(const kav_source *source, kav_type type, kav_unpack *u);    /* warc.c: each record a member */
int kav_open_uu(const kav_source *source, kav_type type, kav_unpack *u);      /* archive.c */
int kav_open_mail(const kav_source *source, kav_type type, kav_unpack *u);    /* mail.c, GMime: one message */
int kav_open_ole(const kav_source *source, kav_type type, kav_unpack *u);     /* ext/ole: streams of OLE2, macros */
int kav_open_rtf(const kav_source *source, kav_type type, kav_unpack *u);     /* ext/ole: objects embedded in text */
int kav_open_pdf(const kav_source *source, kav_type type, kav_unpack *u);     /* ext/pdf: objects, streams, scripts */
int kav_open_flash(const kav_source *source, kav_type type, kav_unpack *u);   /* ext/flash: a packed film */
int kav_open_onenote(const kav_source *source, kav_type type, kav_unpack *u); /* onenote.c: files in a section */
int kav_open_tnef(const kav_source *source, kav_type type, kav_unpack *u);    /* tnef.c: a winmail.dat */
int kav_open_mbox(const kav_source *source, kav_type type, kav_unpack *u);    /* mbox.c: each message a member */

int kav_open_inline_data(const kav_source *source, kav_type type, kav_unpack *u); /* inlinedata.c: of a page */

/* Make GMime ready; once per process, before the first mail and before any thread. */
void kav_mail_init(void);

#endif
