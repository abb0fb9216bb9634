/* Layer: read one layer once and say what it is and which signatures match. The contract between matching and whoever
 * takes objects apart.
 *
 *     kav_image *image;  kav_image_open(parts, n, &image, why, sizeof why);     shared, immutable, mapped read-only
 *     kav_session *s = kav_session_new(image);                                  one per thread, reused for every layer
 *     kav_layer_scan(s, &source, &options, &found);                             any number of times
 *
 * Memory is bounded by the session, not by the layer: matches of parts and counts of logical subsignatures are carried
 * from window to window. kav_layer_scan keeps no state between layers. Nothing here prints, exits or keeps globals.
 */
#ifndef KAV_LAYER_H
#define KAV_LAYER_H

#include "digest.h"
#include "fingerprint.h"
#include "kav.h"
#include "seek.h"
#include "source.h"
#include "type.h"

#include <stdbool.h>

typedef struct kav_image kav_image;
typedef struct kav_session kav_session;

/* One piece of an image: a segment, a matcher group or the list of exceptions; each begins with a header that says so.
 */
typedef struct {
    int fd;          /* may be closed after kav_image_open */
    uint64_t offset; /* multiple of the page size */
    uint64_t length;
} kav_part;

enum kav_image_error {
    KAV_IMAGE_OK = 0,
    KAV_IMAGE_DAMAGED = 1, /* checksum or bounds */
    KAV_IMAGE_FOREIGN = 2, /* another format version, library version or CPU */
    KAV_IMAGE_SYSTEM = 3   /* out of memory, mmap failed */
};

/* Map an image. On failure *out is NULL and why holds one line of text. */
int kav_image_open(const kav_part *parts, size_t count, kav_image **out, char *why, size_t why_len);
void kav_image_close(kav_image *image);

/* Unmap its pages, which checking has mapped all, and of which scans look at few: those come back by themselves. */
void kav_image_let_go(const kav_image *image);

/* True when a layer with these digests and size is named by an exception (.fp, .sfp). needs = the digests that
 * exceptions can ask for at this size, so that the caller can have them computed. */
uint32_t kav_image_exception_kinds(const kav_image *image, uint64_t size);
int kav_image_is_exception(const kav_image *image, uint64_t size, const kav_digests *digests);

/* True when a signature asks what the layers around are: a layer's verdict then depends on them, too. */
bool kav_image_asks_around(const kav_image *image);

/* What a container says of one of its members; numbers that it does not say are UINT64_MAX. */
typedef struct {
    const char *name; /* with its folders; NUL-terminated */
    uint64_t container_size, packed, unpacked, position;
    uint32_t crc;       /* 0: not said */
    uint16_t container; /* enum kav_format */
    bool encrypted;
} kav_member_said;

/* Gets each name as it is printed; false: no more. */
typedef bool (*kav_said_sink)(void *context, const char *name, uint32_t length);

/* Tell which signatures (.cdb, .zmd, .rmd) hold for a member, by database and line. True: a match was lifted by an
 * ignored name. kav_image_asks_members: whether there are any. */
bool kav_image_asks_members(const kav_image *image);
bool kav_image_member(const kav_image *image, const kav_member_said *member, kav_said_sink sink, void *context);

/* The next password for a container (enum kav_password_for of format.h) from *at on, which begins at 0. Not
 * NUL-terminated; lives as long as the image. */
bool kav_image_password(const kav_image *image, uint32_t *at, uint32_t container, const char **text, uint32_t *length);

kav_session *kav_session_new(const kav_image *image); /* NULL: out of memory */
void kav_session_free(kav_session *session);

typedef struct {
    const char *name; /* as ClamAV prints it, .UNOFFICIAL included; not NUL-terminated; lives until the next scan */
    uint32_t name_len;
    uint32_t database; /* index of the segment in the image, in the order of file names */
    uint32_t line;     /* 1-based line in the database file */
    uint64_t offset;   /* where the first subsignature matched; UINT64_MAX for a hash */
} kav_hit;

/* Called after every window with the bytes handled in this layer; anything but 0 ends the scan with those KAV_R_* bits.
 */
typedef uint32_t (*kav_tick)(void *context, uint64_t bytes);

typedef struct kav_layer_found kav_layer_found;

enum kav_known_by { KAV_BY_TYPE, KAV_BY_BEGINNING, KAV_BY_CONTENT };

/* Asked before a layer is matched, when type and size are in *found. KAV_BY_TYPE: true = go on and ask more; false =
 * matching it costs less than a fingerprint and a look-up. KAV_BY_CONTENT: found->fingerprint is that of the
 * whole; true = its verdict is known, leave it at that. KAV_BY_BEGINNING: of a layer that is longer than a window,
 * found->beginning is the fingerprint of what stands in the first one; true = it is worth while to read the rest, only
 * to ask by content. */
typedef bool (*kav_ask)(void *context, enum kav_known_by by, const kav_layer_found *found);

typedef struct {
    uint32_t switches;        /* enum kav_switch; KAV_S_ALL_MATCH matters here */
    uint32_t digests;         /* KAV_D_* wanted besides what the signatures need */
    const kav_digests *given; /* its MD5, where that is known already; or NULL */
    const kav_type *type;     /* what the layer is, or NULL: found out from its bytes */
    bool view;                /* the layer in another form: matched as what type says */
    bool plain;               /* no byte of it is outside of KAV_CS_PLAIN (charset.h) */
    bool again;               /* the same layer, because found.handler said so */
    const kav_type *around;   /* types of the layers around, the outmost first; a view is not around what is in it */
    uint32_t around_count;
    uint64_t limit; /* read no further than this many bytes (then KAV_R_SIZE); 0 = no limit */
    kav_seek *seek; /* not NULL: places are added where something else seems to begin in it */
    kav_tick tick;  /* may be NULL */
    void *tick_context;
    kav_fingerprint *fingerprint; /* not NULL: fingerprints are wanted, and ask is called */
    kav_ask ask;
    void *ask_context;
} kav_layer_options;

struct kav_layer_found {
    kav_type type;
    uint64_t size;    /* bytes read (holes counted as read) */
    uint32_t reasons; /* KAV_R_* bits; 0 = complete */
    int error;        /* errno with KAV_R_UNREADABLE */
    kav_digests digests;
    const kav_hit *hits; /* owned by the session until its next scan; sorted by database and line */
    size_t hit_count;    /* without KAV_S_ALL_MATCH at most 1 */
    int suppressed;      /* a match was lifted by .ign2 */
    uint8_t fingerprint[KAV_FINGERPRINT];
    uint8_t beginning[KAV_FINGERPRINT];
    bool fingerprinted; /* fingerprint holds: of exactly the bytes that were matched, or that are known */
    bool begun;         /* beginning holds: the layer is longer than a window */
    bool handled;       /* a signature that matches says that the layer is to be scanned again, as handler */
    kav_type handler;
    bool elsewhere; /* a signature asks for what is not read here, another engine may know */
    bool known;     /* ask said so: nothing was matched */
};

/* Digests (KAV_D_*) that signatures and exceptions ask for of layers of this size. */
uint32_t kav_layer_kinds(const kav_session *session, uint64_t size);

/* Scan one layer. 0, or -ENOMEM (nothing found is valid then). Exceptions by digest (.fp) are the caller's to ask for,
 * because a container above may be the one that is excepted. */
int kav_layer_scan(kav_session *session, const kav_source *source, const kav_layer_options *options,
                   kav_layer_found *found);

#endif
