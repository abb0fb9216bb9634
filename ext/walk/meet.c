#define _GNU_SOURCE
#include "walker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

/* ---- any entry -------------------------------------------------------------------------------------------------- */

static bool fits_mask(kav_lister *lister, const kav_where *where, int type)
{
    const kav_walk_options *options = lister->walker->options;
    if (options->exclude_mask_count == 0 || type == DT_DIR || type == DT_UNKNOWN) return false;
    memcpy(lister->shown + lister->shown_len, where->name, where->name_len + 1);
    for (size_t i = 0; i < options->exclude_mask_count; i++) {
        const char *mask = options->exclude_masks[i];
        if (fnmatch(mask, strchr(mask, '/') ? lister->shown : where->name, 0) == 0) return true;
    }
    return false;
}

static bool names_excluded_dir(const kav_lister *lister, const kav_where *where)
{
    return kav_paths_has(&lister->excluded[0], where->name, where->name_len) ||
           kav_paths_has(&lister->excluded[1], where->name, where->name_len);
}

/* For file systems that do not tell the type with the name: d_type or -errno. */
static int ask_type(int dirfd, const char *name)
{
    struct statx st;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    return statx(dirfd, name, flags, STATX_TYPE, &st) != 0 ? -errno : (int)IFTODT(st.stx_mode);
}

static kav_node *meet_directory(kav_lister *lister, kav_node *node, const kav_where *where)
{
    if (!lister->walker->options->recurse) return NULL;
    kav_node *child = kav_node_new(node, where->name, where->name_len, 0);
    if (!child) kav_walker_fail(lister->walker, -ENOMEM);
    return child;
}

static kav_node *meet_typed(kav_lister *lister, kav_node *node, int dirfd, const kav_where *where, int type)
{
    if (type == DT_DIR) return meet_directory(lister, node, where);
    if (type == DT_LNK) return kav_meet_link(lister, node, dirfd, where);
    if (type == DT_REG) kav_meet_file(lister, node, dirfd, where);
    else kav_tell(lister, where, KAV_E_SPECIAL, 0, 0, NULL);
    return NULL;
}

kav_node *kav_meet(kav_lister *lister, kav_node *node, int dirfd, const char *name, size_t len, unsigned char d_type)
{
    kav_where where = {lister->dir_id, lister->shown, lister->shown_len, name, len};
    int type = d_type;
    if (lister->shown_len + len + 1 > KAV_PATH_MAX) {
        lister->too_long = true;
        return NULL;
    }
    if (names_excluded_dir(lister, &where) || fits_mask(lister, &where, type)) {
        lister->partial = true;
        kav_tell(lister, &where, KAV_E_EXCLUDED, type == DT_DIR ? KAV_EF_DIR : 0, 0, NULL);
        return NULL;
    }
    if (kav_paths_has(&lister->mounts, name, len)) {
        kav_tell(lister, &where, KAV_E_SUBMOUNT, type == DT_DIR ? KAV_EF_DIR : 0, 0, NULL);
        return NULL;
    }
    if (type != DT_UNKNOWN) return meet_typed(lister, node, dirfd, &where, type);
    lister->partial = true; /* not worth telling apart on file systems that no store trusts */
    type = ask_type(dirfd, name);
    if (type < 0) kav_tell(lister, &where, kav_kind_of_failure(type), 0, type, NULL);
    else if (fits_mask(lister, &where, type)) kav_tell(lister, &where, KAV_E_EXCLUDED, 0, 0, NULL);
    else return meet_typed(lister, node, dirfd, &where, type);
    return NULL;
}
