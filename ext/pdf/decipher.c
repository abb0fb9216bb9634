#include "filter.h"
#include "hash.h"

#include <string.h>

typedef struct {
    uint8_t s[256];
    uint8_t i, j;
} rc4_state;

static void rc4_begin(rc4_state *r, const uint8_t *key, size_t key_len)
{
    uint8_t j = 0;
    for (int i = 0; i < 256; i++) r->s[i] = (uint8_t)i;
    for (size_t i = 0; i < 256 && key_len; i++) {
        j = (uint8_t)(j + r->s[i] + key[i % key_len]);
        uint8_t swap = r->s[i];
        r->s[i] = r->s[j];
        r->s[j] = swap;
    }
    r->i = r->j = 0;
}

static uint8_t rc4_next(rc4_state *r)
{
    uint8_t swap = r->s[++r->i];
    r->j = (uint8_t)(r->j + swap);
    r->s[r->i] = r->s[r->j];
    r->s[r->j] = swap;
    return r->s[(uint8_t)(r->s[r->i] + swap)];
}

void kav_pdf_rc4(const uint8_t *key, size_t key_len, uint8_t *bytes, size_t len)
{
    rc4_state r;
    rc4_begin(&r, key, key_len);
    for (size_t i = 0; i < len; i++) bytes[i] ^= rc4_next(&r);
}

kav_pdf_key kav_pdf_key_of(const kav_pdf_lock *lock, uint32_t id, uint8_t cipher)
{
    kav_pdf_key key = {.cipher = cipher, .key_len = lock->key_len};
    memcpy(key.key, lock->key, sizeof key.key);
    if (cipher != KAV_PDF_RC4 && cipher != KAV_PDF_AESV2) return key;
    uint8_t seed[32 + 9] = {0};
    size_t n = lock->key_len;
    memcpy(seed, lock->key, n);
    seed[n++] = (uint8_t)(id >> 8);
    seed[n++] = (uint8_t)(id >> 16);
    seed[n++] = (uint8_t)(id >> 24);
    seed[n++] = (uint8_t)id;
    seed[n++] = 0;
    key.key_len = n < 16 ? (uint8_t)n : 16;
    if (cipher == KAV_PDF_AESV2) {
        memcpy(seed + n, "sAlT", 4);
        n += 4;
        key.key_len = 16;
    }
    if (!kav_pdf_md5(seed, n, key.key)) key.cipher = KAV_PDF_PLAIN;
    return key;
}

/* AES holds back its last block, at whose end is the padding. */
typedef struct {
    kav_pdf_key key;
    rc4_state rc4;
    uint8_t iv[16];
    bool has_iv, has_held;
    uint8_t held[16];
    size_t input_len;
    uint8_t input[16];
} decipher_state;

static int decipher_begin(kav_pdf_stage *s, const void *argument)
{
    decipher_state *d = s->state;
    const kav_pdf_key *key = argument;
    d->key = *key;
    if (key->cipher == KAV_PDF_RC4) rc4_begin(&d->rc4, key->key, key->key_len);
    return 0;
}

static void put_block(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) kav_pdf_put(s, bytes[i]);
}

/* Blocks, many at once. */
static void take_blocks(kav_pdf_stage *s, decipher_state *d, const uint8_t *in, size_t len)
{
    uint8_t out[4096];
    for (size_t at = 0; at < len && !s->chain->stopped;) {
        size_t n = len - at < sizeof out ? len - at : sizeof out;
        if (!d->has_iv) {
            memcpy(d->iv, in, 16);
            d->has_iv = true;
            at += 16;
            continue;
        }
        if (!kav_pdf_aes_decrypt(d->key.key, d->key.key_len, d->iv, in + at, n, out)) return kav_pdf_fail(s);
        memcpy(d->iv, in + at + n - 16, 16);
        if (d->has_held) put_block(s, d->held, 16);
        put_block(s, out, n - 16);
        memcpy(d->held, out + n - 16, 16);
        d->has_held = true;
        at += n;
    }
}

static void take_aes(kav_pdf_stage *s, decipher_state *d, const uint8_t *bytes, size_t len)
{
    if (d->input_len) {
        size_t n = 16 - d->input_len < len ? 16 - d->input_len : len;
        memcpy(d->input + d->input_len, bytes, n);
        d->input_len += n;
        bytes += n;
        len -= n;
        if (d->input_len < 16) return;
        d->input_len = 0;
        take_blocks(s, d, d->input, 16);
    }
    take_blocks(s, d, bytes, len & ~(size_t)15);
    d->input_len = len & 15;
    memcpy(d->input, bytes + (len & ~(size_t)15), d->input_len);
}

static void decipher_take(kav_pdf_stage *s, const uint8_t *bytes, size_t len)
{
    decipher_state *d = s->state;
    if (d->key.cipher == KAV_PDF_PLAIN) return put_block(s, bytes, len);
    if (d->key.cipher != KAV_PDF_RC4) return take_aes(s, d, bytes, len);
    for (size_t i = 0; i < len && !s->chain->stopped; i++) kav_pdf_put(s, bytes[i] ^ rc4_next(&d->rc4));
}

static void decipher_end(kav_pdf_stage *s)
{
    decipher_state *d = s->state;
    if (!d->has_held) return;
    size_t pad = d->held[15];
    bool good = pad >= 1 && pad <= 16;
    for (size_t i = 16 - (good ? pad : 0); i < 16; i++) good = good && d->held[i] == pad;
    put_block(s, d->held, good ? 16 - pad : 16);
}

const kav_pdf_filter kav_pdf_decipher = {sizeof(decipher_state), decipher_begin, decipher_take, decipher_end, NULL};
