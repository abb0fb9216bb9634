#include "certificate.h"

#include <string.h>

enum { KEY_MIN = 1024 / 8, KEY_MAX = 4096 / 8 + 1, SIGNATURE_MAX = 513 };

#define OID_RSA       "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define OID_KEY_USAGE "\x55\x1d\x0f"
#define OID_PURPOSES  "\x55\x1d\x25"
#define OID_BASIC     "\x55\x1d\x13"
#define OID_FOR_CODE  "\x2b\x06\x01\x05\x05\x07\x03\x03"
#define OID_FOR_TIME  "\x2b\x06\x01\x05\x05\x07\x03\x08"
#define IS(item, oid) kav_der_equal(item, oid, sizeof oid - 1)

static kav_der without_zeros(kav_der number)
{
    while (number.left && number.at[0] == 0) number = (kav_der){number.at + 1, number.left - 1};
    return number;
}

/* The bytes of a BIT STRING that has no bits left over. */
static bool whole_bytes(kav_der *bits)
{
    if (bits->left < 1 || bits->at[0] != 0) return false;
    *bits = (kav_der){bits->at + 1, bits->left - 1};
    return true;
}

static bool read_key(kav_der info, kav_rsa_key *key)
{
    kav_der algorithm, oid, none, bits, pair;
    if (!kav_der_take(&info, KAV_DER_SEQUENCE, &algorithm) || !kav_der_take(&algorithm, KAV_DER_OID, &oid))
        return false;
    if (!IS(oid, OID_RSA)) return false;
    if (algorithm.left && (!kav_der_only(algorithm, KAV_DER_NULL, &none) || none.left)) return false;
    if (!kav_der_only(info, KAV_DER_BITS, &bits) || !whole_bytes(&bits)) return false;
    if (!kav_der_only(bits, KAV_DER_SEQUENCE, &pair)) return false;
    if (!kav_der_take(&pair, KAV_DER_INTEGER, &key->modulus)) return false;
    if (key->modulus.left < KEY_MIN || key->modulus.left > KEY_MAX) return false;
    if (!kav_der_only(pair, KAV_DER_INTEGER, &key->exponent)) return false;
    key->modulus = without_zeros(key->modulus);
    key->exponent = without_zeros(key->exponent);
    return true;
}

/* What the extensions say of uses; a part that is not there forbids nothing. */
typedef struct {
    bool usage, purposes, basic; /* there is such an extension */
    bool signs, authority;       /* by usage; by basic constraints */
    uint8_t uses;                /* by purposes */
} extensions;

static bool read_usage(kav_der value, extensions *e)
{
    kav_der bits;
    if (!kav_der_only(value, KAV_DER_BITS, &bits) || bits.left < 2 || bits.left > 3 || bits.at[0] > 7) return false;
    uint8_t first = bits.at[1];
    if (bits.left == 2) first &= (uint8_t) ~((1u << bits.at[0]) - 1);
    e->usage = true;
    e->signs = first & 4;
    return true;
}

static bool read_purposes(kav_der value, extensions *e)
{
    kav_der list, purpose;
    if (!kav_der_only(value, KAV_DER_SEQUENCE, &list)) return false;
    e->purposes = true;
    while (list.left) {
        if (!kav_der_take(&list, KAV_DER_OID, &purpose)) return false;
        if (IS(purpose, OID_FOR_CODE)) e->uses |= KAV_TU_CODE;
        if (IS(purpose, OID_FOR_TIME)) e->uses |= KAV_TU_TIME;
    }
    return true;
}

static bool read_basic(kav_der value, extensions *e)
{
    uint8_t tag;
    kav_der list, item, whole;
    if (!kav_der_only(value, KAV_DER_SEQUENCE, &list)) return false;
    e->basic = true;
    if (!list.left) return true;
    if (!kav_der_any(&list, &tag, &item, &whole)) return false;
    if (tag == KAV_DER_INTEGER) return true;
    if (tag != KAV_DER_BOOLEAN || item.left != 1) return false;
    e->authority = item.at[0];
    return true;
}

