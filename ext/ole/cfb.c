#include "cfb_parts.h"
#include "numbers.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HEADER        512
#define DIFAT_IN_HEAD 109
#define SECTORS_MAX   (1u << 25) /* 16 GiB of sectors; Office writes up to 2 GiB */
#define ENTRIES_MAX   (1u << 18)
#define TICK_EVERY    4096u
#define GATHER        (64u << 10)
#define ENTRY_SIZE    128

static bool late(kav_cfb *c)
{
    return ++c->steps % TICK_EVERY == 0 && kav_unpack_tick(c->unpack) != 0;
}

static uint64_t place_of(const kav_cfb *c, uint32_t sector)
{
    return ((uint64_t)sector + 1) << c->shift;
}

/* A number somewhere in the file, through a window of one small sector: tables are read in order. False: not there. */
static bool number_at(kav_cfb *c, uint64_t at, uint32_t *value)
{
    uint64_t from = at & ~(uint64_t)(sizeof c->window - 1);
    if (c->window_len == 0 || c->window_at != from) {
        ssize_t n = kav_source_read(c->source, from, c->window, sizeof c->window);
        if (n < 0) kav_unpack_flag(c->unpack, KAV_R_UNREADABLE);
        c->window_at = from;
        c->window_len = n < 0 ? 0 : (size_t)n;
    }
    if (at - from + 4 > c->window_len) return false;
    *value = kav_le32(c->window + (at - from));
    return true;
}

/* What follows a sector in its chain; anything that is no sector ends it. */
static uint32_t next_sector(kav_cfb *c, uint32_t sector)
{
    uint32_t each = 1u << (c->shift - 2), next;
    if (sector / each >= c->fat.count) return KAV_CFB_END;
    uint32_t table = c->fat.sectors[sector / each];
    if (table >= c->sector_count) return KAV_CFB_END;
    return number_at(c, place_of(c, table) + 4 * (uint64_t)(sector % each), &next) ? next : KAV_CFB_END;
}

static uint32_t next_mini(kav_cfb *c, uint32_t mini)
{
    uint32_t each = 1u << (c->shift - 2), next;
    if (mini / each >= c->minifat.count) return KAV_CFB_END;
    uint64_t at = place_of(c, c->minifat.sectors[mini / each]) + 4 * (uint64_t)(mini % each);
    return number_at(c, at, &next) ? next : KAV_CFB_END;
}

/* Note a sector of the chain in hand. False: it was there before. */
static bool visit(kav_cfb *c, uint32_t sector)
{
    uint8_t bit = (uint8_t)(1u << sector % 8);
    if (c->visited[sector / 8] & bit) return false;
    c->visited[sector / 8] |= bit;
    return true;
}

static bool append(kav_cfb_list *list, uint32_t sector)
{
    if (list->count == list->room) {
        uint32_t room = list->room == 0 ? 64 : list->room * 2;
        uint32_t *larger = realloc(list->sectors, (size_t)room * sizeof *larger);
        if (larger == NULL) return false;
        list->sectors = larger;
        list->room = room;
    }
    list->sectors[list->count++] = sector;
    return true;
}

/* All sectors of a chain. 0 or -ENOMEM. */
static int list_chain(kav_cfb *c, uint32_t sector, kav_cfb_list *list)
{
    int rc = 0;
    while (rc == 0 && sector < c->sector_count && visit(c, sector)) {
        if (!append(list, sector)) rc = -ENOMEM;
        if (late(c)) break;
        sector = next_sector(c, sector);
    }
    for (uint32_t i = 0; i < list->count; i++) c->visited[list->sectors[i] / 8] = 0;
    if (sector < c->sector_count) c->visited[sector / 8] = 0; /* the one that could not be appended */
    return rc;
}

/* Where the sectors of the FAT are: the first 109 in the header, the others in a chain of sectors of their own, which
 * ends with the last that the file has room for. */
