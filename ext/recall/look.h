/* Look: what can be said of a descriptor, without the table. */
#ifndef KAV_RECALL_LOOK_H
#define KAV_RECALL_LOOK_H

#include <sys/stat.h>

#include "fingerprint.h"
#include "recall.h"

/* 0: a regular file, or memory. */
int kav_recall_stat(int fd, struct statx *st);

/* False: it is no file with a name, or the kernel (before 6.8) does not tell one mount from the next. */
bool kav_recall_file(const struct statx *st, kav_recall_key *key);

/* False: it is no sealed memory, or too large. */
bool kav_recall_stream(kav_fingerprint *f, int fd, kav_recall_key *key);

/* Whether every change of the file after this shows in its stamps. Needs SIGIO ignored (lease.h). */
bool kav_recall_at_rest(int fd, const struct statx *st, const kav_recall_key *key, int64_t now_ns, bool distrust);

#endif
