#define _GNU_SOURCE
#include "walker.h"

#include "filesystem.h"
#include "open.h"
#include <fcntl.h>
#include <string.h>

/* ---- directories ------------------------------------------------------------------------------------------------ */

/* The digest of the file system on which the directory in hand lies: false = one that is not this walk's, which can be
 * a part of another (overlay) or a subvolume. */
static bool find_file_system(kav_lister *lister, int fd)
{
    const kav_walk_options *options = lister->walker->options;
    if (!options->subvolumes) {
        memcpy(lister->fs, options->fs, sizeof lister->fs);
        return lister->dev == options->fs_dev;
    }
    if (lister->fs_known && lister->fs_dev == lister->dev) return true;
    lister->fs_dev = lister->dev;
    lister->fs_known = kav_subvolume(fd, options->fs, lister->fs) == 0;
    return lister->fs_known;
}

void kav_ask_directory(kav_lister *lister, int fd, const struct statx *st)
{
    lister->placed = lister->asks = lister->partial = false;
    lister->dev = kav_dev(st);
    lister->mount = kav_mount(st);
    kav_note_time(lister, st);
    if (!lister->lookup || !find_file_system(lister, fd)) return;
    int error = kav_lookup_dir(lister->lookup, lister->fs, st->stx_ino, kav_btime(st), lister->place);
    kav_check(lister, error);
    lister->placed = error == 0;
    lister->asks = lister->placed && lister->walker->asks && !kav_lookup_empty(lister->lookup);
}

void kav_ask_rest(kav_lister *lister, const char *dir, size_t dir_len)
{
    kav_outlet *outlet = &lister->walker->outlet;
    if (!lister->asks) return;
    kav_lookup_rest rest = kav_lookup_end(lister->lookup);
    kav_check(lister, kav_unscanned_names(&lister->unscanned, outlet, dir, dir_len));
    if (rest.renew) kav_check(lister, kav_unscanned_renew(&lister->unscanned, outlet, lister->place));
    if (rest.gone_count > 0 && !lister->partial)
        kav_check(lister, kav_unscanned_gone(outlet, lister->place, rest.gone, rest.gone_count));
}

void kav_ask_end(kav_lister *lister)
{
    kav_slot *slot = lister->walker->outlet.sink->slot;
    if (slot && lister->known_files > 0) __atomic_fetch_add(&slot->known, lister->known_files, __ATOMIC_RELAXED);
    lister->known_files = 0;
    if (!slot || lister->newest == INT64_MIN) return;
    int64_t seen = __atomic_load_n(&slot->newest, __ATOMIC_RELAXED);
    while (seen < lister->newest && !__atomic_compare_exchange_n(&slot->newest, &seen, lister->newest, true,
                                                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static void replay(kav_lister *lister, const kav_where *where, const struct statx *st, const kav_known *known)
{
    kav_entry entry = {.kind = KAV_E_FILE, .flags = st->stx_nlink > 1 ? KAV_EF_DEDUP : 0};
    kav_describe(&entry, st);
    memcpy(entry.place, lister->place, sizeof entry.place);
    kav_check(lister, kav_unscanned_replay(&lister->unscanned, &lister->walker->outlet, where, &entry, known));
}

/* A container that is clean and complete holds nothing but clean members: where nobody wants to see clean files it is
 * only counted. */
static bool is_told_by_counting(const kav_lister *lister, const kav_fact *fact)
{
    return !lister->walker->options->names && fact->status == KAV_CLEAN && !fact->reasons &&
           !(fact->flags & KAV_FACT_UNOPENED);
}

static void count(kav_lister *lister, const kav_where *where, uint64_t size, const kav_known *known)
{
    kav_outlet *outlet = &lister->walker->outlet;
    uint32_t members = known->extra ? known->extra->members : 0;
    kav_check(lister, lister->walker->options->names ? kav_unscanned_name(&lister->unscanned, outlet, where, size)
                                                     : kav_unscanned_count(&lister->unscanned, outlet, size, members));
}

bool kav_ask(kav_lister *lister, int dirfd, const kav_where *where, kav_asked *asked)
{
    struct statx st;
    kav_known known;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (statx(dirfd, where->name, flags, KAV_STATX_MASK, &st) != 0 || !S_ISREG(st.stx_mode) ||
        kav_mount(&st) != lister->mount || kav_dev(&st) != lister->dev || kav_is_store(lister->walker, &st)) {
        lister->partial = true; /* opening it will tell what it is */
        return false;
    }
    kav_note_time(lister, &st);
    asked->id = kav_identity_of(&st);
    if (!lister->asks) return false;
    switch (kav_lookup_file(lister->lookup, &asked->id, &known)) {
    case KAV_A_PLAIN: count(lister, where, st.stx_size, &known); break;
    case KAV_A_REPLAY:
        if (is_told_by_counting(lister, known.fact)) count(lister, where, st.stx_size, &known);
        else replay(lister, where, &st, &known);
        break;
    case KAV_A_DELTA: asked->delta = known.row + 1; return false;
    default: return false;
    }
    lister->known_files++;
    return true;
}
