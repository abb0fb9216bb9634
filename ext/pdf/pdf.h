/* Pdf: what the files of this folder share. Not for others: opener.h is the door.
 *
 *     bytes.c    the file through a window           objects.c  where "N G obj" stands; objects by number
 *     value.c    values behind keys of dictionaries  names.c    what the names in a dictionary say of an object
 *     filter.c   chains of filters: flate.c lzw.c ascii.c decipher.c
 *     crypt.c    the key of an encrypted document    hash.c     MD5, SHA-2 and the hash of revision 6
 *     stream.c   the decoded stream of an object     script.c   JavaScript in strings
 *     packed.c   objects inside of object streams    pdf.c      the opener
 *
 * Objects are found where they stand, not where a table says: signatures are made for what ClamAV finds so, and tables
 * lie. Every byte of the file is looked at a fixed number of times, and an object once, so that nothing can turn in a
 * circle. Numbers of objects are 32 bits wide, the lowest 8 being those of the generation, as in ClamAV.
 */
#ifndef KAV_PDF_H
#define KAV_PDF_H

#include "opener.h"

#include <stdbool.h>

#define KAV_PDF_NONE    UINT64_MAX
#define KAV_PDF_OBJECTS (1u << 20)  /* most objects of a document */
#define KAV_PDF_LOAD    (16u << 20) /* most bytes of one object that are looked at for names and scripts */
#define KAV_PDF_HELD    (96u << 20) /* most bytes of object streams and of texts in memory at once */

/* ---- bytes.c ---------------------------------------------------------------------------------------------------- */

typedef struct {
    const kav_source *source;
    kav_unpack *unpack;
    uint64_t base, size; /* from "%PDF-" to the end */
    const uint8_t *window;
    uint8_t *buffer; /* NULL: the source lies in memory, and is the window */
    uint64_t window_at;
    size_t window_len;
    bool late; /* time is up; nothing is found any more */
} kav_pdf_bytes;

/* 0, or -ENOMEM. */
int kav_pdf_bytes_open(kav_pdf_bytes *b, const kav_source *source, uint64_t base, kav_unpack *u);
void kav_pdf_bytes_close(kav_pdf_bytes *b);

/* Where word begins that lies wholly in [from, to), or KAV_PDF_NONE. */
uint64_t kav_pdf_find(kav_pdf_bytes *b, uint64_t from, uint64_t to, const char *word);

/* The byte at a place, or -1. */
int kav_pdf_byte(kav_pdf_bytes *b, uint64_t at);

/* Read up to len bytes; how many there were. */
size_t kav_pdf_read(kav_pdf_bytes *b, uint64_t at, void *out, size_t len);

/* ---- objects.c -------------------------------------------------------------------------------------------------- */

enum kav_pdf_flag {
    KAV_PDF_STREAM = 1u << 0,
    KAV_PDF_DICT = 1u << 1, /* what names set that say nothing */
    KAV_PDF_EMBEDDED = 1u << 2,
    KAV_PDF_IMAGE = 1u << 3,
    KAV_PDF_SIGNED = 1u << 4,
    KAV_PDF_FILTERED = 1u << 5,
    KAV_PDF_SCRIPT = 1u << 6,
    KAV_PDF_ACTION = 1u << 7, /* on opening */
    KAV_PDF_LAUNCH = 1u << 8,
    KAV_PDF_PAGE = 1u << 9,
    KAV_PDF_CONTENTS = 1u << 10,
    KAV_PDF_URI = 1u << 11,
    KAV_PDF_AHX = 1u << 12, /* filters */
    KAV_PDF_A85 = 1u << 13,
    KAV_PDF_FLATE = 1u << 14,
    KAV_PDF_LZW = 1u << 15,
    KAV_PDF_RL = 1u << 16,
    KAV_PDF_FAX = 1u << 17,
    KAV_PDF_DCT = 1u << 18, /* JBIG2 too */
    KAV_PDF_JPX = 1u << 19,
    KAV_PDF_CRYPT = 1u << 20
};

#define KAV_PDF_FILTERS                                                                                                \
    (KAV_PDF_AHX | KAV_PDF_A85 | KAV_PDF_FLATE | KAV_PDF_LZW | KAV_PDF_RL | KAV_PDF_FAX | KAV_PDF_DCT | KAV_PDF_JPX |  \
     KAV_PDF_CRYPT)
#define KAV_PDF_CHAIN 64 /* filters of one stream that are remembered */

typedef struct {
    uint64_t start, size;         /* between "obj" and "endobj", in the file or in its object stream */
    uint64_t stream, stream_size; /* between "stream" and "endstream", with KAV_PDF_STREAM */
    uint32_t id;                  /* number << 8 | generation */
    uint32_t flags;               /* enum kav_pdf_flag */
    uint32_t packed;              /* 0: in the file; else 1 + the object stream */
    uint32_t before, jump, rank;  /* objects of the same id before it: the last, one further away, how many */
    uint32_t filters_at;          /* in the document's filters */
    uint8_t filter_count;
} kav_pdf_object;