static int list_fat(kav_cfb *c, const uint8_t *head)
{
    uint32_t each = 1u << (c->shift - 2), needed = (c->sector_count + each - 1) / each, place;
    uint32_t sector = kav_le32(head + 68);
    for (uint32_t i = 0; i < DIFAT_IN_HEAD && c->fat.count < needed; i++)
        if (!append(&c->fat, kav_le32(head + 76 + 4 * i))) return -ENOMEM;
    while (c->fat.count < needed && sector < c->sector_count) {
        for (uint32_t i = 0; i + 1 < each && c->fat.count < needed; i++) {
            if (!number_at(c, place_of(c, sector) + 4 * (uint64_t)i, &place)) place = KAV_CFB_END;
            if (!append(&c->fat, place)) return -ENOMEM;
        }
        if (late(c) || !number_at(c, place_of(c, sector) + 4 * (uint64_t)(each - 1), &sector)) break;
    }
    return 0;
}

/* Read an entry of the directory. False: it is unused or not there. */
static bool read_entry(kav_cfb *c, uint32_t index, kav_cfb_entry *e, uint32_t links[3])
{
    uint8_t raw[ENTRY_SIZE];
    uint32_t each = (1u << c->shift) / ENTRY_SIZE;
    if (index / each >= c->directory.count) return false;
    uint64_t at = place_of(c, c->directory.sectors[index / each]) + (uint64_t)(index % each) * ENTRY_SIZE;
    if (kav_source_read(c->source, at, raw, sizeof raw) != sizeof raw) return false;
    memset(e, 0, sizeof *e);
    e->kind = raw[66];
    if (e->kind != KAV_CFB_STORAGE && e->kind != KAV_CFB_STREAM && e->kind != KAV_CFB_ROOT) return false;
    uint32_t bytes = kav_le16(raw + 64);
    for (uint32_t i = 0; i < KAV_CFB_NAME && 2 * i + 2 < bytes; i++) e->name[e->name_len++] = kav_le16(raw + 2 * i);
    e->start = kav_le32(raw + 116);
    e->size = kav_le32(raw + 120); /* the upper half means nothing where sectors are small */
    if (c->shift > 9) e->size |= (uint64_t)kav_le32(raw + 124) << 32;
    links[0] = kav_le32(raw + 68);
    links[1] = kav_le32(raw + 72);
    links[2] = kav_le32(raw + 76);
    return true;
}

typedef struct {
    uint32_t index, parent;
} branch;

/* Put a branch of the tree on the stack, unless it is there already or has been. */
static void push(branch *stack, uint32_t *depth, uint8_t *seen, uint32_t count, uint32_t index, uint32_t parent)
{
    if (index >= count || seen[index]) return;
    seen[index] = 1;
    stack[(*depth)++] = (branch){index, parent};
}

static int add_entry(kav_cfb *c, const kav_cfb_entry *e)
{
    if (c->entry_count == c->entry_room) {
        uint32_t room = c->entry_room == 0 ? 32 : c->entry_room * 2;
        kav_cfb_entry *larger = realloc(c->entries, (size_t)room * sizeof *larger);
        if (larger == NULL) return -ENOMEM;
        c->entries = larger;
        c->entry_room = room;
    }
    c->entries[c->entry_count++] = *e;
    return 0;
}

/* Everything that the tree leads to. */
static int walk(kav_cfb *c, branch *stack, uint8_t *seen, uint32_t count)
{
    uint32_t depth = 0, links[3];
    push(stack, &depth, seen, count, 0, 0);
    while (depth > 0) {
        branch b = stack[--depth];
        kav_cfb_entry e;
        if (late(c)) break;
        if (!read_entry(c, b.index, &e, links)) continue;
        if ((e.kind == KAV_CFB_ROOT) != (b.index == 0)) continue;
        e.parent = b.parent;
        if (add_entry(c, &e) != 0) return -ENOMEM;
        push(stack, &depth, seen, count, links[0], b.parent);
        push(stack, &depth, seen, count, links[1], b.parent);
        push(stack, &depth, seen, count, links[2], e.kind == KAV_CFB_STREAM ? b.parent : c->entry_count - 1);
    }
    return 0;
}

