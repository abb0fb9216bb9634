/* Session: what one thread needs to scan layers one after the other; nothing in it outlives a layer but memory.
 *
 * State per pattern and per signature is reset by lists of what was touched, so that a layer in which nothing matches
 * costs nothing.
 */
#ifndef KAV_SESSION_H
#define KAV_SESSION_H

#include "exe.h"
#include "icon.h"
#include "image.h"
#include "probing.h"
#include "reader.h"
#include "track.h"

#define KAV_WINDOW      (256u << 10) /* bytes of a layer per call of Vectorscan: it and its window stay in the L2 cache */
#define KAV_FINDS       65536        /* pieces found in one window that wait to be put in order */
#define KAV_HOLE_DIGEST (1ull << 30) /* holes longer than this are not digested */

enum kav_state_flag {
    KAV_ST_TOUCHED = 1, /* its signatures are on the list */
    KAV_ST_OPEN = 2,    /* weak pattern: its gate was seen */
    KAV_ST_WANTED = 4,  /* weak pattern: a signature can become true through it */
    KAV_ST_LOOKED = 8,  /* direct pattern: its count is known */
    KAV_ST_SOUGHT = 16  /* weak pattern: looked for on its own, its count is known */
};

typedef struct {
    uint64_t first; /* where it began first */
    uint64_t last;  /* patterns that are put in order: the pivot of the one counted last */
    uint32_t count; /* saturates at the pattern's cap */
    uint32_t flags;
} kav_pattern_state;

/* A piece that was found and waits for its window to be complete. */
typedef struct {
    uint64_t start;
    uint64_t end; /* of a chain's last piece, which needs no end: its pivot's place */
    uint32_t body, piece;
} kav_find;

typedef struct {
    uint32_t body, index;
} kav_touch;

/* A signature that is true; names are joined when all are known. */
typedef struct {
    const uint8_t *name;
    uint32_t name_len, database, line;
    uint64_t offset;
    bool official;
} kav_true;

struct kav_session {
    const kav_image *image;
    hs_scratch_t *scratch;
    kav_digest *digest;
    kav_reader reader;
    uint32_t window;
    kav_pattern_state *patterns;
    kav_touch *touched_patterns;
    uint32_t touched_pattern_count;
    uint8_t *signatures; /* 1: on the list */
    kav_touch *touched_signatures;
    uint32_t touched_signature_count;
    kav_tracks tracks;
    kav_find *finds;
    uint32_t find_count;
    uint64_t effort; /* spent on patterns that were looked for on their own, in bytes */
    kav_probing probing;
    kav_buffer truths; /* kav_true */
    kav_buffer hits;   /* kav_hit */
    kav_buffer names;

    /* The layer in hand. */
    kav_layer_found *found;
    const kav_layer_options *options;
    uint8_t target;
    uint64_t layer_size;    /* where "EOF-n" counts from */
    const kav_type *around; /* as in the options */
    uint32_t around_count;
    uint32_t kinds;               /* KAV_D_* that are being fed */
    kav_fingerprint *fingerprint; /* that is being fed, or NULL */
    kav_exe exe;                  /* once exe_read */
    bool exe_read;
    kav_icons icons; /* once icons_read */
    bool icons_read;
    uint64_t picture_hash; /* where is_picture, once picture_read */
    bool picture_read, is_picture;
};

/* session.c: with another window size, for tests. */
kav_session *kav_session_new_window(const kav_image *image, uint32_t window);
void kav_session_reset(kav_session *s);

/* scan.c: look at the whole layer, fast or weak. */
uint32_t kav_scan_pass(kav_session *s, bool weak, const kav_layer_options *options);

/* scan.c: look for one weak pattern on its own, in a layer that is in the reader's window as a whole. False: that
 * cannot be done, or the second pass would cost less by now; nothing was counted then. */
bool kav_scan_alone(kav_session *s, uint32_t body, uint32_t pattern, uint32_t *reasons);

/* recall.c: fingerprint the layer and ask whether it is known; true = it is. Begins the fingerprint of the pass else.
 */
bool kav_recall(kav_session *s, const kav_layer_options *options);

/* program.c: the layer as an executable, read when it is first asked for; valid is false where it is none. */
kav_exe *kav_session_exe(kav_session *s);

/* sections.c: look up the digests of a PE's sections and of its import table; after the digests of the layer are
 * finished. Returns KAV_R_* bits. */
uint32_t kav_sections_find(kav_session *s, const kav_layer_options *options);

/* conclude.c: a signature is true, unless its name is to be ignored. */
void kav_conclude_add(kav_session *s, kav_true hit);

/* waiting.c: after the fast pass: is a second one needed because a signature can still become true through weak
 * patterns? Marks those patterns. Those of a small layer are looked for at once, as long as that costs less. */
bool kav_waiting_needs_pass(kav_session *s, uint32_t *reasons);

/* conclude.c: signatures that are true, hashes, what is ignored; fills found. False: out of memory. */
bool kav_conclude(kav_session *s, const kav_layer_options *options);

#endif
