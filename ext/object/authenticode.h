/* Authenticode: the signature in a program's table of certificates, a SignedData of PKCS #7 over a digest of the
 * program, judged by rules for certificates as ClamAV judges it: what it cannot read is not trusted. Time stamps of
 * RFC 3161 and second signatures inside the first are not looked at.
 */
#ifndef KAV_AUTHENTICODE_H
#define KAV_AUTHENTICODE_H

#include "certificate.h"
#include "trust.h"

typedef struct {
    const kav_trust_rule *rules;
    uint32_t rule_count;
    int64_t now; /* seconds since 1970: what has no time stamp must be valid now */
    /* One of the certificates, whoever uses it, is blocked by this rule. A rule may be named more than once. */
    void (*blocked)(void *context, const kav_trust_rule *rule);
    /* Feed what of the program is signed. False: that failed. Asked once at most, when all else is in order. */
    bool (*feed)(void *context, kav_hasher *hasher);
    void *context;
} kav_authenticode;

/* Is the program trusted? bytes: the signature; what stands behind its end is not looked at. */
bool kav_authenticode_judge(const kav_authenticode *a, const uint8_t *bytes, size_t length);

#endif
