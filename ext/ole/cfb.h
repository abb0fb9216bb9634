/* Cfb: a compound file (OLE2), the small file system in which Word, Excel, PowerPoint and MSI keep their streams.
 *
 *     header | sector 0 | sector 1 | ...        directory: a tree of storages and streams
 *     DIFAT -> FAT sectors -> chain of each stream of 4096 bytes and more, of the directory, of the mini FAT,
 *                             and of the mini stream, which holds the shorter streams in sectors of 64 bytes
 *
 * Every number in it may lie. A chain visits a sector once and ends at the first it knows, so no chain is longer than
 * the file; an entry of the directory is listed once, and only if the tree leads to it, as for those who open the file.
 */
#ifndef KAV_CFB_H
#define KAV_CFB_H

#include "opener.h"

#include <stdbool.h>

#define KAV_CFB_NAME 32 /* UTF-16 units of a name, its NUL among them */

enum kav_cfb_kind { KAV_CFB_STORAGE = 1, KAV_CFB_STREAM = 2, KAV_CFB_ROOT = 5 };

typedef struct {
    uint16_t name[KAV_CFB_NAME];
    uint8_t name_len; /* units, without the NUL */
    uint8_t kind;     /* enum kav_cfb_kind */
    uint32_t parent;  /* in the list; the root, 0, is its own */
    uint32_t start;   /* first sector */
    uint64_t size;
} kav_cfb_entry;

typedef struct kav_cfb kav_cfb;

/* Open one; u is told of damage, and keeps the time. Returns 0; -ENOMEM; KAV_OPEN_NOT_MINE when no reader would open
 * it: what stands in the header is nonsense, or there is no directory. */
int kav_cfb_open(kav_cfb **out, const kav_source *source, kav_unpack *u);
void kav_cfb_close(kav_cfb *c);

/* What the tree leads to: entry 0 is the root, and parents stand before their children. */
const kav_cfb_entry *kav_cfb_entries(const kav_cfb *c, uint32_t *count);

/* Takes the bytes of a stream; false: no more are wanted. */
typedef bool (*kav_cfb_taker)(void *context, const uint8_t *bytes, size_t len);

/* Read a stream from its beginning. Returns KAV_R_* bits: DAMAGED where the chain ends too early. */
uint32_t kav_cfb_read(kav_cfb *c, const kav_cfb_entry *e, kav_cfb_taker take, void *context);

/* Read at most max bytes of a stream into memory, which the caller frees; *bytes is NULL when there are none. Returns
 * KAV_R_* bits, KAV_R_SIZE where max was not enough. */
uint32_t kav_cfb_load(kav_cfb *c, const kav_cfb_entry *e, uint64_t max, uint8_t **bytes, size_t *len);

/* Whether an entry has this name, capitals or not. */
bool kav_cfb_named(const kav_cfb_entry *e, const char *name);

/* The stream of this name (capitals or not) in a storage, or NULL. */
const kav_cfb_entry *kav_cfb_find(const kav_cfb *c, uint32_t parent, const uint16_t *name, size_t name_len);

/* The path of an entry for reports, UTF-8, storages before it set off by slashes; cut where room ends. Returns its
 * length. Names of MSI, which hold two letters in a unit, are made readable. */
#define KAV_CFB_PATH 512
size_t kav_cfb_path(const kav_cfb *c, const kav_cfb_entry *e, char path[KAV_CFB_PATH]);

/* UTF-8 of UTF-16, cut where room ends. Returns its length. */
size_t kav_utf8_from_utf16(const uint16_t *units, size_t count, char *out, size_t room);

#endif
