/* Certificate: X.509 as rules for certificates (.crb) see it, and signatures of RSA.
 *
 * Of subject, issuer and serial number only SHA-1 digests count, as in the rules: of what is inside the item, without
 * its tag and length. Only RSA keys of 1024 to 4096 bits are read.
 */
#ifndef KAV_CERTIFICATE_H
#define KAV_CERTIFICATE_H

#include "der.h"
#include "trust.h"

#define KAV_NAME_DIGEST 20
#define KAV_HASH_MAX    64

/* An RSA key: big-endian, without zeros in front. */
typedef struct {
    kav_der modulus, exponent;
} kav_rsa_key;

/* Points into the bytes that it was read from. */
typedef struct {
    uint8_t subject[KAV_NAME_DIGEST], issuer[KAV_NAME_DIGEST], serial[KAV_NAME_DIGEST];
    kav_rsa_key key;
    kav_der body, signature;       /* what is signed, and how */
    int64_t not_before, not_after; /* seconds since 1970 */
    uint8_t hash;                  /* enum kav_hash_kind, of the signature */
    uint8_t uses;                  /* enum kav_trust_use */
} kav_certificate;

/* Read one. content: of its outermost SEQUENCE. False: broken, or of a kind that is not read. */
bool kav_certificate_read(kav_der content, kav_certificate *out);

/* A digest that is fed piece by piece. NULL: no such kind, or no memory. */
typedef struct evp_md_ctx_st kav_hasher;
kav_hasher *kav_hasher_new(enum kav_hash_kind kind);
bool kav_hasher_feed(kav_hasher *hasher, const void *bytes, size_t length);
size_t kav_hasher_finish(kav_hasher *hasher, uint8_t *out); /* into KAV_HASH_MAX bytes; its length, 0 = failed */
void kav_hasher_free(kav_hasher *hasher);

/* Digest of pieces, one behind the other, into KAV_HASH_MAX bytes. Its length; 0: no such kind, or no memory. */
size_t kav_hash(enum kav_hash_kind kind, const kav_der *pieces, size_t count, uint8_t *out);

/* SHA-1, into KAV_NAME_DIGEST bytes. False: no memory. */
bool kav_name_digest(kav_der bytes, uint8_t *out);

/* Is this the signature (PKCS #1, 1.5) by this key of what has this digest? */
bool kav_rsa_signed(const kav_rsa_key *key, kav_der signature, enum kav_hash_kind kind, const uint8_t *digest);

#endif
