/* aveclient: asks aveserver about files, by their names, and says what it answered.
 *
 *   main.c    options, the files in their order, the exit code
 *   wire.c    one connection: requests go ahead of their answers, lines come back
 *   answer.c  what a line means: pure functions
 *   shown.c   names on a line, as kavfs.report.names writes them
 *   conf.c    the socket that a configuration names: conf.h
 *
 * Whatever comes from the server is hostile until it was looked at. Only a whole and well-formed answer of this file's
 * own says that a file is clean; whatever else happens is an error, for this file and for those behind it.
 */
#ifndef KAV_AVECLIENT_H
#define KAV_AVECLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    AVE_EXIT_OK = 0,
    AVE_EXIT_NO_SERVER = 1, /* cannot be reached, is busy, went away, or talks nonsense */
    AVE_EXIT_WARNING = 2,
    AVE_EXIT_SUSPICION = 3,
    AVE_EXIT_INFECTED = 4,
    AVE_EXIT_CURED = 5,
    AVE_EXIT_PROTECTED = 6,
    AVE_EXIT_FAILED = 7, /* not or not wholly scanned */
    AVE_EXIT_CORRUPTED = 8,
    AVE_EXIT_USAGE = 9,
};

enum {
    AVE_LINE_MAX = 65536, /* of an answer; a path of 4096 bytes may be written with four times as many */
    AVE_OUT_MAX = 65536,  /* requests on their way */
    AVE_NAMES_MAX = 16384 /* names of what was found in one file */
};

/* ---- answer.c ---- */

typedef struct {
    int code;         /* 100 to 999 */
    bool more;        /* `NNN-text`: others follow */
    const char *text; /* into the line */
    size_t len;
} ave_reply;

typedef struct {
    const char *word; /* behind the path */
    int exit_code;
    bool error;
} ave_outcome;

/* Reads a line without its end. False: no line of this protocol. */
bool ave_read(const char *line, size_t len, ave_reply *reply);

/* Whether the line tells something on the way to the last one of an answer. */
bool ave_tells(const ave_reply *reply);

/* The name in the text of a 322 line: what stands before the first blank. */
size_t ave_name(const ave_reply *reply);

/* What the last line comes to. *named*: something was found on the way to it. */
ave_outcome ave_judge(const ave_reply *reply, bool named);

/* ---- shown.c ---- */

enum ave_shown {
    AVE_SHOWN_PIPE = 1,      /* bytes that are not UTF-8 stay, but those that a terminal obeys */
    AVE_SHOWN_BACKSLASH = 2, /* a backslash stays: the text was written so by the server */
};

void ave_show(FILE *out, const char *text, size_t len, unsigned how);

/* ---- wire.c ---- */

typedef struct {
    int fd;
    uint64_t limit_ns, until_ns; /* for one answer */
    size_t in_from, in_len, out_from, out_len;
    char in[AVE_LINE_MAX], out[AVE_OUT_MAX];
} ave_wire;

/* Connects to a UNIX socket. NULL, or why not. */
const char *ave_connect(ave_wire *wire, const char *path, unsigned seconds);

/* Puts a request on its way. False: no room now; it comes when answers have been read. */
bool ave_ask(ave_wire *wire, const char *path);

/* The next line, which lives until the next call; sends meanwhile. NULL, or why there is none. */
const char *ave_line(ave_wire *wire, const char **line, size_t *len);

/* An answer was whole: the next one has its own time. */
void ave_answered(ave_wire *wire);

/* Says goodbye without waiting for the answer. */
void ave_bye(ave_wire *wire);

#endif
