/* The standard security handler, opened with the empty password, of the user or (revision 6) of the owner. */
#define _GNU_SOURCE /* memmem */

#include "filter.h"
#include "hash.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t PADDING[32] = {0x28, 0xbf, 0x4e, 0x5e, 0x4e, 0x75, 0x8a, 0x41, 0x64, 0x00, 0x4e,
                                    0x56, 0xff, 0xfa, 0x01, 0x08, 0x2e, 0x2e, 0x00, 0xb6, 0xd0, 0x68,
                                    0x3e, 0x80, 0x2f, 0x0c, 0xa9, 0xfe, 0x64, 0x53, 0x69, 0x7a};

enum { ID_MAX = 1024, STRING_MAX = 128 };

typedef struct {
    const uint8_t *bytes;
    size_t len;
} dictionary;

typedef struct {
    uint8_t id[ID_MAX];
    size_t id_len;
    int64_t revision, bits, permissions;
    bool metadata;
    uint8_t owner[STRING_MAX], user[STRING_MAX], owner_key[STRING_MAX], user_key[STRING_MAX];
    size_t owner_len, user_len, owner_key_len, user_key_len;
} handler;

static int64_t number(dictionary d, const char *key)
{
    return kav_pdf_number(d.bytes, kav_pdf_value(d.bytes, 0, d.len, key), d.len);
}

/* The string of a key, where a key of which it is only the beginning ("/O" of "/OE") does not count. */
static size_t string(dictionary d, const char *key, uint8_t *out, size_t room)
{
    size_t at = 0, len, end;
    for (;;) {
        const uint8_t *hit = at < d.len ? memmem(d.bytes + at, d.len - at, key, strlen(key)) : NULL;
        if (!hit) return 0;
        at = (size_t)(hit - d.bytes);
        size_t behind = at + strlen(key);
        if (behind < d.len && (d.bytes[behind] == '(' || d.bytes[behind] == '<' || d.bytes[behind] == '[' ||
                               kav_pdf_is_space(d.bytes[behind])))
            break;
        at++;
    }
    uint8_t *value = kav_pdf_string(d.bytes, kav_pdf_value(d.bytes, at, d.len, key), d.len, false, &len, &end);
    if (!value) return 0;
    if (len > room) len = room;
    memcpy(out, value, len);
    free(value);
    return len;
}

/* Key and check of revisions 2 to 4 (ISO 32000-1, algorithms 2, 4 and 5). */
static bool open_old(kav_pdf_lock *lock, const handler *h)
{
    uint8_t seed[32 + 32 + 4 + ID_MAX + 4], hash[16], check[32];
    size_t n = 32;
    if (h->owner_len < 32 || h->user_len < 32) return false;
    memcpy(seed, PADDING, 32);
    memcpy(seed + n, h->owner, 32);
    n += 32;
    for (int i = 0; i < 4; i++) seed[n++] = (uint8_t)((uint64_t)h->permissions >> 8 * i);
    memcpy(seed + n, h->id, h->id_len);
    n += h->id_len;
    if (h->revision >= 4 && !h->metadata) {
        memset(seed + n, 0xff, 4);
        n += 4;
    }
    int64_t bits = h->revision == 2 || h->bits < 40 ? 40 : h->bits > 128 ? 128 : h->bits;
    lock->key_len = (uint8_t)(bits / 8);
    if (!kav_pdf_md5(seed, n, hash)) return false;
    for (int i = 0; h->revision >= 3 && i < 50; i++)
        if (!kav_pdf_md5(hash, lock->key_len, hash)) return false;
    memcpy(lock->key, hash, lock->key_len);
    memcpy(check, PADDING, 32);
    if (h->revision == 2) {
        kav_pdf_rc4(lock->key, lock->key_len, check, 32);
        return memcmp(check, h->user, 32) == 0;
    }
    memcpy(seed, PADDING, 32);
    memcpy(seed + 32, h->id, h->id_len);
    if (!kav_pdf_md5(seed, 32 + h->id_len, check)) return false;
    for (uint8_t i = 0; i < 20; i++) {
        uint8_t key[16];
        for (size_t j = 0; j < lock->key_len; j++) key[j] = lock->key[j] ^ i;
        kav_pdf_rc4(key, lock->key_len, check, 16);
    }
    return memcmp(check, h->user, 16) == 0;
}

