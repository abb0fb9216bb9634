/* Library: ClamAV's engine, opened at run time. Nothing of it is needed to build or to link; what is declared here are
 * the parts of its documented interface that are used, as they are since ABI 12 (ClamAV 1.2). Another ABI is refused.
 *
 *     kav_clamav lib;
 *     if (kav_clamav_open(&lib, trouble, sizeof trouble) == 0)
 *         ... lib.engine_new(), kav_clamav_set(), lib.load(), lib.engine_compile() ... kav_clamav_scan() for each
 * object
 *
 * The library keeps state of its own in the process: it is opened once and never closed, used by one thread. */
#ifndef KAV_CLAMAV_LIBRARY_H
#define KAV_CLAMAV_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#define KAV_CLAMAV_SONAME "libclamav.so.12"

/* Its result codes, as far as they mean something to us. */
enum {
    KAV_CL_CLEAN = 0,
    KAV_CL_VIRUS = 1,
    KAV_CL_EUNPACK = 7,
    KAV_CL_ECREAT = 9,
    KAV_CL_EUNLINK = 10,
    KAV_CL_ESTAT = 11,
    KAV_CL_EREAD = 12,
    KAV_CL_ESEEK = 13,
    KAV_CL_EWRITE = 14,
    KAV_CL_EACCES = 16,
    KAV_CL_ETMPFILE = 17,
    KAV_CL_ETMPDIR = 18,
    KAV_CL_EMAP = 19,
    KAV_CL_EMEM = 20,
    KAV_CL_ETIMEOUT = 21,
    KAV_CL_EMAXREC = 23,
    KAV_CL_EMAXSIZE = 24,
    KAV_CL_EMAXFILES = 25,
    KAV_CL_EFORMAT = 26,
    KAV_CL_EPARSE = 27,
};

/* Settings of an engine by the library's numbers. */
enum {
    KAV_CL_MAX_SCANSIZE = 0,
    KAV_CL_MAX_FILESIZE = 1,
    KAV_CL_MAX_RECURSION = 2,
    KAV_CL_MAX_FILES = 3,
    KAV_CL_TMPDIR = 13,
    KAV_CL_BYTECODE_SECURITY = 15,
    KAV_CL_BYTECODE_MODE = 17,
    KAV_CL_DISABLE_CACHE = 25,
    KAV_CL_MAX_SCANTIME = 31,
};

enum { KAV_CL_TRUST_SIGNED = 1 };  /* for BYTECODE_SECURITY */
enum { KAV_CL_INTERPRETER = 2 };   /* for BYTECODE_MODE: no pages that are written and executed */
enum { KAV_CL_DB_USUAL = 0x200a }; /* phishing, its addresses, bytecode */
enum { KAV_CL_DB_PUA = 0x10 };     /* unwanted software, too */
enum { KAV_CL_ALL_MATCHES = 1, KAV_CL_HEURISTICS = 4, KAV_CL_UNPRIVILEGED = 16 }; /* general */
enum {
    KAV_CL_PARSE_ARCHIVE = 0x1,
    KAV_CL_PARSE_MAIL = 0x40,
    KAV_CL_PARSE_EVERYTHING = 0x1fff,
};
enum { KAV_CL_TELL_LIMITS = 0x4, KAV_CL_TELL_ENCRYPTED = 0xc0 }; /* heuristic */

typedef struct kav_clamav_engine kav_clamav_engine; /* its struct cl_engine */

typedef struct {
    uint32_t general, parse, heuristic, mail, dev;
} kav_clamav_options; /* its struct cl_scan_options */

typedef struct kav_clamav {
    char version[64];
    unsigned level; /* of functions that databases may ask for */
    int (*init)(unsigned options);
    kav_clamav_engine *(*engine_new)(void);
    int (*engine_free)(kav_clamav_engine *);
    int (*engine_compile)(kav_clamav_engine *);
    int (*set_num)(kav_clamav_engine *, int field, long long value);
    int (*set_str)(kav_clamav_engine *, int field, const char *value);
    int (*load)(const char *path, kav_clamav_engine *, unsigned *count, unsigned options);
    const char *(*error)(int code);
    void (*on_virus)(kav_clamav_engine *, void (*)(int fd, const char *name, void *context));
    void (*on_message)(void (*)(int severity, const char *full, const char *text, void *context));
    int (*scan)(int fd, const char *path, const char **name, unsigned long *scanned, const kav_clamav_engine *,
                kav_clamav_options *, void *context);
} kav_clamav;

enum { KAV_CLAMAV_NAMES_MAX = 1 << 20, KAV_CLAMAV_NAME_MAX = 1024 };

typedef struct {
    char *names; /* each with a NUL behind it, in the order in which they were found; free() */
    size_t length, room;
    int full;         /* there were more than NAMES_MAX bytes of them, or no memory */
    uint64_t scanned; /* bytes, in steps of 4096 */
} kav_clamav_found;

/* 0, -ENOENT (no such library), -ENOTSUP (not what its name says) or -EIO; why stands in TROUBLE then. */
int kav_clamav_open(kav_clamav *lib, char *trouble, size_t room);

/* One object. The code is the library's own; FOUND is empty before, and its owner's to free in any case. */
int kav_clamav_scan(const kav_clamav *lib, kav_clamav_engine *engine, int fd, const kav_clamav_options *options,
                    kav_clamav_found *found);

#endif
