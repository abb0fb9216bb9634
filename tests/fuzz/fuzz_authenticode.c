/* Fuzz: the signature of a program with its certificates (ext/object/authenticode.h), by rules that trust and block
 * what the seeds are signed with: the first bytes of an input are the rule's digest of the subject, then its key. */
#include "authenticode.h"

#include <stdlib.h>

enum { KEY = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_blocked(void *context, const kav_trust_rule *rule)
{
    if (!rule->blocked) abort();
    ++*(unsigned *)context;
}

static bool feed(void *context, kav_hasher *hasher)
{
    return kav_hasher_feed(hasher, context, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < KAV_NAME_DIGEST + KEY) return 0;
    kav_trust_rule rules[2] = {{.subject = data, .key = data + KAV_NAME_DIGEST, .key_len = KEY, .uses = 7}};
    unsigned count = 0;
    rules[1] = rules[0];
    rules[1].blocked = true;
    kav_authenticode a = {rules, 2, 1800000000, on_blocked, feed, &count};
    kav_authenticode_judge(&a, data + KAV_NAME_DIGEST + KEY, size - KAV_NAME_DIGEST - KEY);
    return 0;
}
