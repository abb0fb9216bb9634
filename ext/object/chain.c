#include "chain.h"

#include <string.h>

#define CHECKS_MAX 512 /* signatures of certificates that are verified for one program */

/* The only exponent that a rule stands for. Without this question a certificate with the trusted modulus and an
 * exponent of 1 would be trusted, and everybody can sign with such a key. */
static const uint8_t EXPONENT[] = {1, 0, 1};

static bool same(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, KAV_NAME_DIGEST) == 0;
}

static bool names(const kav_trust_rule *rule, const kav_certificate *c)
{
    return same(rule->subject, c->subject) && kav_der_equal(c->key.modulus, rule->key, rule->key_len) &&
           (!rule->serial || same(rule->serial, c->serial));
}

const kav_trust_rule *kav_chain_blocked(const kav_chain_of_trust *c, const kav_certificate *certificate)
{
    const kav_trust_rule *found = NULL; /* of several rules ClamAV prints the first for any serial number, if any */
    for (uint32_t i = 0; i < c->rule_count; i++) {
        const kav_trust_rule *rule = &c->rules[i];
        if (!rule->blocked || !names(rule, certificate)) continue;
        if (!rule->serial) return rule;
        if (!found) found = rule;
    }
    return found;
}

static bool alike(const kav_certificate *a, const kav_certificate *b)
{
    return same(a->subject, b->subject) && same(a->issuer, b->issuer) && same(a->serial, b->serial) &&
           a->hash == b->hash && a->uses == b->uses && a->not_before == b->not_before && a->not_after == b->not_after &&
           kav_der_equal(a->key.modulus, b->key.modulus.at, b->key.modulus.left) &&
           kav_der_equal(a->key.exponent, b->key.exponent.at, b->key.exponent.left);
}

void kav_chain_add(kav_chain_of_trust *c, const kav_certificate *certificate)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (alike(&c->certificates[i], certificate)) return;
    if (c->count == KAV_CHAIN_MAX) {
        c->full = true;
        return;
    }
    c->trusted[c->count] = false;
    c->certificates[c->count++] = *certificate;
}

static bool is_named(const kav_chain_of_trust *c, const kav_certificate *one)
{
    if (!kav_der_equal(one->key.exponent, EXPONENT, sizeof EXPONENT)) return false;
    for (uint32_t i = 0; i < c->rule_count; i++) {
        const kav_trust_rule *rule = &c->rules[i];
        if (!rule->blocked && names(rule, one) && one->not_before >= rule->not_before && !(one->uses & ~rule->uses))
            return true;
    }
    return false;
}

/* One that may have signed another: its key, and what it is trusted for. */
typedef struct {
    const uint8_t *subject;
    kav_rsa_key key;
    uint8_t uses;
} authority;

/* The uses that it hands on if it has signed it, with what else the caller has found so far. */
static bool consider(kav_chain_of_trust *c, const kav_certificate *one, const uint8_t *digest, authority by,
                     uint8_t *uses, bool *found)
{
    const uint8_t purposes = KAV_TU_CODE | KAV_TU_TIME;
    uint8_t wanted = one->uses & purposes, given = wanted & by.uses;
    if (!(by.uses & KAV_TU_CERT) || !same(by.subject, one->issuer) || (*found && given != wanted)) return false;
    if (c->checks++ >= CHECKS_MAX) return false;
    if (!kav_rsa_signed(&by.key, one->signature, one->hash, digest)) return false;
    if (given != wanted && given == 0) return false; /* it could sign nothing that matters */
    *found = true;
    *uses = given;
    return given == wanted;
}

/* Has somebody signed it who is trusted? Then it is trusted for what both may do. */
static bool is_signed(kav_chain_of_trust *c, kav_certificate *one)
{
    uint8_t digest[KAV_HASH_MAX], uses = 0;
    bool found = false, best = false;
    if (!kav_hash(one->hash, &one->body, 1, digest)) return false;
    for (uint32_t i = 0; i < c->count && !best; i++) {
        const kav_certificate *other = &c->certificates[i];
        if (c->trusted[i])
            best = consider(c, one, digest, (authority){other->subject, other->key, other->uses}, &uses, &found);
    }
    for (uint32_t i = 0; i < c->rule_count && !best; i++) {
        const kav_trust_rule *rule = &c->rules[i];
        const kav_rsa_key key = {{rule->key, rule->key_len}, {EXPONENT, sizeof EXPONENT}};
        if (!rule->blocked) best = consider(c, one, digest, (authority){rule->subject, key, rule->uses}, &uses, &found);
    }
    if (found) one->uses = (one->uses & KAV_TU_CERT) | uses;
    return found;
}

void kav_chain_trust(kav_chain_of_trust *c)
{
    if (c->full) return;
    for (uint32_t i = 0; i < c->count; i++) c->trusted[i] = is_named(c, &c->certificates[i]);
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < c->count; i++) {
            if (c->trusted[i] || !is_signed(c, &c->certificates[i])) continue;
            c->trusted[i] = more = true;
        }
    }
}

const kav_certificate *kav_chain_signer(const kav_chain_of_trust *c, uint8_t use, const uint8_t *issuer,
                                        const uint8_t *serial, kav_der signature, enum kav_hash_kind kind,
                                        const uint8_t *digest)
{
    for (uint32_t i = 0; i < c->count; i++) {
        const kav_certificate *one = &c->certificates[i];
        if (!c->trusted[i] || !(one->uses & use) || !same(one->issuer, issuer) || !same(one->serial, serial)) continue;
        if (kav_rsa_signed(&one->key, signature, kind, digest)) return one;
    }
    return NULL;
}
