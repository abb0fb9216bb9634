/* The words and the wire of kavfs: what every C part agrees on, and nothing else.
 *
 * The numbers here go over sockets and into stores, so they never change their meaning; kavfs/model.py holds the same
 * numbers for Python and tests/unit/test_words.py compares the two. All wire structures are in host byte order (both
 * ends run on one machine), have no hidden padding (the _Static_asserts below) and are hostile until checked: a walker
 * or a worker may have been taken over by what it read.
 */
#ifndef KAV_H
#define KAV_H

#include <stddef.h>
#include <stdint.h>

/* ---- what was found ------------------------------------------------------------------------------------------- */

/* Statuses in the product's words. Which of two wins is kav_status_rank's answer, not the number. */
enum kav_status {
    KAV_CLEAN = 0,
    KAV_INFECTED = 1,
    KAV_WARNING = 2,
    KAV_SUSPICIOUS = 3,
    KAV_CORRUPTED = 4,
    KAV_PROTECTED = 5,
    KAV_ERROR = 6,
    KAV_CURED = 7,
    KAV_CUREFAILED = 8,
    KAV_FILTERED = 9,
    KAV_STATUS_COUNT = 10
};

/* Why coverage is partial: a set of bits, 0 = complete. */
enum kav_reason {
    KAV_R_DEPTH = 1u << 0,      /* nested deeper than the limit */
    KAV_R_MEMBERS = 1u << 1,    /* more members than the limit */
    KAV_R_BYTES = 1u << 2,      /* more unpacked bytes than the limit */
    KAV_R_SIZE = 1u << 3,       /* this file or member is larger than the limit */
    KAV_R_TIME = 1u << 4,       /* time budget used up */
    KAV_R_ENCRYPTED = 1u << 5,  /* needs a password */
    KAV_R_DAMAGED = 1u << 6,    /* the container's structure is broken */
    KAV_R_UNREADABLE = 1u << 7, /* open or read failed */
    KAV_R_CHANGED = 1u << 8,    /* the file changed while it was read */
    KAV_R_METHOD = 1u << 9,     /* a packing method nobody here can undo */
    KAV_R_WORKER = 1u << 10,    /* the worker died or was killed on it, twice */
    KAV_R_MATCH = 1u << 11,     /* a bounded table of the matcher was full */
    KAV_R_MEMORY = 1u << 12,    /* memory or spill space used up */
    KAV_R_ENGINE = 1u << 13,    /* an engine that was to look at it gave no answer */
    KAV_REASON_COUNT = 14
};

/* Target types, with ClamAV's numbers (they stand in signatures). */
enum kav_target {
    KAV_T_ANY = 0,
    KAV_T_PE = 1,
    KAV_T_OLE2 = 2,
    KAV_T_HTML = 3,
    KAV_T_MAIL = 4,
    KAV_T_GRAPHICS = 5,
    KAV_T_ELF = 6,
    KAV_T_TEXT = 7,
    KAV_T_MACHO = 9,
    KAV_T_PDF = 10,
    KAV_T_FLASH = 11,
    KAV_T_JAVA = 12,
    KAV_TARGET_COUNT = 13
};

/* ---- limits of one top-level object; all of them, so that a job's limits are one value ------------------------- */

typedef struct {
    uint64_t max_file_size;   /* bytes of a top-level file that are scanned; 0 = no limit */
    uint64_t max_member_size; /* bytes of one member */
    uint64_t max_unpacked;    /* bytes of all members together, repeated unpacking counted again */
    uint64_t time_base_ms;    /* soft time budget = base + bytes / rate */
    uint64_t time_rate;       /* bytes per second that are allowed for */
    uint32_t max_depth;       /* containers inside containers */
    uint32_t max_members;     /* members of one top-level object, all depths */
    uint32_t switches;        /* enum kav_switch */
    uint32_t reserved;
} kav_limits;

