/* Floor: the least that a scan of these files can cost. A plain C program that opens, reads, digests and matches.
 *
 *     floor build LITERALS DATABASES        compile the literals, one Vectorscan database per target type
 *     floor scan DATABASES THREADS WORK < LIST
 *
 * The latter scans the files named in LIST (NUL-separated) and prints what it took. WORK is what is done with the bytes
 * that were read: "match", "sha256", "md5", or several of them with commas between.
 *
 * It shares no line with kavfs and does nothing a scan could leave out: no directory is listed (LIST is made before the
 * clock starts), no hit is verified, nothing is unpacked, nothing is reported. LITERALS has lines "target flags hex"
 * (benchmarks/literals.py); the database of a target holds its literals and those for any target. The time of kavfs is
 * given as a multiple of the seconds printed here.
 */
#define _GNU_SOURCE
#include "floor.h"
#include <fcntl.h>
#include <hs.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TARGETS = 13, WINDOW = 1 << 20, OVERLAP = 64, KINDS = 2 };
enum { ANY, PE, OLE2, HTML, MAIL, GRAPHICS, ELF, TEXT, MACHO = 9, PDF, FLASH, JAVA };

/* ---- build ----------------------------------------------------------------------------------------------------- */

typedef struct {
    char *bytes;
    size_t len;
    unsigned target, flags;
} literal;

static size_t read_literals(const char *path, literal **out)
{
    FILE *f = fopen(path, "r");
    if (!f) die(path);
    size_t count = 0, room = 0;
    literal *all = NULL;
    unsigned target;
    char kind, hex[2 * OVERLAP + 1];
    while (fscanf(f, "%u %c %128s", &target, &kind, hex) == 3) {
        if (target >= TARGETS) continue;
        if (count == room) all = must(realloc(all, (room = room ? room * 2 : 4096) * sizeof *all));
        literal *l = &all[count++];
        *l = (literal){must(malloc(OVERLAP)), strlen(hex) / 2, target, kind == 'i' ? HS_FLAG_CASELESS : 0};
        for (size_t i = 0; i < l->len; i++) {
            unsigned byte;
            sscanf(hex + 2 * i, "%2x", &byte);
            l->bytes[i] = (char)byte;
        }
    }
    fclose(f);
    *out = all;
    return count;
}

static void build_one(const literal *all, size_t count, unsigned target, const char *folder)
{
    const char **text = must(malloc((count + 1) * sizeof *text));
    size_t *len = must(malloc((count + 1) * sizeof *len));
    unsigned *flags = must(malloc((count + 1) * sizeof *flags));
    unsigned *id = must(malloc((count + 1) * sizeof *id)), n = 0;
    for (size_t i = 0; i < count; i++) {
        if (all[i].target != target && all[i].target != ANY) continue;
        text[n] = all[i].bytes;
        len[n] = all[i].len;
        flags[n] = all[i].flags;
        id[n++] = (unsigned)i;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/%u.hs", folder, target);
    FILE *f = fopen(path, "w");
    if (!f) die(path);
    if (n) {
        hs_database_t *db;
        hs_compile_error_t *error;
        char *blob;
        size_t size;
        if (hs_compile_lit_multi(text, flags, id, len, n, HS_MODE_BLOCK, NULL, &db, &error)) {
            fprintf(stderr, "floor: target %u: %s\n", target, error->message);
            exit(1);
        }
        if (hs_serialize_database(db, &blob, &size)) die("hs_serialize_database");
        if (fwrite(blob, 1, size, f) != size) die(path);
        free(blob);
        hs_free_database(db);
    }
    if (fclose(f)) die(path);
    free(text);
    free(len);
    free(flags);
    free(id);
}

static int build(const char *literals, const char *folder)
{
    literal *all;
    size_t count = read_literals(literals, &all);
    for (unsigned target = 0; target < TARGETS; target++) build_one(all, count, target, folder);
    printf("{\"literals\": %zu}\n", count);
    return 0;
}

/* ---- scan ------------------------------------------------------------------------------------------------------ */

typedef struct {
    hs_database_t *database[TARGETS]; /* NULL: no literal at all */
    char **paths;
    size_t count;
    atomic_size_t next;
    const EVP_MD *kinds[KINDS]; /* digests that are computed */
    unsigned kind_count;
} work;

typedef struct {
    work *work;
    hs_scratch_t *scratch;
    EVP_MD_CTX *digest[KINDS];
    unsigned char *buffer;
    unsigned long long files, bytes, hits, failed, digests; /* digests: so that no digest can be optimised away */
} hand;

static int on_hit(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *context)
{
    (void)id, (void)from, (void)to, (void)flags;
    ++*(unsigned long long *)context;
    return 0;
}

static int is_text(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len && i < 512; i++)
        if (p[i] < 9 || (p[i] > 13 && p[i] < 32 && p[i] != 27)) return 0;
    return len > 0;
}

