#include "fingerprint.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LABEL "kavfs content fingerprint"
#define CHUNK ((size_t)1 << 30) /* OpenSSL counts in int */

static const uint8_t NONCE[12];

struct kav_fingerprint {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *state;
};

/* A key of its own, so that the secret's other uses and this one know nothing of each other. */
static int derive(const uint8_t secret[32], uint8_t key[32])
{
    uint8_t text[sizeof LABEL - 1 + 32];
    memcpy(text, LABEL, sizeof LABEL - 1);
    memcpy(text + sizeof LABEL - 1, secret, 32);
    int ok = EVP_Q_digest(NULL, "SHA256", "-fips", text, sizeof text, key, NULL);
    OPENSSL_cleanse(text, sizeof text);
    return ok ? 0 : -1;
}

kav_fingerprint *kav_fingerprint_new(const uint8_t secret[32])
{
    uint8_t key[32];
    kav_fingerprint *f = calloc(1, sizeof *f);
    if (!f) return NULL;
    f->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", "-fips");
    f->state = EVP_CIPHER_CTX_new();
    bool ok =
        f->cipher && f->state && derive(secret, key) == 0 && EVP_EncryptInit_ex2(f->state, f->cipher, key, NONCE, NULL);
    OPENSSL_cleanse(key, sizeof key);
    if (ok) return f;
    kav_fingerprint_free(f);
    return NULL;
}

void kav_fingerprint_free(kav_fingerprint *f)
{
    if (!f) return;
    EVP_CIPHER_CTX_free(f->state);
    EVP_CIPHER_free(f->cipher);
    free(f);
}

/* The key schedule stays; only the nonce is set again. */
int kav_fingerprint_start(kav_fingerprint *f)
{
    return EVP_EncryptInit_ex2(f->state, NULL, NULL, NONCE, NULL) ? 0 : -1;
}

int kav_fingerprint_feed(kav_fingerprint *f, const void *data, size_t len)
{
    const uint8_t *at = data;
    int unused;
    while (len > 0) {
        size_t n = len < CHUNK ? len : CHUNK;
        if (!EVP_EncryptUpdate(f->state, NULL, &unused, at, (int)n)) return -1;
        at += n;
        len -= n;
    }
    return 0;
}

int kav_fingerprint_finish(kav_fingerprint *f, uint8_t out[KAV_FINGERPRINT])
{
    uint8_t nothing[16];
    int unused;
    if (!EVP_EncryptFinal_ex(f->state, nothing, &unused)) return -1;
    return EVP_CIPHER_CTX_ctrl(f->state, EVP_CTRL_AEAD_GET_TAG, KAV_FINGERPRINT, out) == 1 ? 0 : -1;
}
