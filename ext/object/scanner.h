/* Scanner: what object.c, layers.c and unpack.c share. Nothing outside ext/object includes this.
 *
 *     kav_object_scan  (object.c)   one object: identity, budget, verdict
 *      +- kav_layers_scan (layers.c)  one layer: match, threats, exceptions, open as a container
 *          +- kav_known_* (known.c)       the object cache: asked before a layer is matched, told afterwards
 *          +- opener (archive.c, zip.c, mail.c ...)
 *              +- kav_unpack_* (unpack.c)  one member: keep its bytes, then kav_layers_scan at depth + 1
 */
#ifndef KAV_SCANNER_H
#define KAV_SCANNER_H

#include "budget.h"
#include "deltas.h"
#include "listing.h"
#include "memberpath.h"
#include "object.h"
#include "opener.h"
#include "store.h"

#include <locale.h>
#include <sys/stat.h>

#define KAV_DEPTH_CAP 64 /* however high the limit is set: bounds the C stack */

/* What is remembered of every layer from the object down to the one in hand, for exceptions by digest. */
typedef struct {
    uint64_t size;
    kav_digests digests;
} kav_ancestor;

/* What has become of a layer and all that is inside it, for the object cache. One lies on the stack for each depth. */
typedef struct {
    uint32_t flags; /* KAV_F_* */
    uint16_t views, depth;
    uint16_t tried; /* as depth, with those that turned out to be no container */
    uint32_t notes;
} kav_gist;

/* A file that was read ahead. */
typedef struct {
    int fd;
    struct stat before, after; /* the reading of it */
    kav_source source;         /* in memory */
    kav_digests digests;       /* that are known already */
} kav_ahead_file;

typedef struct {
    uint8_t *bytes;
    size_t used;
    kav_ahead_file files[KAV_BATCH_FILES];
    uint32_t count, next;
} kav_ahead;

struct kav_object_scanner {
    kav_object_options options;
    kav_session *session; /* of the image in hand: the whole one, or a delta */
    const kav_image *image;
    bool delta;
    kav_limits limits;
    kav_deltas deltas;
    kav_fingerprint *fingerprint; /* NULL: no object cache */
    kav_store store;
    struct kav_inflater *inflater; /* NULL: nothing was inflated yet */
    uint8_t *held;                 /* a small file */
    kav_ahead ahead;
    kav_member_path path;
    locale_t utf8; /* for names that libarchive converts; 0 when there is no such locale */
    /* of the object in hand */
    kav_budget budget;
    const kav_object_sinks *sinks;
    const kav_digests *given; /* that are known of the object itself, or NULL */
    kav_gist gist;            /* so far, of the layer in hand and what is inside it */
    kav_listing listing;
    uint32_t known;   /* layers answered from the object cache */
    uint64_t earlier; /* bytes that a scan against a delta has handled in vain */
    kav_ancestor ancestors[KAV_DEPTH_CAP + 1];
    kav_type around[KAV_DEPTH_CAP + 1]; /* their types */
};

/* The verdict on a layer and everything inside it. */
typedef struct {
    uint32_t reasons;
    uint8_t status;
    bool container;
} kav_outcome;

/* Signatures that were noted for a layer, so that they are not noted again for its views. */
typedef struct {
    uint64_t size; /* of the layer */
    uint32_t count;
    struct {
        uint32_t database, line;
    } hits[32];
} kav_noted;

/* How a layer is to be looked at, when it is a member. */
typedef struct {
    const kav_type *type; /* what it is, or NULL: found out from its bytes */
    bool view;            /* another form of the layer around it */
    bool span;            /* the end of the layer around it: nothing more is looked for in it */
    kav_noted *again;     /* the very layer around it, as another type: what was noted for that. Or NULL */
} kav_manner;

/* ahead.c: 0, -ENOMEM. */
int kav_ahead_init(kav_ahead *a);
void kav_ahead_free(kav_ahead *a);

/* ahead.c: what was read ahead of the file behind fd, if it is the next; NULL: nothing. */
const kav_ahead_file *kav_ahead_take(kav_object_scanner *s, int fd);

/* Scan a layer; depth 0 is the object itself. known: reasons that the caller already has. found: as the matcher left
 * it, without the hits. */
void kav_layers_scan(kav_object_scanner *s, const kav_source *source, kav_manner manner, uint32_t depth, uint32_t known,
                     kav_layer_found *found, kav_outcome *outcome);

/* forms.c: match the layer in the forms that signatures for texts and pages expect, which are no members, cost no
 * budget but time and are not listed one by one in reports. noted: what was found in the layer itself. Returns whether
 * it is a page with data in its own text. */
