/* Digest: MD5, SHA-1 and SHA-256 of one layer, fed piece by piece (OpenSSL underneath).
 *
 * One kav_digest per session, reused for every layer: kav_digest_start chooses the kinds, kav_digest_feed adds bytes,
 * kav_digest_finish writes the wanted digests. No allocation after kav_digest_new.
 */
#ifndef KAV_DIGEST_H
#define KAV_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { KAV_D_MD5 = 1, KAV_D_SHA1 = 2, KAV_D_SHA256 = 4 };

typedef struct kav_digest kav_digest;

typedef struct {
    uint8_t md5[16], sha1[20], sha256[32];
    uint32_t have; /* KAV_D_* bits that are filled in */
} kav_digests;

kav_digest *kav_digest_new(void); /* NULL: out of memory or OpenSSL lacks a digest */
void kav_digest_free(kav_digest *d);
int kav_digest_start(kav_digest *d, uint32_t kinds);              /* 0, or -1 */
int kav_digest_feed(kav_digest *d, const void *data, size_t len); /* 0, or -1 */
int kav_digest_finish(kav_digest *d, kav_digests *out);           /* 0, or -1 */

#endif