/* What an administrator can switch off (the letters of kavscanner -e) or on. */
enum kav_switch {
    KAV_S_PACKED = 1u << 0,          /* P: packed executables; nothing unpacks them yet */
    KAV_S_ARCHIVES = 1u << 1,        /* A */
    KAV_S_SFX = 1u << 2,             /* S: self-extracting archives */
    KAV_S_MAILBASES = 1u << 3,       /* B: mbox */
    KAV_S_MAILPLAIN = 1u << 4,       /* M: single mails */
    KAV_S_HEURISTIC = 1u << 5,       /* E */
    KAV_S_ALL_MATCH = 1u << 6,       /* report every matching signature, not only the least */
    KAV_S_ALL_MEMBERS = 1u << 7,     /* the result names clean members too */
    KAV_S_DIGEST = 1u << 8,          /* the result has the object's SHA-256 in any case */
    KAV_S_ALL_DIGESTS = 1u << 9,     /* MD5, SHA-1 and SHA-256 of every layer are computed and listed */
    KAV_S_NO_CERTIFICATES = 1u << 10 /* rules for certificates decide nothing */
};

/* ---- wire: walker -> coordinator ------------------------------------------------------------------------------ */

#define KAV_BATCH_MAGIC  0x5441424bu  /* "KBAT" */
#define KAV_RESULT_MAGIC 0x5345524bu  /* "KRES" */
#define KAV_WORK_MAGIC   0x4b52574bu  /* "KWRK" */
#define KAV_BATCH_FILES  64           /* most entries in a batch; also the most descriptors in one message */
#define KAV_BATCH_BYTES  (8u << 20)   /* a batch is closed when its files add up to this */
#define KAV_MESSAGE_MAX  (160u << 10) /* the longest message; fits a default UNIX socket buffer */
#define KAV_PATH_MAX     (64u << 10)  /* the longest path we carry: 16 times what the kernel takes in one call */

enum kav_entry_kind {
    KAV_E_FILE = 0,     /* a regular file; its open descriptor travels with the message */
    KAV_E_ERROR = 1,    /* could not be listed or opened; .error says why */
    KAV_E_VANISHED = 2, /* was listed, was gone when opened: counted, no error */
    KAV_E_SPECIAL = 3,  /* FIFO, socket, device: never opened */
    KAV_E_SYMLINK = 4,  /* a link that was not followed */
    KAV_E_EXCLUDED = 5, /* named by an exclude rule */
    KAV_E_SUBMOUNT = 6, /* another file system begins here; the coordinator decides who walks it */
    KAV_E_PSEUDO = 7,   /* a pseudo file system (proc, sysfs ...), not entered */
    KAV_E_STORE = 8,    /* one of our own stores, not entered */
    KAV_E_SEEN = 9,     /* a directory that this walker has already listed under another path */
    KAV_E_KIND_COUNT = 10
};

enum kav_entry_flag {
    KAV_EF_DEDUP = 1u << 0, /* other paths may lead to this inode: scan once, report for each */
    KAV_EF_DIR = 1u << 1,   /* the entry is a directory */
    KAV_EF_ROOT = 1u << 2,  /* the entry was named by the user */
    KAV_EF_KEEP = 1u << 3,  /* what is found may be remembered: its file system is trusted and nobody writes to it */
    KAV_EF_COLD = 1u << 4   /* none of its pages was in the page cache when it was opened */
};

typedef struct {
    uint32_t magic;    /* KAV_BATCH_MAGIC */
    uint32_t count;    /* entries, 1 .. KAV_BATCH_FILES */
    uint32_t blob_len; /* bytes after the entries: directory paths and names */
    uint32_t fd_count; /* descriptors in the message = entries of kind KAV_E_FILE */
} kav_batch_header;

typedef struct {
    uint64_t dev, ino;                    /* st_dev as major << 32 | minor */
    uint64_t size;                        /* bytes */
    int64_t mtime_ns, ctime_ns, btime_ns; /* since 1970; INT64_MIN = the file system does not tell */
    uint32_t mode, nlink;
    uint32_t dir_off, dir_len;   /* in the blob: directory with its final '/', "" for a root; shared by entries */
    uint32_t name_off, name_len; /* in the blob */
    int32_t error;               /* errno of KAV_E_ERROR, else 0 */
    uint8_t kind, flags;
    uint16_t reserved;
    uint8_t place[16]; /* the directory as ext/cache/place.h names it; with KAV_EF_KEEP or where a journal is kept */
    uint32_t delta;    /* 0 = scan in full; else 1 + the row of the delta table that is enough */
    uint32_t reserved2;
} kav_entry;

