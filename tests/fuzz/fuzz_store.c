/* Fuzz: a store of facts with one record that is damaged and yet sealed, as if by somebody who has the key. It is asked
 * for the directory as a walker does, and merged with news as the coordinator does.
 *
 * The input is the record: its head, generations, facts, extras. The first byte of the head's seal decides which of the
 * seals are right. */
#include "cachelayout.h"
#include "lookup.h"
#include "remember.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *count, char ***words);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DIRECTORY = 7, LONGEST = 60000, FILE_BYTES = 1 << 20 };

static const uint8_t secret[KAV_SECRET] = "a key", system_id[16] = "fs", settings[16] = "settings", now[16] = "now";
static char path[] = "/dev/shm/kavfs-fuzz-XXXXXX";
static int folder = -1;
static volatile uint8_t sum;

static void tidy(void)
{
    unlinkat(folder, "store", 0);
    unlinkat(folder, "store.lock", 0);
    unlinkat(folder, "store.new", 0);
    rmdir(path);
}

int LLVMFuzzerInitialize(int *count, char ***words)
{
    (void)count, (void)words;
    if (!mkdtemp(path) || (folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) abort();
    return atexit(tidy);
}

/* The record's place and, unless its first byte says otherwise, its seals made right. */
static void mend(uint8_t *record, size_t size, const uint8_t place[16])
{
    kav_record_head head;
    uint8_t wrong = record[0];
    memcpy(&head, record, sizeof head);
    memcpy(head.place, place, sizeof head.place);
    size_t front = kav_record_front(&head), body = kav_record_body(&head), facts = head.count * sizeof(kav_fact);
    if (head.capacity < size) head.capacity = (uint32_t)size;
    if (head.extras_len && body + head.extras_len <= size && !(wrong & 1)) {
        uint64_t seal = kav_seal(secret, record + body, head.extras_len);
        memcpy(record + front + facts, &seal, sizeof seal);
    }
    if (body <= size && !(wrong & 2)) head.facts_seal = kav_seal(secret, record + front, body - front);
    memcpy(record, &head, sizeof head);
    if (front <= size && !(wrong & 4)) {
        size_t from = offsetof(kav_record_head, place);
        head.seal = kav_seal(secret, record + from, front - from);
        memcpy(record, &head.seal, sizeof head.seal);
    }
}

static void write_at(int fd, const void *bytes, size_t size, uint64_t at)
{
    if (pwrite(fd, bytes, size, (off_t)at) != (ssize_t)size) abort();
}

/* A store in which the record is the only one. */
static int make_store(const uint8_t *record, size_t size, const uint8_t place[16])
{
    int fd = openat(folder, "store", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t begin = kav_cache_records(KAV_SLOTS_MIN);
    kav_cache_stamp stamp = {
        .version = KAV_CACHE_VERSION, .slots = KAV_SLOTS_MIN, .limit = FILE_BYTES, .index = KAV_CACHE_HEADER};
    kav_cache_tally tally = {.end = begin + kav_cache_units(size) * KAV_CACHE_UNIT, .records = 1, .facts = 1};
    if (fd < 0 || ftruncate(fd, (off_t)tally.end)) abort();
    memcpy(stamp.magic, KAV_CACHE_MAGIC, sizeof stamp.magic);
    stamp.seal = kav_seal(secret, &stamp, offsetof(kav_cache_stamp, seal));
    tally.seal = kav_seal(secret, &tally, offsetof(kav_cache_tally, seal));
    write_at(fd, &stamp, sizeof stamp, 0);
    write_at(fd, &tally, sizeof tally, KAV_CACHE_TALLY);
    write_at(fd, record, size, begin);

    kav_cachefile *file;
    kav_cache_slot slot;
    uint64_t at;
    if (kav_cachefile_open(fd, secret, &file) || kav_cachefile_slot(file, place, &slot, &at)) abort();
    kav_cachefile_close(file);
    memcpy(&slot.tag, place, sizeof slot.tag);
    slot.where = begin / KAV_CACHE_UNIT << 24 | kav_cache_units(size);
    write_at(fd, &slot, sizeof slot, at);
    return fd;
}

/* Every file that the record could be about, and one that it is not. */
static void ask(int fd, const uint8_t *record, size_t size)
{
    kav_lookup_options options = {.file = fd, .journal = -1, .settings_count = 1};
    uint8_t place[16];
    memcpy(options.secret, secret, sizeof secret);
    memcpy(options.generation, now, sizeof now);
    memcpy(options.settings[0], settings, sizeof settings);
    kav_lookup *l = kav_lookup_new(&options);
    if (!l) abort();
    if (kav_lookup_dir(l, system_id, DIRECTORY, 0, place)) abort();
    for (size_t at = 0; at + sizeof(kav_identity) <= size; at += sizeof(uint64_t)) {
        kav_identity id;
        kav_known known;
        memcpy(&id, record + at, sizeof id);
        enum kav_answer answer = kav_lookup_file(l, &id, &known);
        if (answer != KAV_A_REPLAY || !known.extra) continue;
        const uint8_t *notes = (const uint8_t *)(known.extra + 1);
        for (uint32_t i = 0; i < known.extra->notes_len + known.extra->layers_len; i++) sum += notes[i];
    }
    kav_lookup_rest rest = kav_lookup_end(l);
    for (uint32_t i = 0; i < rest.gone_count; i++) sum += (uint8_t)rest.gone[i];
    kav_lookup_free(l);
}

/* News of one file that the record has, if it has any, and of another. */
static void merge(const uint8_t *record, size_t size, const uint8_t place[16])
{
    kav_memory_options options = {
        .folder = folder, .name = "store", .size_limit = FILE_BYTES, .start_ns = INT64_MAX / 2, .journal = true};
    memcpy(options.secret, secret, sizeof secret);
    memcpy(options.generation, now, sizeof now);
    kav_memory *m = kav_memory_new(&options);
    if (!m) return; /* the tally says something that cannot be */
    kav_fact fact = {.id = {.ino = 5}};
    kav_memory_add(m, place, 1, &fact, NULL);
    if (size >= sizeof(kav_record_head) + 16 + sizeof fact)
        memcpy(&fact.id.ino, record + sizeof(kav_record_head) + 16, sizeof fact.id.ino);
    kav_memory_add(m, place, 1, &fact, NULL);
    kav_memory_renew(m, place);
    kav_memory_gone(m, place, &fact.id.ino, 1);
    if (kav_memory_flush(m, true) == -EILSEQ) abort();
    kav_memory_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t place[16];
    if (size < sizeof(kav_record_head) || size > LONGEST) return 0;
    uint8_t *record = malloc(size);
    if (!record) return 0;
    memcpy(record, data, size);
    kav_place(secret, system_id, DIRECTORY, 0, settings, place);
    mend(record, size, place);
    int fd = make_store(record, size, place);
    ask(fd, record, size);
    merge(record, size, place);
    ask(fd, record, size);
    close(fd);
    free(record);
    return 0;
}
