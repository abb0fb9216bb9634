/* Format: how the parts of an image lie in their files.
 *
 *     +--------------------+ 0
 *     | kav_part_header    |  what it is, checksum over everything, where the tables are
 *     +--------------------+
 *     | table 0            |  each table begins at a multiple of 64, Vectorscan databases at a page
 *     | table 1 ...        |
 *     +--------------------+ header.length
 *
 * A BODY part is one database file compiled. Its tables name each other by index:
 *
 *     signature -> subsigs -> patterns and probes;     signature -> code (leaves name subsignatures) -> condition
 *     pattern   -> chains (the ASCII and the wide form) -> pieces (stretches between far gaps) -> elements -> data
 *     literal   -> postings -> pieces;     pattern -> refs -> signatures
 *
 * A GROUP part holds the Vectorscan databases over the literals of some BODY parts, which it names by checksum. A
 * PATCH part ties two BODY or two HASH parts into one database file (patch.h). All numbers are in host byte order: a
 * part never leaves the machine that made it. Whoever opens a part checks every index once (part.c, body.c, group.c);
 * after that they are trusted.
 */
#ifndef KAV_FORMAT_H
#define KAV_FORMAT_H

#include "icon.h"
#include <stdint.h>

#define KAV_FORMAT_VERSION 3u
#define KAV_PART_MAGIC     "KAVPART" /* with its NUL: 8 bytes */
#define KAV_TABLE_COUNT    24
#define KAV_PAGE           4096u

enum kav_part_kind {
    KAV_P_BODY = 1,
    KAV_P_HASH = 2, /* of whole layers */
    KAV_P_EXCEPTION = 3,
    KAV_P_IGNORE = 4,
    KAV_P_GROUP = 5,
    KAV_P_PATCH = 6,
    KAV_P_SECTIONS = 7, /* hashes of PE sections */
    KAV_P_IMPORTS = 8,  /* hashes of PE import tables */
    KAV_P_METADATA = 9, /* signatures of what containers say of their members */
    KAV_P_PASSWORDS = 10,
    KAV_P_TYPES = 11, /* formats by their first bytes */
    KAV_P_ICONS = 12,
    KAV_P_TRUST = 13 /* rules for certificates of programs */
};

enum kav_part_flag { KAV_PF_OFFICIAL = 1u << 0 }; /* without it .UNOFFICIAL is appended to printed names */

typedef struct {
    uint64_t offset, length; /* bytes, from the start of the part */
} kav_table;

typedef struct {
    uint8_t magic[8];
    uint32_t version, kind, flags, reserved;
    uint64_t length;
    uint64_t checksum;  /* kav_checksum of the part with this field taken as 0 */
    uint8_t source[32]; /* SHA-256 of the database file */
    uint8_t stamp[64];  /* GROUP: Vectorscan's version and the CPU's features; else 0 */
    kav_table tables[KAV_TABLE_COUNT];
} kav_part_header;

/* Which table is where, by kind of part. The first is the same in all. */
enum kav_any_table { KAV_TAB_DATABASE = 0 /* name of the database file, no NUL */ };

enum kav_body_table {
    KAV_TAB_SIGNATURES = 1,
    KAV_TAB_CODE,
    KAV_TAB_PATTERNS,
    KAV_TAB_CHAINS,
    KAV_TAB_PIECES,
    KAV_TAB_ELEMENTS,
    KAV_TAB_EDGES,
    KAV_TAB_DATA,
    KAV_TAB_NAMES,
    KAV_TAB_REFS, /* uint32_t signature indices, by pattern */
    KAV_TAB_REST, /* uint32_t signatures to look at in every layer of their target */
    KAV_TAB_LITERALS,
    KAV_TAB_POSTINGS, /* uint32_t: piece, or piece | KAV_POSTING_GATE */
    KAV_TAB_TOTALS,   /* one kav_body_totals */
    KAV_TAB_SUBSIGS,  /* uint32_t by signature and subsignature: pattern, or KAV_SUB_PROBE | probe */
    KAV_TAB_PROBES,
    KAV_TAB_CONDITIONS
};

enum kav_hash_table { KAV_TAB_SET = 1 }; /* what kav_hashset_open takes */

enum kav_ignore_table { KAV_TAB_IGNORED = 1, KAV_TAB_IGNORED_TEXT }; /* kav_ignored sorted by bytes; their text */

enum kav_listed_table { KAV_TAB_LISTED = 1, KAV_TAB_LISTED_TEXT }; /* METADATA to ICONS: rows; their text */