/* ---- wire: walker -> coordinator, what needs no scan ------------------------------------------------------------ */

#define KAV_KNOWN_MAGIC  0x4f4e4b4bu /* "KKNO" */
#define KAV_REPLAY_MAGIC 0x4c50524bu /* "KRPL" */
#define KAV_RENEW_MAGIC  0x4e45524bu /* "KREN" */
#define KAV_GONE_MAGIC   0x4e4f474bu /* "KGON" */

/* Files that are unchanged, clean, complete and plain: all of this message by name, or none of them where nobody wants
 * to see clean files (then nothing but the header, and containers that are clean and complete count too). Followed by a
 * uint64_t size for each name, their sum being bytes, then the directory with its final '/' ("" for a root), then the
 * names, each with a NUL behind it. */
typedef struct {
    uint32_t magic; /* KAV_KNOWN_MAGIC */
    uint32_t dir_len, names_len;
    uint32_t names; /* how many; 0 or files */
    uint64_t files, bytes;
    uint64_t members; /* of the containers among them */
} kav_known_header;

/* Unchanged files whose verdict is more than that: one of these for each, up to the end of the message. Followed by
 * kav_result (index, layers and learned 0; flags as found then plus KAV_F_CACHED; payload_len = notes_len), the path,
 * zeros up to a multiple of 8, and the notes as in kav_result, a multiple of 8 as well. The entry's identity is that of
 * the result. */
typedef struct {
    uint32_t magic; /* KAV_REPLAY_MAGIC */
    uint32_t path_len, notes_len;
    uint32_t reserved;
    kav_entry entry; /* kind KAV_E_FILE; dir and name fields are 0 */
} kav_replay_header;

/* Directories whose facts hold for the signatures of now, as the delta table says: count places of 16 bytes follow. */
typedef struct {
    uint32_t magic; /* KAV_RENEW_MAGIC */
    uint32_t count;
} kav_renew_header;

/* Inodes that a directory remembers and no longer has: count of uint64_t follow. */
typedef struct {
    uint32_t magic; /* KAV_GONE_MAGIC */
    uint32_t count;
    uint8_t place[16];
} kav_gone_header;

/* ---- wire: coordinator -> worker ------------------------------------------------------------------------------ */

typedef struct {
    uint32_t magic; /* KAV_WORK_MAGIC */
    uint32_t count; /* objects = descriptors, 1 .. KAV_BATCH_FILES */
    uint64_t batch; /* echoed in every result */
} kav_work_header;

/* Follows the header, one for each object. */
typedef struct {
    uint32_t delta; /* as in kav_entry; a worker without that row scans in full */
    uint32_t reserved;
} kav_work_item;

/* ---- wire: worker -> coordinator ------------------------------------------------------------------------------ */

/* One message holds one kav_result_header and then its records; the last message of a batch has KAV_RF_LAST. The first
 * message of a worker says that it is ready: KAV_READY_BATCH, no records, KAV_RF_LAST. It gets no work before. */
typedef struct {
    uint32_t magic; /* KAV_RESULT_MAGIC */
    uint32_t count; /* kav_result records in this message, 0 .. KAV_BATCH_FILES */
    uint64_t batch;
    uint32_t flags;       /* KAV_RF_LAST */
    uint32_t payload_len; /* bytes after the records */
} kav_result_header;

#define KAV_RF_LAST     1u
#define KAV_READY_BATCH 0u /* no piece of work has this number */