static int list_entries(kav_cfb *c)
{
    uint32_t each = (1u << c->shift) / ENTRY_SIZE;
    uint64_t count = (uint64_t)c->directory.count * each;
    if (count > ENTRIES_MAX) {
        count = ENTRIES_MAX;
        kav_unpack_flag(c->unpack, KAV_R_MEMBERS);
    }
    branch *stack = malloc((size_t)(count + 1) * sizeof *stack);
    uint8_t *seen = calloc((size_t)count + 1, 1);
    int rc = stack == NULL || seen == NULL ? -ENOMEM : walk(c, stack, seen, (uint32_t)count);
    free(stack);
    free(seen);
    return rc;
}

/* Take the numbers of the header. False: no reader would open that. */
static bool take_header(kav_cfb *c, const uint8_t *head)
{
    c->shift = kav_le16(head + 30);
    c->mini_shift = kav_le16(head + 32);
    c->cutoff = kav_le32(head + 56);
    if (c->shift < 9 || c->shift > 16 || c->mini_shift < 2 || c->mini_shift > c->shift) return false;
    uint64_t sector = 1ull << c->shift;
    if (c->source->size <= sector) return false;
    uint64_t count = (c->source->size - 1) >> c->shift; /* the last may be cut short */
    c->sector_count = count < SECTORS_MAX ? (uint32_t)count : SECTORS_MAX;
    return true;
}

static int load(kav_cfb *c, const uint8_t *head)
{
    uint64_t minis = (uint64_t)c->sector_count << (c->shift - c->mini_shift);
    c->visited_len = (size_t)(minis / 8 + 1);
    if ((c->visited = calloc(c->visited_len, 1)) == NULL) return -ENOMEM;
    if (list_fat(c, head) != 0 || list_chain(c, kav_le32(head + 48), &c->directory) != 0) return -ENOMEM;
    if (list_entries(c) != 0) return -ENOMEM;
    if (c->entry_count == 0) return KAV_OPEN_NOT_MINE;
    if (list_chain(c, kav_le32(head + 60), &c->minifat) != 0) return -ENOMEM;
    return list_chain(c, c->entries[0].start, &c->ministream);
}

int kav_cfb_open(kav_cfb **out, const kav_source *source, kav_unpack *u)
{
    static const uint8_t magic[8] = {0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1};
    uint8_t head[HEADER];
    *out = NULL;
    if (kav_source_read(source, 0, head, sizeof head) != sizeof head) return KAV_OPEN_NOT_MINE;
    if (memcmp(head, magic, sizeof magic) != 0) return KAV_OPEN_NOT_MINE;
    kav_cfb *c = malloc(sizeof *c);
    if (c == NULL) return -ENOMEM;
    memset(c, 0, offsetof(kav_cfb, window));
    c->source = source;
    c->unpack = u;
    int rc = take_header(c, head) ? load(c, head) : KAV_OPEN_NOT_MINE;
    if (rc != 0) kav_cfb_close(c);
    else *out = c;
    return rc;
}

void kav_cfb_close(kav_cfb *c)
{
    if (c == NULL) return;
    free(c->fat.sectors);
    free(c->directory.sectors);
    free(c->minifat.sectors);
    free(c->ministream.sectors);
    free(c->visited);
    free(c->entries);
    free(c);
}

/* A chain while it is read. */
typedef struct {
    kav_cfb *c;
    bool mini;
    uint32_t first, sector;
    uint64_t walked; /* sectors */
} chain;

