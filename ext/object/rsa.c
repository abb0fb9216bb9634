/* Digests, and signatures of RSA: what was signed is put together and compared as a whole, so that nothing is parsed
 * that came out of a key. */
#include "certificate.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <string.h>

enum { KEY_MIN = 1024 / 8, KEY_MAX = 4096 / 8, EXPONENT_MAX = 8, PADDING_MIN = 11 };

static const EVP_MD *method_of(enum kav_hash_kind kind)
{
    switch (kind) {
    case KAV_HK_MD5: return EVP_md5();
    case KAV_HK_SHA1: return EVP_sha1();
    case KAV_HK_SHA256: return EVP_sha256();
    case KAV_HK_SHA384: return EVP_sha384();
    case KAV_HK_SHA512: return EVP_sha512();
    default: return NULL;
    }
}

kav_hasher *kav_hasher_new(enum kav_hash_kind kind)
{
    const EVP_MD *method = method_of(kind);
    EVP_MD_CTX *context = method ? EVP_MD_CTX_new() : NULL;
    if (context && EVP_DigestInit_ex(context, method, NULL) == 1) return context;
    EVP_MD_CTX_free(context);
    return NULL;
}

bool kav_hasher_feed(kav_hasher *hasher, const void *bytes, size_t length)
{
    return EVP_DigestUpdate(hasher, bytes, length) == 1;
}

size_t kav_hasher_finish(kav_hasher *hasher, uint8_t *out)
{
    unsigned length = 0;
    return EVP_DigestFinal_ex(hasher, out, &length) == 1 ? length : 0;
}

void kav_hasher_free(kav_hasher *hasher)
{
    EVP_MD_CTX_free(hasher);
}

size_t kav_hash(enum kav_hash_kind kind, const kav_der *pieces, size_t count, uint8_t *out)
{
    kav_hasher *hasher = kav_hasher_new(kind);
    bool good = hasher != NULL;
    for (size_t i = 0; good && i < count; i++) good = kav_hasher_feed(hasher, pieces[i].at, pieces[i].left);
    size_t length = good ? kav_hasher_finish(hasher, out) : 0;
    kav_hasher_free(hasher);
    return length;
}

bool kav_name_digest(kav_der bytes, uint8_t *out)
{
    uint8_t digest[KAV_HASH_MAX];
    if (kav_hash(KAV_HK_SHA1, &bytes, 1, digest) != KAV_NAME_DIGEST) return false;
    memcpy(out, digest, KAV_NAME_DIGEST);
    return true;
}

/* What stands in front of a digest that is signed: how it was made. */
static size_t prefix_of(enum kav_hash_kind kind, uint8_t *out)
{
    static const uint8_t MD5[] = {0x30, 0x20, 0x30, 0x0c, 6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5, 5, 0, 4, 16};
    static const uint8_t SHA1[] = {0x30, 0x21, 0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 20};
    uint8_t sha2[] = {0x30, 0, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 0, 5, 0, 4, 0};
    if (kind == KAV_HK_MD5) memcpy(out, MD5, sizeof MD5);
    if (kind == KAV_HK_MD5) return sizeof MD5;
    if (kind == KAV_HK_SHA1) memcpy(out, SHA1, sizeof SHA1);
    if (kind == KAV_HK_SHA1) return sizeof SHA1;
    uint8_t length = kind == KAV_HK_SHA256 ? 32 : kind == KAV_HK_SHA384 ? 48 : 64;
    sha2[1] = (uint8_t)(sizeof sha2 - 2 + length);
    sha2[14] = (uint8_t)(kind - KAV_HK_SHA256 + 1);
    sha2[sizeof sha2 - 1] = length;
    memcpy(out, sha2, sizeof sha2);
    return sizeof sha2;
}

/* What a signature must give: 00 01 ff .. ff 00, how it was hashed, the digest. */
static bool pad(enum kav_hash_kind kind, const uint8_t *digest, uint8_t *out, size_t length)
{
    uint8_t prefix[32];
    size_t head = prefix_of(kind, prefix), hash = prefix[head - 1];
    if (length < head + hash + PADDING_MIN) return false;
    memset(out, 0xff, length);
    out[0] = 0;
    out[1] = 1;
    out[length - head - hash - 1] = 0;
    memcpy(out + length - head - hash, prefix, head);
    memcpy(out + length - hash, digest, hash);
    return true;
}

static bool open(const kav_rsa_key *key, kav_der signature, uint8_t *out)
{
    BN_CTX *context = BN_CTX_new();
    BIGNUM *n = BN_bin2bn(key->modulus.at, (int)key->modulus.left, NULL);
    BIGNUM *e = BN_bin2bn(key->exponent.at, (int)key->exponent.left, NULL);
    BIGNUM *x = BN_bin2bn(signature.at, (int)signature.left, NULL), *opened = BN_new();
    bool good = context && n && e && x && opened && BN_is_odd(n) && BN_cmp(x, n) < 0 && !BN_is_one(e) && BN_is_odd(e) &&
                BN_mod_exp(opened, x, e, n, context) == 1 &&
                BN_bn2binpad(opened, out, (int)key->modulus.left) == (int)key->modulus.left;
    BN_free(opened);
    BN_free(x);
    BN_free(e);
    BN_free(n);
    BN_CTX_free(context);
    return good;
}

bool kav_rsa_signed(const kav_rsa_key *key, kav_der signature, enum kav_hash_kind kind, const uint8_t *digest)
{
    uint8_t wanted[KEY_MAX], found[KEY_MAX];
    size_t length = key->modulus.left;
    if (kind < KAV_HK_MD5 || kind > KAV_HK_SHA512 || length < KEY_MIN || length > KEY_MAX) return false;
    if (key->exponent.left < 1 || key->exponent.left > EXPONENT_MAX || signature.left > KEY_MAX + 1) return false;
    return pad(kind, digest, wanted, length) && open(key, signature, found) && memcmp(wanted, found, length) == 0;
}