enum kav_result_flag {
    KAV_F_MORE = 1u << 0,      /* only members and threats so far; another record for this index follows */
    KAV_F_SHA256 = 1u << 1,    /* .sha256 is filled in */
    KAV_F_CONTAINER = 1u << 2, /* was opened as a container */
    KAV_F_SUPPRESSED =
        1u << 3,            /* a match was lifted by an exception (.fp, .sfp, .ign2); or a program is trusted (.crb) */
    KAV_F_STABLE = 1u << 4, /* identity was the same before and after the read */
    KAV_F_UNOPENED = 1u << 5, /* a container that a switch keeps closed */
    KAV_F_LAYERS = 1u << 6,   /* the list of layers is complete */
    KAV_F_DELTA = 1u << 7,    /* only the delta was matched: what was known before still holds, and nothing new */
    KAV_F_CACHED = 1u << 8,   /* the whole object was answered from a cache */
    KAV_F_ELSEWHERE = 1u << 9 /* native: something in it is not covered wholly by this engine, ask another too */
};

typedef struct {
    uint32_t index;       /* which object of the batch */
    uint8_t status;       /* enum kav_status; verdict of the whole object */
    uint8_t target;       /* enum kav_target */
    uint16_t format;      /* enum kav_format (ext/type/type.h) */
    uint32_t reasons;     /* enum kav_reason, of the whole object */
    uint32_t flags;       /* enum kav_result_flag */
    uint64_t size;        /* bytes that were there */
    uint64_t scanned;     /* bytes read, members included */
    uint32_t members;     /* objects inside, all depths */
    uint32_t notes;       /* kav_note records in this record's part of the payload */
    uint64_t payload_off; /* where they begin, from the start of the payload */
    uint64_t payload_len; /* of notes, then layers, then learned */
    uint8_t sha256[32];
    int64_t mtime_ns, ctime_ns; /* of the identity that was scanned */
    uint64_t dev, ino;
    uint16_t views;      /* bit per enum kav_target that any layer was matched as */
    uint16_t depth;      /* containers inside containers that were opened; 1 = a container without another in it */
    uint32_t layers;     /* kav_layer records behind the notes */
    uint32_t layers_len; /* bytes of these */
    uint32_t learned;    /* kav_learned records behind the layers */
} kav_result;

/* A note: a threat, or a member with its own status. Followed by name, then member path (neither with NUL), then
 * padding to a multiple of 8. The notes of a member stand in the order in which members were scanned. */
typedef struct {
    uint32_t name_len;   /* signature name; 0 = no threat, this is a member's status line */
    uint32_t member_len; /* path inside the object: member names joined with '/'; 0 = the object itself */
    uint64_t offset;     /* of the match in its layer; UINT64_MAX = none (hash) */
    uint64_t size;       /* bytes of the member's layer */
    uint32_t reasons;    /* of this member */
    uint8_t status;      /* of this threat or member */
    uint8_t engine;      /* enum kav_engine */
    uint8_t is_container;
    uint8_t reserved;
} kav_note;

/* Size and digests of one layer of an object, the object itself first. Followed by the digests that have says, in the
 * order MD5 (16 bytes), SHA-1 (20), SHA-256 (32), then padding to a multiple of 8. */
typedef struct {
    uint64_t size;
    uint8_t have; /* KAV_D_* */
    uint8_t target;
    uint16_t reserved;
    uint32_t reserved2;
} kav_layer;

#define KAV_LAYERS_MAX 1024 /* of one object; an object with more has no complete list */

/* One object, or member, that was found clean and complete: an entry for the object cache (ext/objects/objects.h). */
typedef struct {
    uint8_t key[16];
    uint64_t scanned, unpacked; /* budget that it used */
    uint32_t members;
    uint16_t format, views;
    uint8_t depth, target;
    uint8_t reread; /* 1: of a file whose bytes were read more than once; it holds only where nobody wrote to it
                       meanwhile. 0 in a store */
    uint8_t traits; /* KAV_L_* */
    uint32_t parts; /* of documents, all depths; not counted as members */
} kav_learned;

#define KAV_LEARNED_MAX 1024 /* of one object */

#define KAV_L_DOCUMENT  1u /* what was opened of it are parts of a document, which make no container */
#define KAV_L_ELSEWHERE 2u /* KAV_F_ELSEWHERE holds for it */