/* Where the sector in hand lies, and go on to the next. False: the chain is over. */
static bool step(chain *h, uint64_t *at, uint32_t *len)
{
    kav_cfb *c = h->c;
    uint32_t per = c->shift - c->mini_shift;
    uint64_t count = h->mini ? (uint64_t)c->ministream.count << per : c->sector_count;
    if (h->sector >= count || !visit(c, h->sector)) return false;
    h->walked++;
    if (h->mini) {
        *at = place_of(c, c->ministream.sectors[h->sector >> per]);
        *at += (uint64_t)(h->sector & ((1u << per) - 1)) << c->mini_shift;
        *len = 1u << c->mini_shift;
        h->sector = next_mini(c, h->sector);
    } else {
        *at = place_of(c, h->sector);
        *len = 1u << c->shift;
        h->sector = next_sector(c, h->sector);
    }
    return true;
}

/* Forget what the chain has visited, by walking it again: chains are many and the table is large. A file that changes
 * meanwhile can lead elsewhere, but not outside the table. */
static void forget(chain *h)
{
    uint32_t sector = h->first;
    for (uint64_t i = 0; i < h->walked; i++) {
        if (sector / 8 >= h->c->visited_len) return;
        h->c->visited[sector / 8] = 0;
        sector = h->mini ? next_mini(h->c, sector) : next_sector(h->c, sector);
    }
}

/* Hand on a stretch of the file; what lies behind its end reads as zeros, as it does for Office. False: stop. */
static bool give(kav_cfb *c, uint64_t at, uint32_t len, kav_cfb_taker take, void *context, uint32_t *reasons)
{
    if (len == 0) return true;
    ssize_t n = kav_source_read(c->source, at, c->gather, len);
    if (n < (ssize_t)len) *reasons |= n < 0 ? KAV_R_UNREADABLE : KAV_R_DAMAGED;
    if (n <= 0) return false;
    memset(c->gather + n, 0, len - (size_t)n);
    return take(context, c->gather, len);
}

uint32_t kav_cfb_read(kav_cfb *c, const kav_cfb_entry *e, kav_cfb_taker take, void *context)
{
    chain h = {.c = c, .mini = e->size < c->cutoff, .first = e->start, .sector = e->start};
    uint64_t left = e->size, from = 0, at;
    uint32_t held = 0, len, reasons = 0;
    bool going = true;
    while (going && left > 0 && step(&h, &at, &len)) {
        if (len > left) len = (uint32_t)left;
        if (held > 0 && (from + held != at || held + len > GATHER)) {
            going = give(c, from, held, take, context, &reasons);
            held = 0;
        }
        if (held == 0) from = at;
        held += len;
        left -= len;
        if (late(c)) going = false;
    }
    if (going) going = give(c, from, held, take, context, &reasons);
    if (going && left > 0) reasons |= KAV_R_DAMAGED;
    forget(&h);
    return reasons;
}

typedef struct {
    uint8_t *bytes;
    size_t len, room;
    uint64_t max;
    uint32_t reasons;
} loading;

static bool hold(void *context, const uint8_t *bytes, size_t len)
{
    loading *l = context;
    size_t want = len;
    if (l->max - l->len < want) {
        want = (size_t)(l->max - l->len);
        l->reasons |= KAV_R_SIZE;
    }
    if (l->room - l->len < want) {
        size_t room = 2 * (l->len + want);
        uint8_t *larger = realloc(l->bytes, room);
        if (larger == NULL) {
            l->reasons |= KAV_R_MEMORY;
            return false;
        }
        l->bytes = larger;
        l->room = room;
    }
    if (want > 0) memcpy(l->bytes + l->len, bytes, want);
    l->len += want;
    return l->reasons == 0;
}

uint32_t kav_cfb_load(kav_cfb *c, const kav_cfb_entry *e, uint64_t max, uint8_t **bytes, size_t *len)
{
    loading l = {.max = max};
    uint32_t reasons = kav_cfb_read(c, e, hold, &l);
    *bytes = l.bytes;
    *len = l.len;
    return reasons | l.reasons;
}
