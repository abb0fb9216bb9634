#include "needle.h"
#include "pattern.h"

#include <string.h>

typedef uint8_t lanes __attribute__((vector_size(32)));

enum { LANES = sizeof(lanes) };

static uint8_t blind_to(const kav_element *e, uint8_t value)
{
    return e->kind == KAV_EL_NOCASE && value >= 'a' && value <= 'z' ? 0x20 : 0;
}

static uint32_t rarity(uint8_t value, uint8_t blind)
{
    uint8_t one = kav_rarity(value), other = kav_rarity(value & (uint8_t)~blind);
    return one < other ? one : other;
}

/* Two neighbours in a run of bytes that are rarer than what is known. */
static void try_run(const kav_element *e, const uint8_t *run, uint32_t ahead, kav_needle *best, uint32_t *best_score)
{
    for (uint32_t i = 0; i < e->length; i++) {
        uint32_t next = i + 1 < e->length ? i + 1 : i;
        uint8_t a = blind_to(e, run[i]), b = blind_to(e, run[next]);
        uint32_t score = rarity(run[i], a) + (run[next] == run[i] ? 1 : rarity(run[next], b));
        if (score <= *best_score) continue;
        *best_score = score;
        best->ahead = ahead + i;
        best->step = (uint8_t)(next - i);
        best->value[0] = run[i];
        best->value[1] = run[next];
        best->blind[0] = a;
        best->blind[1] = b;
    }
}

/* Only what has a fixed distance from the pivot will do. */
static bool find_needle(const kav_body *b, uint32_t index, kav_needle *out)
{
    const kav_piece *piece = &b->pieces[index];
    uint32_t ahead = 0, score = 0;
    *out = (kav_needle){.piece = index};
    for (uint32_t i = piece->pivot; i < piece->element_count; i++) {
        const kav_element *e = &b->elements[piece->element + i];
        if (e->kind > KAV_EL_SET) break;
        if (e->kind == KAV_EL_BYTES || e->kind == KAV_EL_NOCASE) try_run(e, b->data + e->data, ahead, out, &score);
        ahead += e->kind == KAV_EL_SET ? 1 : e->length;
    }
    return score > 0;
}

uint32_t kav_needles_of(const kav_body *b, uint32_t pattern, kav_needle out[KAV_NEEDLES])
{
    const kav_pattern *p = &b->patterns[pattern];
    uint32_t count = 0;
    for (uint32_t c = p->chain; c < p->chain + p->chain_count; c++) {
        const kav_chain *chain = &b->chains[c];
        for (uint32_t i = chain->piece; i < chain->piece + chain->piece_count; i++) {
            if (count == KAV_NEEDLES || !find_needle(b, i, &out[count])) return 0;
            count++;
        }
    }
    return count;
}

static bool stands(const kav_needle *n, const uint8_t *at)
{
    return (at[0] | n->blind[0]) == n->value[0] && (at[n->step] | n->blind[1]) == n->value[1];
}

/* How many bytes, in whole blocks, no needle begins in. Reads one byte more than it looks at. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default")))
#endif
static size_t
pass_over(const kav_needle *n, const uint8_t *p, size_t length)
{
    const lanes zero = {0};
    const lanes first = zero + n->value[0], second = zero + n->value[1];
    const lanes blind = zero + n->blind[0], other = zero + n->blind[1];
    size_t at = 0;
    for (; length - at > LANES; at += LANES) {
        lanes a, b;
        uint64_t words[LANES / 8];
        memcpy(&a, p + at, sizeof a);
        memcpy(&b, p + at + n->step, sizeof b);
        lanes both = (lanes)((a | blind) == first) & (lanes)((b | other) == second);
        memcpy(words, &both, sizeof words);
        if (words[0] | words[1] | words[2] | words[3]) break;
    }
    return at;
}

void kav_needle_find(kav_needle *n, const uint8_t *data, uint64_t length, uint64_t from)
{
    n->at = KAV_NOWHERE;
    if (length < n->step || from > length || n->ahead > length - from) return;
    uint64_t at = from + n->ahead, end = length - n->step;
    while (at < end) {
        at += pass_over(n, data + at, (size_t)(end - at));
        for (uint64_t stop = end - at > LANES ? at + LANES : end; at < stop; at++) {
            if (!stands(n, data + at)) continue;
            n->at = at - n->ahead;
            return;
        }
    }
}
