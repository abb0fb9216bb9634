/* Chain: which of the certificates that stand in a signature are trusted, by rules and by each other. */
#ifndef KAV_CHAIN_H
#define KAV_CHAIN_H

#include "certificate.h"
#include "trust.h"

#define KAV_CHAIN_MAX 64 /* with more of them, none is trusted */

/* What is known of a signature's certificates; the rules and all bytes are borrowed. */
typedef struct {
    const kav_trust_rule *rules;
    uint32_t rule_count;
    uint32_t count, checks; /* certificates; signatures of certificates that were verified */
    bool full;              /* there are more than can be held */
    kav_certificate certificates[KAV_CHAIN_MAX];
    bool trusted[KAV_CHAIN_MAX];
} kav_chain_of_trust;

/* The rule that blocks a certificate, or NULL. */
const kav_trust_rule *kav_chain_blocked(const kav_chain_of_trust *c, const kav_certificate *certificate);

/* Add one. What is there already is not added again. */
void kav_chain_add(kav_chain_of_trust *c, const kav_certificate *certificate);

/* All are added: which are trusted? Those that a rule names, and those that a trusted one has signed. */
void kav_chain_trust(kav_chain_of_trust *c);

/* The trusted certificate for this use (enum kav_trust_use), of this issuer and serial number (digests), whose
 * key has signed what has this digest; NULL: there is none. */
const kav_certificate *kav_chain_signer(const kav_chain_of_trust *c, uint8_t use, const uint8_t *issuer,
                                        const uint8_t *serial, kav_der signature, enum kav_hash_kind kind,
                                        const uint8_t *digest);

#endif
