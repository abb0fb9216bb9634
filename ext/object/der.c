#define _GNU_SOURCE
#include "der.h"

#include <string.h>
#include <time.h>

#define LENGTH_BYTES 4 /* most that a length may take */

bool kav_der_any(kav_der *d, uint8_t *tag, kav_der *content, kav_der *whole)
{
    const uint8_t *begin = d->at, *at = begin;
    if (d->left < 2) return false;
    *tag = at[0];
    size_t length = at[1], left = d->left - 2;
    at += 2;
    if (length & 0x80) {
        size_t count = length & 0x7f;
        if (count == 0 || count > LENGTH_BYTES || count > left) return false;
        left -= count;
        for (length = 0; count; count--) length = length << 8 | *at++;
    }
    if (length > left) return false;
    *content = (kav_der){at, length};
    *whole = (kav_der){begin, (size_t)(at - begin) + length};
    *d = (kav_der){at + length, left - length};
    return true;
}

bool kav_der_take(kav_der *d, uint8_t tag, kav_der *content)
{
    uint8_t found;
    kav_der whole;
    return kav_der_any(d, &found, content, &whole) && found == tag;
}

bool kav_der_only(kav_der d, uint8_t tag, kav_der *content)
{
    return kav_der_take(&d, tag, content) && d.left == 0;
}

bool kav_der_equal(kav_der a, const void *bytes, size_t length)
{
    return a.left == length && memcmp(a.at, bytes, length) == 0;
}

/* Two digits; -1: none. */
static int pair(kav_der *d)
{
    if (d->left < 2 || d->at[0] < '0' || d->at[0] > '9' || d->at[1] < '0' || d->at[1] > '9') return -1;
    int value = (d->at[0] - '0') * 10 + d->at[1] - '0';
    *d = (kav_der){d->at + 2, d->left - 2};
    return value;
}

static bool in(int value, int least, int most, int *out)
{
    *out = value;
    return value >= least && value <= most;
}

bool kav_der_moment(kav_der *d, int64_t *out)
{
    uint8_t tag;
    kav_der text, whole;
    struct tm t = {0};
    int century = 0, year;
    if (!kav_der_any(d, &tag, &text, &whole) || (tag != KAV_DER_UTC_TIME && tag != KAV_DER_TIME)) return false;
    if (tag == KAV_DER_TIME && !in(pair(&text), 0, 99, &century)) return false;
    if (!in(pair(&text), 0, 99, &year)) return false;
    if (tag == KAV_DER_UTC_TIME) century = year < 50 ? 20 : 19;
    t.tm_year = century * 100 + year - 1900;
    if (!in(pair(&text) - 1, 0, 11, &t.tm_mon) || !in(pair(&text), 1, 31, &t.tm_mday) ||
        !in(pair(&text), 0, 23, &t.tm_hour) || !in(pair(&text), 0, 59, &t.tm_min))
        return false;
    if (text.left > 1 && !in(pair(&text), 0, 59, &t.tm_sec)) return false; /* some leave out the seconds */
    if (!kav_der_equal(text, "Z", 1)) return false;
    *out = timegm(&t);
    return true;
}

#define RSA_OIDS "\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define SHA_OIDS "\x60\x86\x48\x01\x65\x03\x04\x02"

static const struct {
    const char *oid;
    uint8_t length;
    uint8_t kind;
    bool hash, signature; /* what it may stand for */
} ALGORITHMS[] = {
    {"\x2a\x86\x48\x86\xf7\x0d\x02\x05", 8, KAV_HK_MD5, true, false},
    {"\x2b\x0e\x03\x02\x1a", 5, KAV_HK_SHA1, true, false},
    {SHA_OIDS "\x01", 9, KAV_HK_SHA256, true, false},
    {SHA_OIDS "\x02", 9, KAV_HK_SHA384, true, false},
    {SHA_OIDS "\x03", 9, KAV_HK_SHA512, true, false},
    {RSA_OIDS "\x01", 9, KAV_HK_RSA, false, true},
    {RSA_OIDS "\x04", 9, KAV_HK_MD5, true, true},
    {RSA_OIDS "\x05", 9, KAV_HK_SHA1, true, true},
    {"\x2b\x0e\x03\x02\x1d", 5, KAV_HK_SHA1, false, true},
    {RSA_OIDS "\x0b", 9, KAV_HK_SHA256, true, true},
    {RSA_OIDS "\x0c", 9, KAV_HK_SHA384, true, true},
    {RSA_OIDS "\x0d", 9, KAV_HK_SHA512, true, true},
};

bool kav_der_algorithm(kav_der *d, bool signature, enum kav_hash_kind *kind)
{
    kav_der algorithm, oid, none;
    *kind = KAV_HK_OTHER;
    if (!kav_der_take(d, KAV_DER_SEQUENCE, &algorithm) || !kav_der_take(&algorithm, KAV_DER_OID, &oid)) return false;
    if (algorithm.left && (!kav_der_only(algorithm, KAV_DER_NULL, &none) || none.left)) return false;
    for (size_t i = 0; i < sizeof ALGORITHMS / sizeof *ALGORITHMS; i++) {
        if (!kav_der_equal(oid, ALGORITHMS[i].oid, ALGORITHMS[i].length)) continue;
        if (signature ? ALGORITHMS[i].signature : ALGORITHMS[i].hash) *kind = ALGORITHMS[i].kind;
    }
    return true;
}