enum kav_patch_table {
    KAV_TAB_PATCHED = 1, /* kav_member: the base, and the segment of the fresh lines where there are any */
    KAV_TAB_MOVED        /* uint32_t by line of the base: kav_moved */
};

enum kav_group_table {
    KAV_TAB_MEMBERS = 1,    /* kav_member */
    KAV_TAB_FIRSTS,         /* uint32_t per literal and one more: its first posting */
    KAV_TAB_GROUP_POSTINGS, /* kav_posting */
    KAV_TAB_STORED          /* kav_stored: the databases */
};

/* ---- BODY ----------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t min_size, max_size; /* bytes of the layer, inclusive */
    uint32_t name, name_len;     /* in NAMES */
    uint32_t line;
    uint32_t code, code_count;     /* in CODE */
    uint32_t subsig, subsig_count; /* in SUBSIGS: all of them, whether the expression names them or not */
    uint32_t condition;            /* in CONDITIONS, or KAV_NONE */
    uint8_t target;
    uint8_t flags; /* enum kav_signature_flag */
    uint16_t reserved;
} kav_signature;

enum kav_signature_flag {
    KAV_SF_WEAK = 1u << 0, /* asks for a pattern that is looked for in the second pass */
    KAV_SF_PROBES = 1u << 1
};

#define KAV_SUB_PROBE 0x80000000u

/* A subsignature that is no pattern: asked for at the end, when all patterns are counted and the signature can still
 * become true through it. */
typedef struct {
    uint32_t data, length; /* in DATA: what probe.h makes of its text */
    uint8_t kind;          /* enum kav_probe_kind of probe.h */
    uint8_t reserved[3];
} kav_probe;

/* What must hold of the layer as a whole, and of those around it (condition.c). */
typedef struct {
    uint32_t entry_min, entry_max;       /* file offset of the entry point, inclusive */
    uint32_t sections_min, sections_max; /* how many sections, inclusive */
    uint32_t icon_name[2], icon_len[2];  /* names of the icon groups, in NAMES; "*": any */
    uint32_t chain, chain_count;         /* in DATA, kav_chain_link: formats of the layers around, the inmost first */
    uint16_t depth_min;                  /* so many layers around at least */
    uint16_t flags;                      /* enum kav_condition_flag */
    uint16_t handler;                    /* enum kav_format, and its target type: as what the layer is scanned again */
    uint8_t handler_target, reserved;
} kav_condition;

enum kav_condition_flag {
    KAV_CO_ENTRY = 1u << 0,
    KAV_CO_SECTIONS = 1u << 1,
    KAV_CO_ICONS = 1u << 2,
    KAV_CO_OUTMOST = 1u << 3, /* only where no layer is around */
    KAV_CO_CHAIN = 1u << 4,   /* chain, depth_min */
    KAV_CO_HANDLER = 1u << 5
};

/* The formats that one layer of a chain may have: a bit for each kav_format. */
typedef struct {
    uint64_t formats[4];
} kav_chain_link;

/* One step of a logical expression in postfix order; the stack never needs more than KAV_CODE_DEPTH. */
typedef struct {
    uint8_t op;      /* enum kav_op */
    uint8_t compare; /* 0, '<', '=' or '>' */
    uint16_t index;  /* LEAF, PROBE: number of the subsignature, 0 .. 63 */
    uint32_t value;  /* LEAF: pattern; PROBE: probe; BLOCK: how many different subsignatures at least */
    uint32_t count;  /* what is compared with */
} kav_code;

enum kav_op { KAV_OP_LEAF = 1, KAV_OP_AND = 2, KAV_OP_OR = 3, KAV_OP_BLOCK = 4, KAV_OP_PROBE = 5 };

#define KAV_CODE_DEPTH  128
#define KAV_SUBSIGS_MAX 64
#define KAV_ANY_COUNT   UINT32_MAX

typedef struct {
    uint32_t chain;       /* first in CHAINS */
    uint32_t chain_count; /* 1, or 2: ASCII and wide */
    uint32_t ref, ref_count;
    uint32_t cap; /* counting further tells nothing */
    uint32_t offset, shift;
    uint32_t section; /* SECTION, WHOLE: counted from 0 */
    uint16_t targets; /* bit per enum kav_target that asks for it */
    uint8_t place;    /* enum kav_place */
    uint8_t flags;    /* enum kav_pattern_flag */
} kav_pattern;

