/* Object: one top-level object with everything inside it, scanned under one budget.
 *
 *     type -> match -> container? -> each member: the same again at depth + 1
 *
 * Members are unpacked into the scanner's memory arena, larger ones into the spill file (a nameless file whose
 * descriptor was handed in), never under a name of their own. One scanner per process, reused for every object.
 */
#ifndef KAV_OBJECT_H
#define KAV_OBJECT_H

#include "kav.h"
#include "layer.h"
#include "objects.h"

typedef struct kav_object_scanner kav_object_scanner;

/* The parts of one delta image; the descriptors stay open as long as the scanner lives. */
typedef struct {
    const kav_part *parts;
    size_t count; /* 0: there is none, objects are scanned in full */
} kav_object_delta;

typedef struct {
    kav_session *session; /* borrowed, as all that stands here */
    const kav_image *image;
    kav_limits limits;
    int spill_fd; /* -1 = none: members over the arena then end with KAV_R_MEMORY */
    uint64_t spill_max;
    const kav_object_delta *deltas; /* row n - 1 answers for objects given with delta n; opened when first asked for */
    size_t delta_count;
    const kav_objects *objects;  /* the object cache, or NULL */
    const uint8_t *secret;       /* 32 bytes, of the object cache */
    uint8_t objects_context[16]; /* generation, settings and all else that its answers depend on */
} kav_object_options;

/* NULL: out of memory. */
kav_object_scanner *kav_object_scanner_new(const kav_object_options *options);
void kav_object_scanner_free(kav_object_scanner *scanner);

/* Called for every note as it arises; the note's name and member bytes live until the call returns. Return 0, or
 * non-zero to stop the object (out of room). */
typedef int (*kav_note_sink)(void *context, const kav_note *note, const char *name, const char *member);

/* Progress: bytes handled so far in this object, members included. Called at least once per window and per member. */
typedef void (*kav_progress)(void *context, uint64_t bytes);

typedef struct {
    kav_note_sink note;
    kav_progress progress;
    void *context;
} kav_object_sinks;

/* Scan the object behind fd (a regular file at any offset of its position). delta: 0 = in full; else the row that is
 * enough when nothing is found in it, and where anything is, the object is scanned in full at once. Fills result (all
 * but index, notes and the payload fields). A failure is a status in the result, never a return code. */
void kav_object_scan(kav_object_scanner *scanner, int fd, uint32_t delta, const kav_object_sinks *sinks,
                     kav_result *result);

/* Read small files before their turn, all together: start, then each in the order in which they will be scanned until
 * there is no more room (false), then end. What is no small file is left out. kav_object_scan takes what was read of
 * the descriptor that comes next, and else reads itself. */
void kav_object_ahead_start(kav_object_scanner *scanner);
bool kav_object_ahead(kav_object_scanner *scanner, int fd);
void kav_object_ahead_end(kav_object_scanner *scanner);

/* What goes with the result of the last scan, valid until the next: result->layers kav_layer records in
 * result->layers_len bytes, and result->learned records. */
const uint8_t *kav_object_layers(const kav_object_scanner *scanner);
const kav_learned *kav_object_learned(const kav_object_scanner *scanner);

/* Between two objects, when no other is there: memory that the last ones left goes back. */
void kav_object_rest(kav_object_scanner *scanner);

/* The same when none has come for long: pages of the image too. */
void kav_object_sleep(kav_object_scanner *scanner);

/* How many layers of it were answered from the object cache. */
uint32_t kav_object_known(const kav_object_scanner *scanner);

#endif
