#define _GNU_SOURCE
#include "walker.h"

#include "open.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <unistd.h>

/* ---- what is sent ----------------------------------------------------------------------------------------------- */

void kav_flush(kav_lister *lister)
{
    kav_walker *walker = lister->walker;
    int error = kav_outlet_send(&walker->outlet, &lister->batch);
    if (error) kav_walker_fail(walker, error);
    kav_walker_beat(walker, 0);
}

static void send(kav_lister *lister, const kav_entry *entry, const kav_place *place, int fd)
{
    if (!kav_batch_fits(&lister->batch, place)) kav_flush(lister);
    kav_batch_add(&lister->batch, entry, place, fd);
    if (kav_batch_full(&lister->batch)) kav_flush(lister);
}

static int64_t nanoseconds(struct statx_timestamp time)
{
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)time.tv_sec, (int64_t)1000000000, &ns) ||
        __builtin_add_overflow(ns, (int64_t)time.tv_nsec, &ns))
        return time.tv_sec < 0 ? INT64_MIN + 1 : INT64_MAX; /* a forged time: beyond the year 2262 */
    return ns;
}

static void describe(kav_entry *entry, const struct statx *st)
{
    entry->dev = kav_dev(st);
    entry->ino = st->stx_ino;
    entry->size = st->stx_size;
    entry->mode = st->stx_mode;
    entry->nlink = st->stx_nlink;
    entry->mtime_ns = nanoseconds(st->stx_mtime);
    entry->ctime_ns = nanoseconds(st->stx_ctime);
    entry->btime_ns = st->stx_mask & STATX_BTIME ? nanoseconds(st->stx_btime) : INT64_MIN;
}

static void describe_nothing(kav_entry *entry)
{
    entry->mtime_ns = entry->ctime_ns = entry->btime_ns = INT64_MIN;
}

void kav_tell(kav_lister *lister, const kav_place *place, uint8_t kind, uint8_t flags, int error,
              const struct statx *st)
{
    if (lister->walker->options->count_only) return;
    kav_entry entry = {.kind = kind, .flags = flags, .error = kind == KAV_E_ERROR ? -error : 0};
    if (st) describe(&entry, st);
    else describe_nothing(&entry);
    send(lister, &entry, place, -1);
}

uint8_t kav_kind_of_failure(int error)
{
    switch (error) {
    case -ENOENT:
    case -ESTALE:  /* gone on a file server */
    case -ENOTDIR: /* was a directory */
    case -ELOOP: /* a link took its place */ return KAV_E_VANISHED;
    case -EXDEV: return KAV_E_SUBMOUNT;
    case -ENXIO: /* a socket took its place, */
    case -ENODEV: /* or a device without driver */ return KAV_E_SPECIAL;
    default: return KAV_E_ERROR;
    }
}