static unsigned target_of(const unsigned char *p, size_t len)
{
    static const struct {
        const char *magic;
        unsigned len, target;
    } table[] = {{"\x7f"
                  "ELF",
                  4, ELF},
                 {"MZ", 2, PE},
                 {"\xd0\xcf\x11\xe0", 4, OLE2},
                 {"%PDF-", 5, PDF},
                 {"\x89PNG", 4, GRAPHICS},
                 {"\xff\xd8\xff", 3, GRAPHICS},
                 {"GIF8", 4, GRAPHICS},
                 {"FWS", 3, FLASH},
                 {"CWS", 3, FLASH},
                 {"\xca\xfe\xba\xbe", 4, JAVA},
                 {"\xfe\xed\xfa", 3, MACHO},
                 {"\xce\xfa\xed\xfe", 4, MACHO},
                 {"\xcf\xfa\xed\xfe", 4, MACHO},
                 {"From: ", 6, MAIL},
                 {"Received: ", 10, MAIL},
                 {"Return-Path: ", 13, MAIL},
                 {"<html", 5, HTML},
                 {"<!DOCTYPE html", 14, HTML},
                 {"<!doctype html", 14, HTML}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (len >= table[i].len && !memcmp(p, table[i].magic, table[i].len)) return table[i].target;
    return is_text(p, len) ? TEXT : ANY;
}

/* Read, digest and match one file in windows that overlap by the longest literal. */
static void scan_file(hand *h, const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        h->failed++;
        return;
    }
    const hs_database_t *db = NULL;
    size_t kept = 0;
    int first = 1;
    for (unsigned k = 0; k < h->work->kind_count; k++) EVP_DigestInit_ex(h->digest[k], NULL, NULL);
    for (;;) {
        ssize_t got = read(fd, h->buffer + kept, WINDOW);
        if (got <= 0) break;
        for (unsigned k = 0; k < h->work->kind_count; k++)
            EVP_DigestUpdate(h->digest[k], h->buffer + kept, (size_t)got);
        if (first) db = h->work->database[target_of(h->buffer, (size_t)got)];
        size_t have = kept + (size_t)got;
        if (db && hs_scan(db, (const char *)h->buffer, (unsigned)have, 0, h->scratch, on_hit, &h->hits)) die("hs_scan");
        kept = have < OVERLAP ? have : OVERLAP;
        memmove(h->buffer, h->buffer + have - kept, kept);
        h->bytes += (size_t)got;
        first = 0;
    }
    for (unsigned k = 0; k < h->work->kind_count; k++) {
        unsigned char sum[EVP_MAX_MD_SIZE];
        EVP_DigestFinal_ex(h->digest[k], sum, NULL);
        h->digests += sum[0];
    }
    h->files++;
    close(fd);
}

static void *run(void *argument)
{
    hand *h = argument;
    size_t i;
    while ((i = atomic_fetch_add(&h->work->next, 1)) < h->work->count) scan_file(h, h->work->paths[i]);
    return NULL;
}

static void read_list(work *w)
{
    size_t room = 0, n;
    char *path = NULL;
    while (getdelim(&path, &n, 0, stdin) > 0) {
        if (w->count == room) w->paths = must(realloc(w->paths, (room = room ? room * 2 : 4096) * sizeof *w->paths));
        w->paths[w->count++] = path;
        path = NULL;
    }
}

static void load(work *w, const char *folder)
{
    for (unsigned target = 0; target < TARGETS; target++) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof path, "%s/%u.hs", folder, target);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st)) die(path);
        if (st.st_size) {
            char *blob = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
            if (blob == MAP_FAILED) die(path);
            if (hs_deserialize_database(blob, (size_t)st.st_size, &w->database[target])) die("hs_deserialize_database");
            munmap(blob, (size_t)st.st_size);
        }
        close(fd);
    }
}

static void prepare(hand *h, work *w)
{
    h->work = w;
    for (unsigned target = 0; target < TARGETS; target++)
        if (w->database[target] && hs_alloc_scratch(w->database[target], &h->scratch)) die("hs_alloc_scratch");
    for (unsigned k = 0; k < w->kind_count; k++) {
        h->digest[k] = must(EVP_MD_CTX_new());
        if (!EVP_DigestInit_ex(h->digest[k], w->kinds[k], NULL)) die("digest");
    }
    h->buffer = must(malloc(WINDOW + OVERLAP));
}

/* What WORK asks for; false for a word that nobody knows. */
static int choose(work *w, char *words, const char *folder)
{
    for (char *word = strtok(words, ","); word; word = strtok(NULL, ",")) {
        if (!strcmp(word, "match")) load(w, folder);
        else if (!strcmp(word, "sha256") && w->kind_count < KINDS) w->kinds[w->kind_count++] = EVP_sha256();
        else if (!strcmp(word, "md5") && w->kind_count < KINDS) w->kinds[w->kind_count++] = EVP_md5();
        else return 0;
    }
    return 1;
}

static int scan(const char *folder, unsigned threads, char *words)
{
    static work w;
    static hand hands[MAX_THREADS];
    pthread_t thread[MAX_THREADS];
    if (!choose(&w, words, folder)) return 2;
    read_list(&w);
    for (unsigned i = 0; i < threads; i++) prepare(&hands[i], &w);
    double start = now();
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, run, &hands[i])) die("pthread_create");
    hand sum = {0};
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        sum.files += hands[i].files;
        sum.bytes += hands[i].bytes;
        sum.hits += hands[i].hits;
        sum.failed += hands[i].failed;
        sum.digests += hands[i].digests;
    }
    double seconds = now() - start;
    printf("{\"seconds\": %.6f, \"files\": %llu, \"bytes\": %llu, \"hits\": %llu, \"failed\": %llu, \"check\": %llu}\n",
           seconds, sum.files, sum.bytes, sum.hits, sum.failed, sum.digests);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "build")) return build(argv[2], argv[3]);
    if (argc == 5 && !strcmp(argv[1], "scan")) return scan(argv[2], thread_count(argv[3]), argv[4]);
    fprintf(stderr, "usage: floor build LITERALS DATABASES | floor scan DATABASES THREADS WORK < LIST\n");
    return 2;
}