/* What gives verdicts; also the class of a worker, and the order in which an object goes through the classes. */
enum kav_engine {
    KAV_ENGINE_NATIVE = 0,
    KAV_ENGINE_CLAMAV = 1,
    KAV_ENGINE_CLAMD = 2,
    KAV_ENGINE_YARA = 3,
    KAV_ENGINE_COUNT = 4
};

/* ---- shared memory: one slot per walker or worker ------------------------------------------------------------- */

/* Written by the child, read by the coordinator (relaxed atomics); the coordinator trusts it for progress and blame
 * only, its own clock and its own bounds decide when a child is killed. One cache line. */
typedef struct {
    uint64_t beat;  /* goes up with every step of work */
    uint64_t batch; /* worker: the batch in hand */
    uint64_t bytes; /* worker: bytes of the object in hand that were handled, members included */
    uint64_t total; /* walker: directory entries seen; worker: objects finished */
    uint32_t index; /* worker: the object in hand */
    uint32_t state; /* enum kav_slot_state */
    int64_t newest; /* walker: the newest ctime seen on its file system, nanoseconds since 1970 */
    uint64_t
        known; /* walker: files answered from a store; worker: objects and members answered from the object cache */
    uint64_t reserved;
} kav_slot;

enum kav_slot_state { KAV_SLOT_IDLE = 0, KAV_SLOT_BUSY = 1, KAV_SLOT_SENDING = 2 };

_Static_assert(sizeof(kav_limits) == 56, "kav_limits is on the wire");
_Static_assert(sizeof(kav_batch_header) == 16, "kav_batch_header is on the wire");
_Static_assert(sizeof(kav_entry) == 104, "kav_entry is on the wire");
_Static_assert(sizeof(kav_known_header) == 40, "kav_known_header is on the wire");
_Static_assert(sizeof(kav_replay_header) == 120, "kav_replay_header is on the wire");
_Static_assert(sizeof(kav_renew_header) == 8, "kav_renew_header is on the wire");
_Static_assert(sizeof(kav_gone_header) == 24, "kav_gone_header is on the wire");
_Static_assert(sizeof(kav_work_item) == 8, "kav_work_item is on the wire");
_Static_assert(sizeof(kav_layer) == 16, "kav_layer is on the wire");
_Static_assert(sizeof(kav_learned) == 48, "kav_learned is on the wire and in a store");
_Static_assert(sizeof(kav_work_header) == 16, "kav_work_header is on the wire");
_Static_assert(sizeof(kav_result_header) == 24, "kav_result_header is on the wire");
_Static_assert(sizeof(kav_result) == 136, "kav_result is on the wire");
_Static_assert(sizeof(kav_note) == 32, "kav_note is on the wire");
_Static_assert(sizeof(kav_slot) == 64, "kav_slot is one cache line");

/* How grave a status is: the higher wins when one object has several. This is also the order of the exit codes. */
static inline int kav_status_rank(uint8_t status)
{
    switch (status) {
    case KAV_INFECTED: return 9;
    case KAV_CUREFAILED: return 8;
    case KAV_WARNING: return 7;
    case KAV_SUSPICIOUS: return 6;
    case KAV_ERROR: return 5;
    case KAV_CORRUPTED: return 4;
    case KAV_PROTECTED: return 3;
    case KAV_CURED: return 2;
    case KAV_FILTERED: return 1;
    default: return 0;
    }
}

/* The status that partial coverage alone gives: encrypted -> Protected, damaged -> Corrupted, everything else Error. */
static inline uint8_t kav_status_of_reasons(uint32_t reasons)
{
    if (reasons & ~(uint32_t)(KAV_R_ENCRYPTED | KAV_R_DAMAGED)) return KAV_ERROR;
    if (reasons & KAV_R_DAMAGED) return KAV_CORRUPTED;
    if (reasons & KAV_R_ENCRYPTED) return KAV_PROTECTED;
    return KAV_CLEAN;
}

#endif
