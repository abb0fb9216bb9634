/* Verbs: what a client asked for, as the coordinator hears it. The numbers go to Python by name (serve.pyx). */
#ifndef KAV_SERVE_VERBS_H
#define KAV_SERVE_VERBS_H

#include <stdint.h>

enum kav_protocol { KAV_AVE = 1, KAV_CLAMD = 2 };

enum kav_verb {
    KAV_VERB_NONE, /* an empty line: nobody hears of it */
    KAV_VERB_SCAN,
    KAV_VERB_CONTSCAN,
    KAV_VERB_MULTISCAN,
    KAV_VERB_ALLMATCHSCAN,
    KAV_VERB_INSTREAM,
    KAV_VERB_FILDES,
    KAV_VERB_PING,
    KAV_VERB_VERSION,
    KAV_VERB_VERSIONCOMMANDS,
    KAV_VERB_RELOAD,
    KAV_VERB_SHUTDOWN,
    KAV_VERB_STATS,
    KAV_VERB_QUIT,
    KAV_VERB_UNKNOWN,   /* argument: the line */
    KAV_VERB_TOO_LONG,  /* a line longer than line_max */
    KAV_VERB_TOO_LARGE, /* a stream larger than stream_max */
    KAV_VERB_BROKEN,    /* argument: what is wrong, one of KAV_BROKEN_* */
    KAV_VERB_IDSESSION, /* these two stay inside the front */
    KAV_VERB_END,
};

#define KAV_BROKEN_NONE    "no descriptor"
#define KAV_BROKEN_SEVERAL "several descriptors"
#define KAV_BROKEN_KIND    "not a regular file"
#define KAV_BROKEN_CLOSED  "not open for reading"
#define KAV_BROKEN_SPACE   "no space"
#define KAV_BROKEN_BUSY    "too many descriptors" /* of this user, see kav_front_mute */

#endif