bool kav_forms_scan(kav_object_scanner *s, const kav_source *source, const kav_layer_found *found, uint32_t depth,
                    kav_noted *noted, kav_outcome *outcome);

/* Note every hit of a layer that no exception lifts, and that is not among those noted; adds them there. offset: of
 * hits whose place in the layer is not known. */
void kav_layers_note_hits(kav_object_scanner *s, const kav_layer_found *found, bool view, uint32_t depth,
                          kav_noted *noted, kav_outcome *outcome);

/* onenote.c: a section as the web's OneNote stores it, whose files are not found here. */
bool kav_onenote_is_foreign(const kav_source *source);

/* Whether layers of this type are containers, to all appearance. */
bool kav_layers_opens(kav_type type);

/* Where a layer begins and what was found, for known.c. */
typedef struct {
    kav_gist before;
    uint64_t scanned, unpacked;
    uint32_t members, parts, depth;
    bool view;
    kav_object_scanner *scanner;
    const kav_source *source;
    kav_learned hit;
} kav_known_layer;

/* known.c: begin a layer; options get what they need for asking, where it may be asked at all. */
void kav_known_begin(kav_object_scanner *s, const kav_source *source, bool view, uint32_t depth, uint32_t known,
                     kav_known_layer *k, kav_layer_options *options);

/* known.c: the layer's answer came from the cache: charge what it costs. */
void kav_known_use(kav_known_layer *k, const kav_layer_found *found, kav_outcome *outcome);

/* known.c: the layer and all inside it are done: learn, when that is worth remembering, and go on with the one around
 * it. */
void kav_known_end(kav_known_layer *k, const kav_layer_found *found, const kav_outcome *outcome);

/* Tell the sinks how far the object is; 0, or KAV_R_TIME. */
uint32_t kav_layers_tick(kav_object_scanner *s, uint64_t bytes_in_layer);

/* True when a layer, or any around it, is named by an exception. */
bool kav_layers_excepted(const kav_object_scanner *s, uint32_t depth);

uint8_t kav_layers_status(const char *name, size_t len);

/* Hand a note to the sink with the path in hand. */
void kav_layers_note(kav_object_scanner *s, kav_note *note, const char *name, uint32_t name_len);

static inline uint8_t kav_graver(uint8_t a, uint8_t b)
{
    return kav_status_rank(a) >= kav_status_rank(b) ? a : b;
}

struct kav_unpack {
    kav_object_scanner *scanner;
    uint32_t depth;        /* of the members */
    uint32_t count;        /* members and parts begun in this container */
    kav_outcome container; /* what its members and its opener add up to */
    /* the member in hand */
    kav_stored stored;
    size_t mark;      /* of its name */
    uint32_t reasons; /* met while its bytes came in */
    uint32_t flags;   /* enum kav_member_flag */
    kav_type type;
    bool typed, begun, full;
    bool told; /* facts hold */
    kav_member_facts facts;
    uint32_t files; /* as count, without folders */
};

/* said.c: compare the member in hand with signatures of containers and note what holds. The gravest status. */
uint8_t kav_said_scan(kav_unpack *u, uint32_t reasons);

void kav_unpack_init(kav_unpack *u, kav_object_scanner *scanner, uint32_t depth);

/* unpack.c: how many bytes of the member in hand every limit allows and memory has room for, beyond those it has. */
uint64_t kav_unpack_left(const kav_unpack *u);

/* unpack.c: where the scanner keeps its inflater. */
struct kav_inflater **kav_unpack_inflater(kav_unpack *u);

/* embedded.c: scan what begins at the places found in a layer, if it is what it looks like. */
void kav_embedded_scan(kav_object_scanner *s, const kav_source *source, kav_type type, const kav_seek *seek,
                       uint32_t depth, kav_outcome *outcome);

/* A stretch of a layer. */
typedef struct {
    uint64_t offset, size;
    const kav_type *type; /* what it is; nothing more is looked for in it then. NULL: found out */
} kav_span;

/* unpack.c: a part that is a stretch of the layer itself: looked at where it lies. Non-zero: stop. */
int kav_unpack_span(kav_unpack *u, const char *name, const kav_source *source, kav_span span);

/* signed.c: what rules for certificates say of a signed program. */
enum kav_signed {
    KAV_SIGNED_NOT,     /* nothing */
    KAV_SIGNED_TRUSTED, /* whatever it looks like, it is clean, and so is what is in it */
    KAV_SIGNED_BLOCKED  /* noted, and one finding is enough */
};

enum kav_signed kav_signed_judge(kav_object_scanner *s, const kav_source *source, const kav_layer_found *found,
                                 uint32_t depth, kav_outcome *outcome);

/* foreign.c: another engine may see more of this layer. */
bool kav_layer_is_foreign(const kav_source *source, kav_type type);

#endif
