#define _GNU_SOURCE
#include "walker.h"

#include "lease.h"
#include "open.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void count_bytes(const kav_lister *lister, const struct statx *st)
{
    kav_slot *slot = lister->walker->outlet.sink->slot;
    if (slot) __atomic_fetch_add(&slot->bytes, st->stx_size, __ATOMIC_RELAXED);
}

/* Judge what was opened, not what was listed: the name may mean something else by now. */
static uint8_t kind_of_opened(const kav_lister *lister, const kav_node *node, const struct statx *st)
{
    if (S_ISDIR(st->stx_mode)) return KAV_E_VANISHED;
    if (!S_ISREG(st->stx_mode)) return KAV_E_SPECIAL;
    if (node && kav_mount(st) != node->mount) return KAV_E_SUBMOUNT;
    if (node && kav_is_store(lister->walker, st)) return KAV_E_STORE;
    return KAV_E_FILE;
}

/* Where inodes have no room for more than seconds (ext4 with small ones), a clock that is set back and waited for gives
 * new bytes the times of old ones. */
static bool has_fine_times(const struct statx *st)
{
    return st->stx_ctime.tv_nsec != 0;
}

/* What a store needs to know of an open file in the directory in hand. */
static void mark(kav_lister *lister, const kav_asked *asked, const struct statx *st, int fd, kav_entry *entry)
{
    if (!lister->placed || kav_dev(st) != lister->dev || kav_mount(st) != lister->mount) return;
    /* A root may be a link, and then lies elsewhere. */
    if (entry->flags & KAV_EF_ROOT && asked->id.ino != st->stx_ino) return;
    kav_note_time(lister, st); /* of no other file system: whoever made that may have chosen its times */
    memcpy(entry->place, lister->place, sizeof entry->place);
    const kav_walk_options *options = lister->walker->options;
    bool trusted = options->trusted && has_fine_times(st) && !(options->distrust && kav_others_write(st));
    if (trusted && kav_unwritten(fd, st)) entry->flags |= KAV_EF_KEEP;
    kav_identity id = kav_identity_of(st);
    if (asked->delta && memcmp(&id, &asked->id, sizeof id) == 0) entry->delta = asked->delta;
}

/* Send what has been opened, or say why it was not; *fd* may be -errno. *asked* is NULL for what does not lie in the
 * directory in hand. */
static void send_file(kav_lister *lister, const kav_node *node, const kav_where *where, int fd, uint8_t flags,
                      const kav_asked *asked)
{
    struct statx st;
    if (fd < 0) {
        kav_tell(lister, where, node ? kav_kind_of_failure(fd) : KAV_E_ERROR, flags, fd, NULL);
        return;
    }
    int error = kav_identify(fd, &st);
    uint8_t kind = error ? KAV_E_ERROR : kind_of_opened(lister, node, &st);
    if (kind != KAV_E_FILE) {
        close(fd);
        kav_tell(lister, where, kind, flags, error, error ? NULL : &st);
        return;
    }
    if (st.stx_nlink > 1) flags |= KAV_EF_DEDUP;
    kav_entry entry = {.kind = KAV_E_FILE, .flags = flags};
    kav_describe(&entry, &st);
    if (asked) mark(lister, asked, &st, fd, &entry);
    if (lister->walker->options->cold && st.stx_size > 0 && kav_is_cold(fd)) entry.flags |= KAV_EF_COLD;
    kav_send(lister, &entry, where, fd);
}

/* Whether to open once more, and patiently: our own batch may be what fills the table of descriptors, and it must not
 * lie here while a lease is waited for; so it is sent. */
static bool once_more(kav_lister *lister, int fd)
{
    if (fd != -EMFILE && fd != -ENFILE && fd != -EAGAIN) return false;
    kav_flush(lister);
    return true;
}

void kav_meet_file(kav_lister *lister, const kav_node *node, int dirfd, const kav_where *where)
{
    if (lister->walker->options->count_only) {
        struct statx st;
        int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW;
        if (statx(dirfd, where->name, flags, KAV_STATX_MASK, &st) == 0) count_bytes(lister, &st);
        return;
    }
    kav_asked asked = {.delta = 0};
    if (lister->asks && kav_ask(lister, dirfd, where, &asked)) return;
    kav_beat(lister);
    int fd = kav_open_file(dirfd, where->name, false, false);
    if (once_more(lister, fd)) fd = kav_open_file(dirfd, where->name, false, true);
    send_file(lister, node, where, fd, 0, &asked);
}

void kav_meet_root(kav_lister *lister, kav_node *node, const struct statx *seen)
{
    kav_where where = {0, "", 0, node->name, node->name_len};
    kav_asked asked = {.delta = 0};
    if (lister->walker->options->count_only) {
        count_bytes(lister, seen);
        return;
    }
    size_t dir_len;
    int dirfd = kav_enter_among(lister, node, seen, &dir_len);
    kav_walker_beat(lister->walker, 0);
    if (dirfd >= 0) {
        kav_where there = {0, node->name, dir_len, node->name + dir_len, node->name_len - dir_len};
        bool known = kav_ask(lister, dirfd, &there, &asked);
        close(dirfd);
        kav_ask_end(lister);
        if (known) return;
    }
    int fd = kav_open_file(AT_FDCWD, node->name, true, false);
    if (once_more(lister, fd)) fd = kav_open_file(AT_FDCWD, node->name, true, true);
    send_file(lister, NULL, &where, fd, KAV_EF_ROOT | KAV_EF_DEDUP, dirfd >= 0 ? &asked : NULL);
}

void kav_meet_looked(kav_lister *lister, const kav_node *node, const kav_where *where, int looked)
{
    if (lister->walker->options->count_only) {
        struct statx st;
        if (kav_identify(looked, &st) == 0) count_bytes(lister, &st);
        return;
    }
    int fd = kav_open_looked(looked, false);
    if (once_more(lister, fd)) fd = kav_open_looked(looked, true);
    send_file(lister, node, where, fd, KAV_EF_DEDUP, NULL);
}
