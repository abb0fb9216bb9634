/* DER: items of ASN.1 in the one form in which they are signed, each inside of the one around it.
 *
 * Nothing is copied: what is taken points into the bytes, which belong to the caller. Every length is checked against
 * what is left; indefinite lengths are refused.
 */
#ifndef KAV_DER_H
#define KAV_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that were not read yet. */
typedef struct {
    const uint8_t *at;
    size_t left;
} kav_der;

enum kav_der_tag {
    KAV_DER_BOOLEAN = 0x01,
    KAV_DER_INTEGER = 0x02,
    KAV_DER_BITS = 0x03,
    KAV_DER_BYTES = 0x04,
    KAV_DER_NULL = 0x05,
    KAV_DER_OID = 0x06,
    KAV_DER_UTC_TIME = 0x17,
    KAV_DER_TIME = 0x18,
    KAV_DER_SEQUENCE = 0x30,
    KAV_DER_SET = 0x31,
    KAV_DER_FIRST = 0xa0, /* [0], and so on */
    KAV_DER_SECOND = 0xa1,
    KAV_DER_FOURTH = 0xa3
};

/* What an object identifier says is signed or hashed with. */
enum kav_hash_kind { KAV_HK_OTHER, KAV_HK_MD5, KAV_HK_SHA1, KAV_HK_SHA256, KAV_HK_SHA384, KAV_HK_SHA512, KAV_HK_RSA };

/* Take the next item, whatever it is. whole: with its tag and length. False: none, or one that reaches too far. */
bool kav_der_any(kav_der *d, uint8_t *tag, kav_der *content, kav_der *whole);

/* Take the next item, which must have this tag; content: what is in it. */
bool kav_der_take(kav_der *d, uint8_t tag, kav_der *content);

/* The same of the only item that is left. */
bool kav_der_only(kav_der d, uint8_t tag, kav_der *content);

bool kav_der_equal(kav_der a, const void *bytes, size_t length);

/* Take a point in time, as seconds since 1970. */
bool kav_der_moment(kav_der *d, int64_t *out);

/* Take an algorithm, which has no parameters. signature: it is one of RSA, perhaps with a hash; else a hash, or an
 * algorithm that has one. OTHER: none of ours. */
bool kav_der_algorithm(kav_der *d, bool signature, enum kav_hash_kind *kind);

#endif
