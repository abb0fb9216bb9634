#include "authenticode.h"
#include "chain.h"

#include <string.h>

#define PKCS7           "\x2a\x86\x48\x86\xf7\x0d\x01\x07"
#define PKCS9           "\x2a\x86\x48\x86\xf7\x0d\x01\x09"
#define MICROSOFT       "\x2b\x06\x01\x04\x01\x82\x37"
#define OID_DATA        PKCS7 "\x01"
#define OID_SIGNED      PKCS7 "\x02"
#define OID_CONTENT     PKCS9 "\x03"
#define OID_DIGEST      PKCS9 "\x04"
#define OID_TIME        PKCS9 "\x05"
#define OID_COUNTER     PKCS9 "\x06"
#define OID_TIME_TOKEN  PKCS9 "\x10\x01\x04"
#define OID_INDIRECT    MICROSOFT "\x02\x01\x04"
#define OID_PROGRAM     MICROSOFT "\x02\x01\x0f"
#define OID_NESTED      MICROSOFT "\x02\x04\x01"
#define OID_RFC3161     MICROSOFT "\x03\x03\x01"
#define IS(item, oid)   kav_der_equal(item, oid, sizeof oid - 1)
#define SIGNATURE_MAX   513
#define SIGNATURE_LEAST 128

/* What is signed: by whom, what it says, and what it says besides. */
typedef struct {
    uint8_t issuer[KAV_NAME_DIGEST], serial[KAV_NAME_DIGEST];
    enum kav_hash_kind hash, method;
    kav_der said, whole; /* attributes that are signed, and the same with tag and length */
    kav_der signature, rest;
} signer;

/* The attributes that count, each once at most. */
typedef struct {
    kav_der content, digest, time;
    bool has_content, has_digest, has_time;
} attributes;

static bool open_signed(kav_der d, kav_der *out)
{
    kav_der outer, oid, content;
    return kav_der_take(&d, KAV_DER_SEQUENCE, &outer) && kav_der_take(&outer, KAV_DER_OID, &oid) &&
           IS(oid, OID_SIGNED) && kav_der_only(outer, KAV_DER_FIRST, &content) &&
           kav_der_only(content, KAV_DER_SEQUENCE, out);
}

/* Version, hash, and what is signed: the inside of a SpcIndirectDataContent. */
static bool read_content(kav_der *d, enum kav_hash_kind *hash, kav_der *content)
{
    kav_der version, kinds, info, oid, inner;
    if (!kav_der_take(d, KAV_DER_INTEGER, &version) || !kav_der_equal(version, "\x01", 1)) return false;
    if (!kav_der_take(d, KAV_DER_SET, &kinds) || !kav_der_algorithm(&kinds, false, hash) || kinds.left) return false;
    return kav_der_take(d, KAV_DER_SEQUENCE, &info) && kav_der_take(&info, KAV_DER_OID, &oid) &&
           IS(oid, OID_INDIRECT) && kav_der_only(info, KAV_DER_FIRST, &inner) &&
           kav_der_only(inner, KAV_DER_SEQUENCE, content);
}

static void tell(const kav_authenticode *a, const kav_chain_of_trust *c, const kav_certificate *one)
{
    const kav_trust_rule *rule = kav_chain_blocked(c, one);
    if (rule) a->blocked(a->context, rule);
}

/* One that is broken is left out; what cannot even be stepped over ends all. ClamAV begins with the last. */
static bool read_certificates(const kav_authenticode *a, kav_der list, kav_chain_of_trust *c)
{
    kav_der all = list, content;
    kav_certificate one;
    while (list.left)
        if (!kav_der_take(&list, KAV_DER_SEQUENCE, &content)) return false;
    while (all.left && kav_der_take(&all, KAV_DER_SEQUENCE, &content)) {
        if (!kav_certificate_read(content, &one)) continue;
        kav_chain_add(c, &one);
        if (c->full) tell(a, c, &one);
    }
    for (uint32_t i = c->count; i-- > 0;) tell(a, c, &c->certificates[i]);
    return true;
}