/* What the first place of a match is counted from. ENTRY to VERSION need the headers of an executable (offset.c). */
enum kav_place {
    KAV_AT_ANY = 0,
    KAV_AT_START = 1,
    KAV_AT_END = 2,     /* offset bytes before the layer's end */
    KAV_AT_ENTRY = 3,   /* offset bytes behind the entry point; as a signed number */
    KAV_AT_SECTION = 4, /* behind the beginning of a section */
    KAV_AT_LAST = 5,    /* of the last section */
    KAV_AT_WHOLE = 6,   /* anywhere in a section */
    KAV_AT_VERSION = 7, /* at a string of the version information */
    KAV_AT_MACRO = 8    /* anywhere, as a member of macro group number offset */
};

enum kav_pattern_flag {
    KAV_PA_WEAK = 1u << 0,   /* looked for in the second pass only */
    KAV_PA_GATED = 1u << 1,  /* weak, and not there unless its gate was seen in the first pass */
    KAV_PA_EARLY = 1u << 2,  /* its places in ClamAV's first window are noted for probes */
    KAV_PA_PLACES = 1u << 3, /* all of them are */
    KAV_PA_DIRECT = 1u << 4  /* weak, but looked at in its one place and in no database (direct.h) */
};

typedef struct {
    uint32_t pattern;
    uint32_t piece, piece_count;
    uint32_t track; /* chains of several pieces: the first of piece_count - 1 tracks; else KAV_NONE */
} kav_chain;

#define KAV_NONE      UINT32_MAX
#define KAV_UNBOUNDED UINT32_MAX

/* A piece is matched around its pivot: an element whose place follows from where the literal ended. */
typedef struct {
    uint32_t chain;
    uint32_t element;
    uint16_t element_count;
    uint16_t pivot;            /* element, counted from the piece's first */
    uint16_t anchor;           /* the literal's end lies this many bytes after the pivot's start */
    uint16_t index;            /* in its chain */
    uint32_t back, ahead;      /* most bytes looked at before and after the pivot's start, edges included */
    uint32_t gap_min, gap_max; /* between the end of the piece before and this one's start; index 0: none */
    uint32_t edge;             /* in EDGES, or KAV_NONE */
} kav_piece;

#define KAV_PIECE_SPAN 60000u     /* most bytes of one piece */
#define KAV_REACH_MAX  (1u << 18) /* no check looks further from a literal: a piece, its edges and its literal */

typedef struct {
    uint8_t kind;  /* enum kav_element_kind */
    uint8_t flags; /* KAV_EL_NOT */
    uint16_t length;
    uint32_t data; /* in DATA */
} kav_element;

enum kav_element_kind {
    KAV_EL_BYTES = 1,  /* length bytes */
    KAV_EL_NOCASE = 2, /* length bytes in lower case */
    KAV_EL_ANY = 3,    /* length times anything */
    KAV_EL_MASK = 4,   /* length values, then length masks */
    KAV_EL_SET = 5,    /* one byte of a set of 256 bits */
    KAV_EL_CHOICE = 6, /* one of length strings: kav_choice, kav_choice ... each with values and masks behind it */
    KAV_EL_LINE = 7    /* LF or CR LF */
};

#define KAV_EL_NOT 1u

/* In DATA, 2-byte aligned; followed by length values and length masks. */
typedef struct {
    uint16_t length;
} kav_choice;

typedef struct {
    uint8_t left, right; /* enum kav_edge_kind */
    uint8_t flags;       /* enum kav_edge_flag */
    uint8_t reserved;
    kav_element near[2]; /* [n-m] with one byte on the far side: kind 0, or MASK of length 1 ... */
    uint16_t near_min[2], near_max[2];
} kav_edge;

enum kav_edge_kind { KAV_EDGE_NONE = 0, KAV_EDGE_BOUNDARY = 1, KAV_EDGE_LINE = 2, KAV_EDGE_WORD = 3 };
enum kav_edge_flag { KAV_EG_WIDE = 1, KAV_EG_NOT_RIGHT = 2 };

#define KAV_LITERAL_MAX 8
#define KAV_CONTEXT     16                                  /* places before and behind a weak window ... */
#define KAV_OVERLAP     (2 * KAV_CONTEXT + KAV_LITERAL_MAX) /* ... so nothing that is looked for is longer */

typedef struct {
    uint8_t bytes[KAV_LITERAL_MAX]; /* fast: the literal */
    uint32_t text, text_length;     /* weak: a regular expression, in DATA */
    uint8_t length;                 /* of bytes */
    uint8_t flags;                  /* enum kav_literal_flag */
    uint16_t targets;
    uint32_t posting, posting_count;
    uint32_t reserved;
} kav_literal;