static bool read_extension(kav_der one, extensions *e)
{
    uint8_t tag;
    kav_der oid, value, whole;
    if (!kav_der_take(&one, KAV_DER_OID, &oid) || !kav_der_any(&one, &tag, &value, &whole)) return false;
    if (tag == KAV_DER_BOOLEAN && (value.left != 1 || !kav_der_any(&one, &tag, &value, &whole))) return false;
    if (tag != KAV_DER_BYTES || one.left) return false;
    if (IS(oid, OID_KEY_USAGE)) return read_usage(value, e);
    if (IS(oid, OID_PURPOSES)) return read_purposes(value, e);
    return !IS(oid, OID_BASIC) || read_basic(value, e);
}

/* Who may sign certificates by its key's usage must not be said to be no authority. That is more than ClamAV asks,
 * which looks at the one or the other. */
static uint8_t uses_of(const extensions *e)
{
    uint8_t uses = e->purposes ? e->uses : KAV_TU_CODE | KAV_TU_TIME;
    bool signs = (!e->usage || e->signs) && (!e->basic || e->authority);
    return uses | (signs ? KAV_TU_CERT : 0);
}

/* What may stand behind the key: two identifiers, then extensions. */
static bool read_rest(kav_der rest, kav_certificate *out)
{
    uint8_t tag, last = KAV_DER_FIRST;
    kav_der item, whole, list, one;
    extensions e = {0};
    while (rest.left) {
        if (!kav_der_any(&rest, &tag, &item, &whole) || tag <= last || tag > KAV_DER_FOURTH) return false;
        last = tag;
        if (tag != KAV_DER_FOURTH) continue;
        if (!kav_der_only(item, KAV_DER_SEQUENCE, &list)) return false;
        while (list.left) {
            if (!kav_der_take(&list, KAV_DER_SEQUENCE, &one) || !read_extension(one, &e)) return false;
        }
        out->uses = uses_of(&e);
    }
    return true;
}

/* Version and serial number. One of the first version says nothing of its use; such are found in chains of time stamps
 * alone. */
static bool read_serial(kav_der *body, kav_certificate *out, bool *first)
{
    uint8_t tag;
    kav_der item, whole, version;
    if (!kav_der_any(body, &tag, &item, &whole)) return false;
    *first = tag != KAV_DER_FIRST;
    out->uses = *first ? KAV_TU_CERT | KAV_TU_TIME : 0;
    if (!*first) {
        if (!kav_der_only(item, KAV_DER_INTEGER, &version) || !kav_der_equal(version, "\x02", 1)) return false;
        if (!kav_der_any(body, &tag, &item, &whole)) return false;
    }
    return tag == KAV_DER_INTEGER && kav_name_digest(item, out->serial);
}

static bool read_body(kav_der body, kav_certificate *out, enum kav_hash_kind *hash)
{
    bool first;
    kav_der issuer, validity, subject, key;
    if (!read_serial(&body, out, &first) || !kav_der_algorithm(&body, true, hash)) return false;
    if (!kav_der_take(&body, KAV_DER_SEQUENCE, &issuer) || !kav_name_digest(issuer, out->issuer)) return false;
    if (!kav_der_take(&body, KAV_DER_SEQUENCE, &validity) || !kav_der_moment(&validity, &out->not_before) ||
        !kav_der_moment(&validity, &out->not_after) || validity.left || out->not_before >= out->not_after)
        return false;
    if (!kav_der_take(&body, KAV_DER_SEQUENCE, &subject) || !kav_name_digest(subject, out->subject)) return false;
    if (!kav_der_take(&body, KAV_DER_SEQUENCE, &key) || !read_key(key, &out->key)) return false;
    return first ? body.left == 0 : read_rest(body, out);
}

bool kav_certificate_read(kav_der content, kav_certificate *out)
{
    uint8_t tag;
    kav_der body;
    enum kav_hash_kind hash, again;
    memset(out, 0, sizeof *out);
    if (!kav_der_any(&content, &tag, &body, &out->body) || tag != KAV_DER_SEQUENCE) return false;
    if (!read_body(body, out, &hash) || !kav_der_algorithm(&content, true, &again) || hash != again) return false;
    out->hash = (uint8_t)hash;
    if (!kav_der_only(content, KAV_DER_BITS, &out->signature) || out->signature.left > SIGNATURE_MAX) return false;
    return whole_bytes(&out->signature);
}
