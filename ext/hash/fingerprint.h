/* Fingerprint: 128 bits that name a layer's content, for the object cache: GMAC (AES-256-GCM over nothing but
 * additional data) under a key made from a store's secret, with one fixed nonce.
 *
 * Why that is sound, and four times as fast as SHA-256: GMAC is universal hashing. For two given contents of at most n
 * blocks of 16 bytes the share of keys under which they collide is at most (n + 1) / 2^128, whatever the contents are.
 * What breaks it is knowing the key, or seeing tags made with it (a nonce used twice gives the key away): whoever
 * chooses files knows neither, because fingerprints go into keyed digests only and are never shown, stored or sent. The
 * length is part of the hash, and of the cache's key besides.
 */
#ifndef KAV_FINGERPRINT_H
#define KAV_FINGERPRINT_H

#include <stddef.h>
#include <stdint.h>

#define KAV_FINGERPRINT 16 /* bytes */

typedef struct kav_fingerprint kav_fingerprint;

/* One per thread, reused for every layer. NULL: out of memory, or OpenSSL lacks the cipher. */
kav_fingerprint *kav_fingerprint_new(const uint8_t secret[32]);
void kav_fingerprint_free(kav_fingerprint *f);

int kav_fingerprint_start(kav_fingerprint *f);                                /* 0, or -1 */
int kav_fingerprint_feed(kav_fingerprint *f, const void *data, size_t len);   /* 0, or -1 */
int kav_fingerprint_finish(kav_fingerprint *f, uint8_t out[KAV_FINGERPRINT]); /* 0, or -1 */

#endif
