/* Digest: one OpenSSL context per kind, made once and initialised again for every layer. */
#include "digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum { KINDS = 3 };

struct kav_digest {
    EVP_MD *method[KINDS]; /* fetched once: a fetch by name for each layer would cost more than a small file's digest */
    EVP_MD_CTX *state[KINDS];
    uint32_t kinds; /* of the layer in hand */
};

static const struct {
    const char *name;
    uint32_t bit;
} kind[KINDS] = {{"MD5", KAV_D_MD5}, {"SHA1", KAV_D_SHA1}, {"SHA256", KAV_D_SHA256}};

kav_digest *kav_digest_new(void)
{
    kav_digest *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    for (int i = 0; i < KINDS; i++) {
        /* "-fips": signatures are compared, nothing is protected by them, so a FIPS policy is no reason to fail. */
        d->method[i] = EVP_MD_fetch(NULL, kind[i].name, "-fips");
        d->state[i] = EVP_MD_CTX_new();
        if (!d->method[i] || !d->state[i]) {
            kav_digest_free(d);
            return NULL;
        }
    }
    return d;
}

void kav_digest_free(kav_digest *d)
{
    if (!d) return;
    for (int i = 0; i < KINDS; i++) {
        EVP_MD_CTX_free(d->state[i]);
        EVP_MD_free(d->method[i]);
    }
    free(d);
}

int kav_digest_start(kav_digest *d, uint32_t kinds)
{
    d->kinds = 0;
    for (int i = 0; i < KINDS; i++) {
        if (!(kinds & kind[i].bit)) continue;
        if (!EVP_DigestInit_ex2(d->state[i], d->method[i], NULL)) return -1;
        d->kinds |= kind[i].bit;
    }
    return 0;
}

int kav_digest_feed(kav_digest *d, const void *data, size_t len)
{
    for (int i = 0; i < KINDS; i++)
        if (d->kinds & kind[i].bit && !EVP_DigestUpdate(d->state[i], data, len)) return -1;
    return 0;
}

int kav_digest_finish(kav_digest *d, kav_digests *out)
{
    uint8_t *place[KINDS] = {out->md5, out->sha1, out->sha256};
    out->have = 0;
    for (int i = 0; i < KINDS; i++) {
        if (!(d->kinds & kind[i].bit)) continue;
        if (!EVP_DigestFinal_ex(d->state[i], place[i], NULL)) return -1;
        out->have |= kind[i].bit;
    }
    d->kinds = 0;
    return 0;
}