bool kav_is_store(const kav_walker *walker, const struct statx *st)
{
    const uint64_t *pair = walker->options->stores;
    for (size_t i = 0; i < walker->options->store_count; i++, pair += 2)
        if (pair[0] == kav_dev(st) && pair[1] == st->stx_ino) return true;
    return false;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

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

/* Send what has been opened, or say why it was not; *fd* may be -errno. */
static void send_file(kav_lister *lister, const kav_node *node, const kav_place *place, int fd, uint8_t flags)
{
    struct statx st;
    if (fd < 0) {
        kav_tell(lister, place, node ? kav_kind_of_failure(fd) : KAV_E_ERROR, flags, fd, NULL);
        return;
    }
    int error = kav_identify(fd, &st);
    uint8_t kind = error ? KAV_E_ERROR : kind_of_opened(lister, node, &st);
    if (kind != KAV_E_FILE) {
        close(fd);
        kav_tell(lister, place, kind, flags, error, error ? NULL : &st);
        return;
    }
    if (st.stx_nlink > 1) flags |= KAV_EF_DEDUP;
    kav_entry entry = {.kind = KAV_E_FILE, .flags = flags};
    describe(&entry, &st);
    send(lister, &entry, place, fd);
}

/* Whether to open once more, and patiently: our own batch may be what fills the table of descriptors, and it must not
 * lie here while a lease is waited for; so it is sent. */
static bool once_more(kav_lister *lister, int fd)
{
    if (fd != -EMFILE && fd != -ENFILE && fd != -EAGAIN) return false;
    kav_flush(lister);
    return true;
}

void kav_meet_file(kav_lister *lister, const kav_node *node, int dirfd, const kav_place *place)
{
    bool root = !node; /* a root may be a link */
    if (lister->walker->options->count_only) {
        struct statx st;
        int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT | (root ? 0 : AT_SYMLINK_NOFOLLOW);
        if (statx(dirfd, place->name, flags, KAV_STATX_MASK, &st) == 0) count_bytes(lister, &st);
        return;
    }
    int fd = kav_open_file(dirfd, place->name, root, false);
    if (once_more(lister, fd)) fd = kav_open_file(dirfd, place->name, root, true);
    send_file(lister, node, place, fd, root ? KAV_EF_ROOT | KAV_EF_DEDUP : 0);
}

void kav_meet_looked(kav_lister *lister, const kav_node *node, const kav_place *place, int looked)
{
    if (lister->walker->options->count_only) {
        struct statx st;
        if (kav_identify(looked, &st) == 0) count_bytes(lister, &st);
        return;
    }
    int fd = kav_open_looked(looked, false);
    if (once_more(lister, fd)) fd = kav_open_looked(looked, true);
    send_file(lister, node, place, fd, KAV_EF_DEDUP);
}

/* ---- any entry -------------------------------------------------------------------------------------------------- */

static bool fits_mask(kav_lister *lister, const kav_place *place, int type)
{
    const kav_walk_options *options = lister->walker->options;
    if (options->exclude_mask_count == 0 || type == DT_DIR || type == DT_UNKNOWN) return false;
    memcpy(lister->shown + lister->shown_len, place->name, place->name_len + 1);
    for (size_t i = 0; i < options->exclude_mask_count; i++) {
        const char *mask = options->exclude_masks[i];
        if (fnmatch(mask, strchr(mask, '/') ? lister->shown : place->name, 0) == 0) return true;
    }
    return false;
}

static bool names_excluded_dir(const kav_lister *lister, const kav_place *place)
{
    return kav_paths_has(&lister->excluded[0], place->name, place->name_len) ||
           kav_paths_has(&lister->excluded[1], place->name, place->name_len);
}

/* For file systems that do not tell the type with the name: d_type or -errno. */
static int ask_type(int dirfd, const char *name)
{
    struct statx st;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    return statx(dirfd, name, flags, STATX_TYPE, &st) != 0 ? -errno : (int)IFTODT(st.stx_mode);
}

static kav_node *meet_directory(kav_lister *lister, kav_node *node, const kav_place *place)
{
    if (!lister->walker->options->recurse) return NULL;
    kav_node *child = kav_node_new(node, place->name, place->name_len, 0);
    if (!child) kav_walker_fail(lister->walker, -ENOMEM);
    return child;
}

static kav_node *meet_typed(kav_lister *lister, kav_node *node, int dirfd, const kav_place *place, int type)
{
    if (type == DT_DIR) return meet_directory(lister, node, place);
    if (type == DT_LNK) return kav_meet_link(lister, node, dirfd, place);
    if (type == DT_REG) kav_meet_file(lister, node, dirfd, place);
    else kav_tell(lister, place, KAV_E_SPECIAL, 0, 0, NULL);
    return NULL;
}

kav_node *kav_meet(kav_lister *lister, kav_node *node, int dirfd, const char *name, size_t len, unsigned char d_type)
{
    kav_place place = {lister->dir_id, lister->shown, lister->shown_len, name, len};
    int type = d_type;
    if (lister->shown_len + len + 1 > KAV_PATH_MAX) {
        lister->too_long = true;
        return NULL;
    }
    if (names_excluded_dir(lister, &place) || fits_mask(lister, &place, type)) {
        kav_tell(lister, &place, KAV_E_EXCLUDED, type == DT_DIR ? KAV_EF_DIR : 0, 0, NULL);
        return NULL;
    }
    if (kav_paths_has(&lister->mounts, name, len)) {
        kav_tell(lister, &place, KAV_E_SUBMOUNT, type == DT_DIR ? KAV_EF_DIR : 0, 0, NULL);
        return NULL;
    }
    if (type != DT_UNKNOWN) return meet_typed(lister, node, dirfd, &place, type);
    type = ask_type(dirfd, name);
    if (type < 0) kav_tell(lister, &place, kav_kind_of_failure(type), 0, type, NULL);
    else if (fits_mask(lister, &place, type)) kav_tell(lister, &place, KAV_E_EXCLUDED, 0, 0, NULL);
    else return meet_typed(lister, node, dirfd, &place, type);
    return NULL;
}
