/* Image: the parts of an image, mapped, checked and tied together. See layer.h for what others may know of it. */
#ifndef KAV_IMAGE_H
#define KAV_IMAGE_H

#include "body.h"
#include "group.h"
#include "hashset.h"
#include "layer.h"

#include <regex.h>
#include <sys/types.h>

typedef struct {
    void *address;
    size_t length;
} kav_mapping;

/* A BODY part, where its lines stand now, and where its rows begin in the session's arrays, which hold those of all
 * bodies. */
typedef struct {
    kav_body body;
    kav_moved moved;
    uint32_t database;
    uint32_t patterns, signatures, tracks, probes;
    bool official, grouped;
} kav_image_body;

typedef struct {
    kav_hashset set;
    const uint8_t *part;
    uint32_t database;
    bool official;
} kav_image_set;

typedef struct {
    kav_group group;
    uint32_t *bodies; /* by member */
} kav_image_group;

typedef struct {
    uint32_t body, signature;
} kav_signature_ref;

typedef struct {
    const kav_ignored *names; /* sorted */
    const uint8_t *text;
    uint32_t count;
} kav_image_ignore;

/* A part of rules that are gone through one by one (listed.h). */
typedef struct {
    const void *rows; /* kav_metadata, kav_password, kav_magic ... */
    const uint8_t *text;
    regex_t *patterns; /* METADATA: of the first `opened` rows */
    uint32_t text_len, count, opened, kind;
    bool official;
} kav_image_listed;

struct kav_image {
    kav_mapping *mappings;
    kav_image_body *bodies;
    kav_image_set *hashes, *exceptions, *sections, *imports;
    kav_image_ignore *ignores;
    kav_image_listed *listed;
    kav_image_group *groups;
    uint32_t mapping_count, body_count, hash_count, exception_count, ignore_count, group_count, database_count;
    uint32_t listed_count;
    uint32_t section_count, import_count;                              /* sets of them */
    const uint8_t **databases;                                         /* the part, by database index */
    uint32_t pattern_count, signature_count, track_count, probe_count; /* of all bodies */
    uint32_t back, ahead;                                              /* margins that every body is content with */
    uint64_t zeros;
    bool asks_around;
    kav_signature_ref *rest[KAV_TARGET_COUNT]; /* to be looked at in every layer of a type, those for any included */
    uint32_t rest_count[KAV_TARGET_COUNT];
};

/* Is this name (without .UNOFFICIAL) taken out by an IGNORE part? */
bool kav_image_ignores(const kav_image *image, const char *name, uint32_t length);

#endif