typedef struct {
    uint8_t *bytes;
    size_t len;
} kav_pdf_packed;

typedef struct {
    uint32_t id, first, last; /* 1 + objects; first 0: nothing here */
} kav_pdf_slot;

enum kav_pdf_cipher { KAV_PDF_PLAIN, KAV_PDF_RC4, KAV_PDF_AESV2, KAV_PDF_AESV3 };

typedef struct {
    bool wanted; /* the document says that it is encrypted */
    bool open;   /* and key is the one */
    uint8_t key[32];
    uint8_t key_len;
    uint8_t strings, streams, files; /* enum kav_pdf_cipher */
} kav_pdf_lock;

typedef struct {
    kav_pdf_bytes bytes;
    kav_unpack *unpack;
    kav_pdf_object *objects;
    uint32_t count, room;
    kav_pdf_slot *slots; /* by id; room is a power of two */
    uint32_t slot_room, slot_count;
    kav_pdf_packed *packed;
    uint32_t packed_count, packed_room;
    uint8_t *filters; /* numbers of bits of enum kav_pdf_flag, of all objects one after the other */
    uint32_t filters_len, filters_room;
    uint8_t *scratch; /* what kav_pdf_load read */
    size_t scratch_room;
    uint64_t trailer, trailer_len; /* with "/Encrypt" in it; trailer_len 0: none */
    size_t held;                   /* of KAV_PDF_HELD */
    bool escaped;                  /* a telling name is written with #xx */
    kav_pdf_lock lock;
} kav_pdf;

/* All return 0, or -ENOMEM. */
int kav_pdf_objects_find(kav_pdf *p);
int kav_pdf_object_add(kav_pdf *p, const kav_pdf_object *o);

/* Make room for at least one element more. */
int kav_pdf_grow(void **list, uint32_t count, uint32_t *room, size_t size);

/* The object of this id that stands at or behind from; else the first one. 0: none, else 1 + object. */
uint32_t kav_pdf_object_of(const kav_pdf *p, uint32_t from, uint32_t id);

/* The bytes of an object, its stream left out, at most KAV_PDF_LOAD; valid until the next call. NULL: no memory. */
const uint8_t *kav_pdf_load(kav_pdf *p, const kav_pdf_object *o, size_t *len);

/* ---- value.c: [at, len) of p; a place that is len means "none" --------------------------------------------------- */

bool kav_pdf_is_space(int c);

/* The next value or name behind what stands at `at`. */
size_t kav_pdf_next(const uint8_t *p, size_t at, size_t len);

/* Where the value of a key begins ("/Length"); its bracket belongs to it. */
size_t kav_pdf_value(const uint8_t *p, size_t at, size_t len, const char *key);

/* A number, or -1. */
int64_t kav_pdf_number(const uint8_t *p, size_t at, size_t len);

/* A reference "N G R": true, and its id. */
bool kav_pdf_reference(const uint8_t *p, size_t at, size_t len, uint32_t *id);

/* Whether the value of a key is this name ("/V2"). */
bool kav_pdf_names(const uint8_t *p, size_t at, size_t len, const char *name);

/* The string at a place, in memory that the caller frees, with a NUL behind it; NULL: none, or no memory. plain: its
 * escapes stay as they are. end: behind it, at the bracket itself where it was one of hexadecimal digits. */
uint8_t *kav_pdf_string(const uint8_t *p, size_t at, size_t len, bool plain, size_t *string_len, size_t *end);

/* ---- names.c, packed.c, stream.c, script.c ----------------------------------------------------------------------- */

/* Read the names of an object: its flags and filters, and flags of those that it refers to. 0, or -ENOMEM. */
int kav_pdf_names_read(kav_pdf *p, uint32_t object);

/* Add what is in an object stream to the objects. Takes bytes. 0, or -ENOMEM. */
int kav_pdf_packed_read(kav_pdf *p, uint8_t *bytes, size_t len, int64_t first, int64_t count);

/* Hand the stream of an object on, as a part. Non-zero: stop; -ENOMEM. */
int kav_pdf_stream_pass(kav_pdf *p, uint32_t object);

/* Hand the scripts that stand in strings of an object on, as a part or two. Non-zero: stop; -ENOMEM. */
int kav_pdf_script_pass(kav_pdf *p, uint32_t object);

/* Hand an object on as it stands. Non-zero: stop. */
int kav_pdf_object_pass(kav_pdf *p, uint32_t object);

/* Begin the part of an object; what: "", " contents" or " script". */
int kav_pdf_part_begin(kav_pdf *p, const kav_pdf_object *o, const char *what);

/* ---- crypt.c ----------------------------------------------------------------------------------------------------- */

/* Find out whether the document is encrypted, and its key. */
void kav_pdf_lock_read(kav_pdf *p);

/* The cipher that /Crypt names in the dictionary of a stream. */
uint8_t kav_pdf_lock_named(kav_pdf *p, const uint8_t *dict, size_t len);

/* Decipher a string of an object in place; its new length. */
size_t kav_pdf_lock_string(const kav_pdf *p, const kav_pdf_object *o, uint8_t *bytes, size_t len);

#endif
