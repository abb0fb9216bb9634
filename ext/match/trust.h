/* Trust: the rules for certificates of programs (.crb) of an image. */
#ifndef KAV_TRUST_H
#define KAV_TRUST_H

#include "layer.h"

enum kav_trust_use { KAV_TU_CODE = 1u << 0, KAV_TU_TIME = 1u << 1, KAV_TU_CERT = 1u << 2 };

/* Points into the image. */
typedef struct {
    const uint8_t *subject; /* SHA-1 of the certificate's subject, 20 bytes */
    const uint8_t *serial;  /* of its serial number; NULL: any */
    const uint8_t *key;     /* modulus of its RSA key, big-endian, without zeros in front */
    const char *name;       /* as it is printed; not NUL-terminated */
    int64_t not_before;     /* trusted: none that begins earlier */
    uint32_t key_len, name_len, line;
    uint32_t part; /* of the image, counted from 1 */
    uint8_t uses;  /* enum kav_trust_use: what it is trusted for */
    bool blocked;
} kav_trust_rule;

/* How many rules there are at most. */
uint32_t kav_image_trust_count(const kav_image *image);

/* Write those that are not ignored by name; out has room for kav_image_trust_count. Returns how many. */
uint32_t kav_image_trust_rules(const kav_image *image, kav_trust_rule *out);

#endif
