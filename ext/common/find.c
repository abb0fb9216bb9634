/* The first and the last byte of the word are compared for many places at once, as wide as the processor can. */
#define _GNU_SOURCE /* memmem */
#include "find.h"

#include <string.h>

typedef uint8_t lanes __attribute__((vector_size(32)));

enum { LANES = sizeof(lanes) };

/* Of the LANES places from p on, the first at which the word is; NULL: none. */
static const uint8_t *look(const uint8_t *p, const uint8_t *word, size_t len)
{
    for (int i = 0; i < LANES; i++)
        if (p[i] == word[0] && memcmp(p + i, word, len) == 0) return p + i;
    return NULL;
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default")))
#endif
const uint8_t *
kav_find(const uint8_t *bytes, size_t length, const void *word, size_t word_len)
{
    const uint8_t *w = word, *p = bytes;
    const uint8_t first = w[0], last = w[word_len - 1];
    for (; length >= LANES + word_len - 1; p += LANES, length -= LANES) {
        lanes a, b;
        memcpy(&a, p, sizeof a);
        memcpy(&b, p + word_len - 1, sizeof b);
        lanes both = (lanes)((a == first) & (b == last));
        uint64_t words[LANES / 8];
        memcpy(words, &both, sizeof words);
        if (!(words[0] | words[1] | words[2] | words[3])) continue;
        const uint8_t *found = look(p, w, word_len);
        if (found != NULL) return found;
    }
    return memmem(p, length, word, word_len);
}