static bool read_identity(kav_der *d, signer *s)
{
    kav_der both, name, number;
    return kav_der_take(d, KAV_DER_SEQUENCE, &both) && kav_der_take(&both, KAV_DER_SEQUENCE, &name) &&
           kav_der_only(both, KAV_DER_INTEGER, &number) && kav_name_digest(name, s->issuer) &&
           kav_name_digest(number, s->serial);
}

/* Behind the version. */
static bool read_signer(kav_der d, signer *s)
{
    uint8_t tag;
    if (!read_identity(&d, s) || !kav_der_algorithm(&d, false, &s->hash)) return false;
    if (!kav_der_any(&d, &tag, &s->said, &s->whole) || tag != KAV_DER_FIRST) return false;
    if (!kav_der_algorithm(&d, true, &s->method) || !kav_der_take(&d, KAV_DER_BYTES, &s->signature)) return false;
    s->rest = d;
    return s->signature.left >= SIGNATURE_LEAST && s->signature.left <= SIGNATURE_MAX;
}

static bool keep(kav_der value, kav_der *out, bool *has)
{
    if (*has) return false;
    *out = value;
    *has = true;
    return true;
}

static bool read_attributes(kav_der list, attributes *out)
{
    kav_der one, oid, value;
    memset(out, 0, sizeof *out);
    while (list.left) {
        if (!kav_der_take(&list, KAV_DER_SEQUENCE, &one) || !kav_der_take(&one, KAV_DER_OID, &oid)) return false;
        bool content = IS(oid, OID_CONTENT), digest = IS(oid, OID_DIGEST), time = IS(oid, OID_TIME);
        if (!content && !digest && !time) continue;
        if (!kav_der_only(one, KAV_DER_SET, &value)) return false;
        if (content && !keep(value, &out->content, &out->has_content)) return false;
        if (digest && !keep(value, &out->digest, &out->has_digest)) return false;
        if (time && !keep(value, &out->time, &out->has_time)) return false;
    }
    return out->has_content && out->has_digest;
}

/* The attributes name the digest of what is signed, and are signed themselves: as a SET, whatever their tag. */
static const kav_certificate *verify(const kav_chain_of_trust *c, const signer *s, const attributes *said,
                                     kav_der message, uint8_t use)
{
    uint8_t digest[KAV_HASH_MAX];
    kav_der named;
    size_t length = kav_hash(s->hash, &message, 1, digest);
    if (length == 0 || !kav_der_only(said->digest, KAV_DER_BYTES, &named) || !kav_der_equal(named, digest, length))
        return NULL;
    const kav_der pieces[] = {{(const uint8_t *)"\x31", 1}, {s->whole.at + 1, s->whole.left - 1}};
    if (!kav_hash(s->hash, pieces, 2, digest)) return NULL;
    return kav_chain_signer(c, use, s->issuer, s->serial, s->signature, s->hash, digest);
}

/* Somebody who is trusted for it says that the signature was there while its certificate was valid. */
static bool was_in_time(const kav_chain_of_trust *c, kav_der set, kav_der signature, const kav_certificate *by)
{
    signer s;
    attributes said;
    kav_der d, version, kind;
    int64_t then;
    if (!kav_der_only(set, KAV_DER_SEQUENCE, &d) || !kav_der_take(&d, KAV_DER_INTEGER, &version)) return false;
    if (!kav_der_equal(version, "\x01", 1) && !kav_der_equal(version, "\0", 1)) return false;
    if (!read_signer(d, &s) || s.rest.left || (s.method != KAV_HK_RSA && s.method != s.hash)) return false;
    if (!read_attributes(s.said, &said) || !said.has_time) return false;
    if (!kav_der_only(said.content, KAV_DER_OID, &kind) || (!IS(kind, OID_DATA) && !IS(kind, OID_TIME_TOKEN)))
        return false;
    if (!kav_der_moment(&said.time, &then) || said.time.left || then < by->not_before || then > by->not_after)
        return false;
    return verify(c, &s, &said, signature, KAV_TU_TIME) != NULL;
}