static bool hash_new(const handler *h, const uint8_t salt[8], const uint8_t *user, uint8_t out[32])
{
    if (h->revision == 6) return kav_pdf_hash6(salt, user, out);
    uint8_t seed[8 + 48];
    memcpy(seed, salt, 8);
    if (user) memcpy(seed + 8, user, 48);
    return kav_pdf_sha256(seed, user ? 56 : 8, out);
}

/* One of the two ways in of revisions 5 and 6: hash, salt to check with, salt to open with; and the key itself. */
static bool try_new(kav_pdf_lock *lock, const handler *h, const uint8_t *door, const uint8_t *user,
                    const uint8_t *sealed)
{
    static const uint8_t iv[16];
    uint8_t hash[32];
    if (!hash_new(h, door + 32, user, hash) || memcmp(hash, door, 32) != 0) return false;
    if (!hash_new(h, door + 40, user, hash)) return false;
    lock->key_len = 32;
    return kav_pdf_aes_decrypt(hash, 32, iv, sealed, 32, lock->key);
}

static bool open_new(kav_pdf_lock *lock, const handler *h)
{
    if (h->user_len < 48) return false;
    if (h->user_key_len == 32 && try_new(lock, h, h->user, NULL, h->user_key)) return true;
    return h->owner_len >= 48 && h->owner_key_len == 32 && try_new(lock, h, h->owner, h->user, h->owner_key);
}

static uint8_t method_at(dictionary d, size_t filter)
{
    size_t at = kav_pdf_value(d.bytes, filter, d.len, "/CFM");
    if (kav_pdf_names(d.bytes, at, d.len, "/V2")) return KAV_PDF_RC4;
    if (kav_pdf_names(d.bytes, at, d.len, "/AESV2")) return KAV_PDF_AESV2;
    if (kav_pdf_names(d.bytes, at, d.len, "/AESV3")) return KAV_PDF_AESV3;
    return KAV_PDF_PLAIN;
}

/* The cipher of the crypt filter that stands behind a key ("/StmF"); other: where there is no such key. */
static uint8_t method(dictionary d, const char *key, uint8_t other)
{
    size_t at = kav_pdf_value(d.bytes, 0, d.len, key), filters = kav_pdf_value(d.bytes, 0, d.len, "/CF"), end;
    char name[64];
    while (at < d.len && kav_pdf_is_space(d.bytes[at])) at++;
    if (at >= d.len || d.bytes[at] != '/') return other;
    for (end = at + 1; end < d.len && end - at < sizeof name - 1; end++)
        if (kav_pdf_is_space(d.bytes[end]) || strchr("/<>[]()", d.bytes[end])) break;
    memcpy(name, d.bytes + at, end - at);
    name[end - at] = 0;
    if (strcmp(name, "/Identity") == 0) return KAV_PDF_PLAIN;
    const uint8_t *hit = filters < d.len ? memmem(d.bytes + filters, d.len - filters, name, end - at) : NULL;
    return hit ? method_at(d, (size_t)(hit - d.bytes)) : other;
}

static void read_methods(kav_pdf_lock *lock, dictionary d, int64_t revision)
{
    lock->streams = lock->strings = lock->files = KAV_PDF_RC4;
    if (revision < 4) return;
    lock->streams = method(d, "/StmF", KAV_PDF_PLAIN);
    lock->strings = method(d, "/StrF", KAV_PDF_PLAIN);
    lock->files = method(d, "/EFF", lock->streams);
}

static void open_with(kav_pdf *p, handler *h, dictionary d)
{
    const uint8_t *standard = memmem(d.bytes, d.len, "/Standard", 9);
    if (!standard) return;
    /* a /Length in front of /Standard may be that of a crypt filter */
    dictionary behind = {standard, d.len - (size_t)(standard - d.bytes)};
    h->bits = number(behind, "/Length");
    if (h->bits < 0) h->bits = number(d, "/Length");
    h->revision = number(d, "/R");
    h->permissions = number(d, "/P");
    if (h->revision == 4) h->bits = 128;
    size_t at = kav_pdf_value(d.bytes, 0, d.len, "/EncryptMetadata");
    h->metadata = !(d.len - at >= 5 && memcmp(d.bytes + at, "false", 5) == 0);
    h->owner_len = string(d, "/O", h->owner, sizeof h->owner);
    h->user_len = string(d, "/U", h->user, sizeof h->user);
    h->owner_key_len = string(d, "/OE", h->owner_key, sizeof h->owner_key);
    h->user_key_len = string(d, "/UE", h->user_key, sizeof h->user_key);
    read_methods(&p->lock, d, h->revision);
    if (h->revision >= 2 && h->revision <= 4) p->lock.open = open_old(&p->lock, h);
    if (h->revision == 5 || h->revision == 6) p->lock.open = open_new(&p->lock, h);
}