enum kav_literal_flag { KAV_LF_NOCASE = 1u << 0, KAV_LF_WEAK = 1u << 1 };

#define KAV_POSTING_GATE 0x80000000u

typedef struct {
    uint32_t back;   /* most bytes before a literal's end that a check looks at */
    uint32_t ahead;  /* and after it */
    uint32_t tracks; /* used by all chains */
    uint32_t reserved;
    uint64_t zeros; /* how far into a run of NULs something new can be found */
} kav_body_totals;

/* ---- IGNORE, GROUP, PATCH ------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t text, length;
} kav_ignored;

typedef struct {
    uint64_t checksum; /* of the part */
    uint8_t source[32];
} kav_member;

typedef struct {
    uint32_t member; /* in MEMBERS */
    uint32_t piece;  /* or piece | KAV_POSTING_GATE */
} kav_posting;

typedef struct {
    uint64_t offset, length; /* in the part */
    uint16_t targets;        /* bit per target that it serves */
    uint8_t kind;            /* enum kav_stored_kind */
    uint8_t form;            /* enum kav_form */
    uint32_t reserved;
} kav_stored;

/* The fast pass takes the narrowest that there is: a database for a charset lacks what cannot occur in it. */
enum kav_stored_kind { KAV_DB_FAST = 0, KAV_DB_ASCII = 1, KAV_DB_PLAIN = 2, KAV_DB_WEAK = 3, KAV_DB_KINDS = 4 };

enum kav_form { KAV_FORM_MAPPED = 1, KAV_FORM_SERIAL = 2 };

/* ---- METADATA, PASSWORDS, TYPES, ICONS, TRUST
 * --------------------------------------------------------------------------- */

#define KAV_FORMAT_WORDS 4 /* of 64 formats each */

enum kav_metadata_number { KAV_MD_CONTAINER, KAV_MD_PACKED, KAV_MD_UNPACKED, KAV_MD_POSITION, KAV_MD_COUNT };

typedef struct {
    uint64_t least[KAV_MD_COUNT], most[KAV_MD_COUNT]; /* inclusive; 0 and UINT64_MAX: any */
    uint64_t formats[KAV_FORMAT_WORDS];               /* of the container, a bit each */
    uint32_t line, name, name_len;                    /* in LISTED_TEXT, as all that follows */
    uint32_t pattern, pattern_len;                    /* POSIX extended, for the member's name; length 0: any */
    uint32_t crc;                                     /* of the member; 0: any */
    uint32_t encrypted;                               /* 0, 1; 2: any */
    uint32_t blind;                                   /* 1: capital and small letters are alike */
} kav_metadata;

enum kav_password_for { KAV_PW_ANY, KAV_PW_ZIP, KAV_PW_RAR };

typedef struct {
    uint32_t line, name, name_len, text, text_len;
    uint32_t container; /* enum kav_password_for */
} kav_password;

typedef struct {
    uint64_t formats[KAV_FORMAT_WORDS]; /* what our own detection may say and be right */
    uint32_t line, offset, magic, magic_len;
    uint16_t format; /* else it is this */
    uint8_t target;
    uint8_t general; /* 1: only of what our own detection says nothing; masks of its bytes stand behind the magic */
    uint32_t reach;  /* it may begin so many bytes behind offset */
} kav_magic;

typedef struct {
    kav_icon_metrics metrics;
    uint32_t line, name, name_len;
    uint32_t group[2], group_len[2];
} kav_icon_signature;

enum kav_trust_flag {
    KAV_TR_CODE = 1u << 0, /* may sign programs, time stamps, other certificates */
    KAV_TR_TIME = 1u << 1,
    KAV_TR_CERT = 1u << 2,
    KAV_TR_BLOCKED = 1u << 3, /* else trusted */
    KAV_TR_ANY_SERIAL = 1u << 4
};

typedef struct {
    int64_t not_before; /* seconds since 1970 */
    uint32_t line, name, name_len, key, key_len;
    uint32_t flags; /* enum kav_trust_flag */
    uint8_t subject[20], serial[20];
} kav_trust_row;

_Static_assert(sizeof(kav_metadata) == 128 && sizeof(kav_password) == 24 && sizeof(kav_magic) == 56 &&
                   sizeof(kav_icon_signature) == 108 && sizeof(kav_trust_row) == 72,
               "written by kavfs/signatures");

#endif