/* What is not signed: a time stamp, if there is one, decides; else the certificate must be valid now. */
static bool is_in_time(const kav_authenticode *a, const kav_chain_of_trust *c, const signer *s,
                       const kav_certificate *by)
{
    static const char *const OIDS[] = {OID_COUNTER, OID_NESTED, OID_RFC3161};
    static const size_t LENGTHS[] = {sizeof OID_COUNTER - 1, sizeof OID_NESTED - 1, sizeof OID_RFC3161 - 1};
    kav_der list, one, oid, set;
    bool seen[3] = {false};
    if (s->rest.left == 0) return a->now >= by->not_before && a->now <= by->not_after;
    if (!kav_der_only(s->rest, KAV_DER_SECOND, &list)) return false;
    while (list.left) {
        if (!kav_der_take(&list, KAV_DER_SEQUENCE, &one) || !kav_der_take(&one, KAV_DER_OID, &oid)) return false;
        for (int i = 0; i < 3; i++) {
            if (!kav_der_equal(oid, OIDS[i], LENGTHS[i])) continue;
            if (seen[i] || !kav_der_only(one, KAV_DER_SET, &set)) return false;
            if (i == 0 && !was_in_time(c, set, s->signature, by)) return false;
            seen[i] = true;
        }
    }
    return seen[0] || (a->now >= by->not_before && a->now <= by->not_after);
}

/* The program's digest is the one that is signed. */
static bool is_whole(const kav_authenticode *a, kav_der content)
{
    kav_der data, oid, info, named;
    enum kav_hash_kind kind;
    uint8_t digest[KAV_HASH_MAX];
    if (!kav_der_take(&content, KAV_DER_SEQUENCE, &data) || !kav_der_take(&data, KAV_DER_OID, &oid)) return false;
    if (!IS(oid, OID_PROGRAM) || !kav_der_only(content, KAV_DER_SEQUENCE, &info)) return false;
    if (!kav_der_algorithm(&info, false, &kind) || !kav_der_only(info, KAV_DER_BYTES, &named)) return false;
    kav_hasher *hasher = kav_hasher_new(kind);
    size_t length = hasher && a->feed(a->context, hasher) ? kav_hasher_finish(hasher, digest) : 0;
    kav_hasher_free(hasher);
    return length != 0 && kav_der_equal(named, digest, length);
}

bool kav_authenticode_judge(const kav_authenticode *a, const uint8_t *bytes, size_t length)
{
    uint8_t tag;
    kav_der d, content, list, infos, info, version, kind, whole;
    enum kav_hash_kind hash;
    signer s;
    attributes said;
    kav_chain_of_trust chain = {.rules = a->rules, .rule_count = a->rule_count};
    if (!open_signed((kav_der){bytes, length}, &d) || !read_content(&d, &hash, &content)) return false;
    if (!kav_der_take(&d, KAV_DER_FIRST, &list) || !read_certificates(a, list, &chain)) return false;
    if (!kav_der_any(&d, &tag, &infos, &whole)) return false;
    if (tag == KAV_DER_SECOND && !kav_der_any(&d, &tag, &infos, &whole)) return false; /* revoked certificates */
    if (tag != KAV_DER_SET || d.left || !kav_der_only(infos, KAV_DER_SEQUENCE, &info)) return false;
    if (!kav_der_take(&info, KAV_DER_INTEGER, &version) || !kav_der_equal(version, "\x01", 1)) return false;
    if (!read_signer(info, &s) || s.hash != hash || s.method != KAV_HK_RSA) return false;
    if (!read_attributes(s.said, &said) || !kav_der_only(said.content, KAV_DER_OID, &kind)) return false;
    if (!IS(kind, OID_INDIRECT)) return false;
    kav_chain_trust(&chain);
    const kav_certificate *by = verify(&chain, &s, &said, content, KAV_TU_CODE);
    return by && is_in_time(a, &chain, &s, by) && is_whole(a, content);
}
