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

typedef struct kav_object_scanner kav_object_scanner;

/* session is borrowed. spill_fd: -1 = none (members over the arena then end with KAV_R_MEMORY). NULL: out of memory. */
kav_object_scanner *kav_object_scanner_new(kav_session *session, const kav_image *image, const kav_limits *limits,
                                           int spill_fd, uint64_t spill_max);
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

/* Scan the object behind fd (a regular file at any offset of its position). Fills result (all but index, notes and the
 * payload fields). A failure is a status in the result, never a return code. */
void kav_object_scan(kav_object_scanner *scanner, int fd, const kav_object_sinks *sinks, kav_result *result);

#endif
