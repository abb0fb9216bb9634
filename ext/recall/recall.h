/* Recall: what one process has itself seen to be clean and complete, for the next time that somebody asks for it: files
 * by their identity, streams by their bytes. In memory only; a bounded table from which anything may be lost.
 *
 *     kav_recall_look(r, fd, context, &key)     KNOWN: as clean as it was when it was added, in this context
 *     kav_recall_row(r, &key)                   which new signatures are enough for it; 0: all
 *     ... scan what is behind fd ...            NEW: may be added, if it turns out clean and complete
 *     kav_recall_add(r, fd, &key, said, len)    looks once more: only if nothing has changed
 *     kav_recall_renew(r, now, delta, len)      other signatures: what they do not ask for stays known
 *
 * A file may be added under the conditions under which a scan remembers one (remember.h, lease.h): its file system
 * stamps every change itself (the caller says so of each mount, which is told by a number that is never given again);
 * nobody has it open for writing or mapped for that; its stamps are whole ones and older than KAV_RECALL_MARGIN_NS when
 * it is looked at, which is before it is scanned; its identity is the same before and after. From then on every change
 * shows in its ctime. When the clock is set back, everything is forgotten: new bytes could come by old stamps.
 *
 * A stream is sealed memory that nobody can change any more, named by its fingerprint (fingerprint.h: under a key that
 * nobody else has) and its size.
 *
 * When signatures change, the delta table (ext/cache/delta.h) says what is new since those that an object was clean
 * for. An object that none of it can concern, by the views and the sizes of its layers, is as clean as before; one that
 * it may concern is scanned against the new lines alone; of what the table does not speak nothing is known any more.
 */
#ifndef KAV_RECALL_H
#define KAV_RECALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KAV_RECALL_MARGIN_NS  3000000000ll
#define KAV_RECALL_STREAM_MAX (1u << 20) /* bytes that a look may read */
#define KAV_RECALL_MOUNTS     64         /* whose kind is kept in mind */
#define KAV_RECALL_PLACE      64         /* bytes that an object takes */

typedef struct kav_recall kav_recall;

typedef struct {
    uint64_t mount; /* unique number; 0: a stream, whose fingerprint stands in dev and ino */
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns, btime_ns;
    uint32_t context; /* way of matching, as the caller counts them */
    uint32_t reserved;
} kav_recall_key;

enum kav_recalled {
    KAV_RECALL_NEVER, /* not known, and not to be added */
    KAV_RECALL_NEW,
    KAV_RECALL_KNOWN,
    KAV_RECALL_ASK /* key.mount is a mount of which nothing is known: call kav_recall_mount, then look again */
};

/* Room for `places` objects (a power of two, KAV_RECALL_PLACE bytes each). distrust: only files to which nobody but
 * root and this process may write (kav_others_write). NULL: no memory, no entropy, or OpenSSL lacks the cipher. */
kav_recall *kav_recall_new(uint32_t places, bool distrust);
void kav_recall_free(kav_recall *r);

enum kav_recalled kav_recall_look(kav_recall *r, int fd, uint32_t context, kav_recall_key *key);

/* The number of the mount that fd is on, as /proc/self/mountinfo has it; -1: not told. */
int64_t kav_recall_mount_of(int fd);

/* Whether the file system behind a mount stamps every change. */
void kav_recall_mount(kav_recall *r, uint64_t mount, bool trusted);

/* The row of the delta table that is enough for it with the signatures of now, counted from 1; 0: scan in full. */
uint32_t kav_recall_row(const kav_recall *r, const kav_recall_key *key);

/* Whether it was added. said: the kav_result of its scan, with notes and layers behind it. */
bool kav_recall_add(kav_recall *r, int fd, const kav_recall_key *key, const uint8_t *said, size_t length);

/* The signatures are those of generation `now` from here on. delta: their table, 8-byte aligned, needed during the call
 * only; NULL: there is none. */
void kav_recall_renew(kav_recall *r, const uint8_t now[16], const void *delta, size_t length);

void kav_recall_forget(kav_recall *r);

#endif