/* A trailer, or the dictionary of a table of contents that is a stream. False: nothing in it about encryption. */
static bool read_trailer(kav_pdf *p, dictionary trailer)
{
    size_t at = 0;
    uint32_t id;
    do { /* not /EncryptMetadata */
        const uint8_t *hit = at < trailer.len ? memmem(trailer.bytes + at, trailer.len - at, "/Encrypt", 8) : NULL;
        if (!hit) return false;
        at = (size_t)(hit - trailer.bytes) + 8;
    } while (at < trailer.len && trailer.bytes[at] == 'M');
    handler h = {.metadata = true};
    h.id_len = string(trailer, "/ID", h.id, sizeof h.id);
    size_t value = kav_pdf_next(trailer.bytes, at, trailer.len), len;
    if (!kav_pdf_reference(trailer.bytes, value, trailer.len, &id)) {
        if (!memmem(trailer.bytes + at, trailer.len - at, "/Standard", 9)) return false;
        p->lock.wanted = true;
        open_with(p, &h, (dictionary){trailer.bytes + at, trailer.len - at});
        return true;
    }
    uint32_t object = kav_pdf_object_of(p, 0, id);
    if (!object) return false;
    p->lock.wanted = true;
    const uint8_t *bytes = kav_pdf_load(p, &p->objects[object - 1], &len);
    if (bytes) open_with(p, &h, (dictionary){bytes, len});
    return true;
}

/* Reads what a trailer is, or was taken for, into memory of its own: kav_pdf_load is needed for what it leads to. */
static bool read_trailer_at(kav_pdf *p, uint64_t at, size_t len)
{
    uint8_t *bytes = malloc(len ? len : 1);
    if (!bytes) return false;
    len = kav_pdf_read(&p->bytes, at, bytes, len);
    bool found = read_trailer(p, (dictionary){bytes, len});
    free(bytes);
    return found;
}

void kav_pdf_lock_read(kav_pdf *p)
{
    enum { TAIL = 2048, DICTIONARY = 16 << 10 };
    if (p->trailer_len && read_trailer_at(p, p->trailer, p->trailer_len)) return;
    uint64_t tail = p->bytes.size > TAIL ? p->bytes.size - TAIL : 0;
    if (read_trailer_at(p, tail, TAIL)) return;
    for (uint32_t i = p->count; i > 0 && !p->bytes.late; i--) { /* the last one counts */
        const kav_pdf_object *o = &p->objects[i - 1];
        if (!(o->flags & KAV_PDF_STREAM)) continue;
        uint64_t len = o->stream - o->start;
        if (kav_pdf_find(&p->bytes, o->start, o->stream, "/XRef") == KAV_PDF_NONE) continue;
        if (read_trailer_at(p, o->start, len < DICTIONARY ? len : DICTIONARY)) return;
    }
}

uint8_t kav_pdf_lock_named(kav_pdf *p, const uint8_t *dict, size_t len)
{
    size_t at = kav_pdf_value(dict, 0, len, "/DecodeParms");
    at = kav_pdf_value(dict, at, len, "/Name");
    if (at == len || kav_pdf_names(dict, at, len, "/Identity")) return KAV_PDF_PLAIN;
    return p->lock.streams;
}

size_t kav_pdf_lock_string(const kav_pdf *p, const kav_pdf_object *o, uint8_t *bytes, size_t len)
{
    kav_pdf_key key = kav_pdf_key_of(&p->lock, o->id, p->lock.strings);
    if (key.cipher == KAV_PDF_PLAIN || o->packed) return len;
    if (key.cipher == KAV_PDF_RC4) {
        kav_pdf_rc4(key.key, key.key_len, bytes, len);
        return len;
    }
    if (len < 32) return 0;
    uint8_t iv[16], *out = malloc(len);
    size_t blocks = (len - 16) & ~(size_t)15;
    memcpy(iv, bytes, 16);
    if (!out || !kav_pdf_aes_decrypt(key.key, key.key_len, iv, bytes + 16, blocks, out)) {
        free(out);
        return 0;
    }
    memcpy(bytes, out, blocks);
    free(out);
    size_t pad = bytes[blocks - 1];
    return pad >= 1 && pad <= 16 ? blocks - pad : blocks;
}
