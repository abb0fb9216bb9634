#include "plain.h"

#include <string.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { BLOCK = 32 };

/* What becomes of a byte: itself, another, a blank, or 0: nothing. */
static inline uint8_t form_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return (uint8_t)(c | 0x20);
    if (c > ' ' && c < 0x80) return c;
    return c == ' ' || (c >= '\t' && c <= '\r') ? ' ' : 0;
}

static uint8_t *plain_bytes(const uint8_t *in, const uint8_t *end, uint8_t *o, bool *space)
{
    bool blank = *space;
    for (; in < end; in++) {
        uint8_t c = form_of(*in);
        *o = c;
        o += c != 0 && !(c == ' ' && blank);
        if (c) blank = c == ' ';
    }
    *space = blank;
    return o;
}

#ifdef __SSE2__

/* A block's bytes as they will be, and which of them: a bit each. */
typedef struct {
    uint8_t form[2 * BLOCK]; /* runs are copied in whole vectors, which reach beyond the block */
    uint32_t blank, left_out;
} block_form;

static inline __m128i between(__m128i c, char first, char count)
{
    __m128i from = _mm_sub_epi8(c, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8((char)(count - 1))), from);
}

static inline void look(const uint8_t *in, block_form *b, unsigned at)
{
    __m128i c = _mm_loadu_si128((const __m128i *)(in + at));
    __m128i white = between(c, '\t', 5), space = _mm_set1_epi8(' ');
    __m128i blank = _mm_or_si128(white, _mm_cmpeq_epi8(c, space));
    __m128i control = _mm_cmplt_epi8(c, space); /* signed: from 0x80 on, too */
    __m128i small = _mm_or_si128(c, _mm_and_si128(between(c, 'A', 26), space));
    __m128i form = _mm_or_si128(_mm_andnot_si128(white, small), _mm_and_si128(white, space));
    _mm_storeu_si128((__m128i *)(b->form + at), form);
    b->blank |= (uint32_t)_mm_movemask_epi8(blank) << at;
    b->left_out |= (uint32_t)_mm_movemask_epi8(_mm_andnot_si128(white, control)) << at;
}

/* Which bytes stay. A blank does not when the byte before it is one, whatever is left out in between: in a sum a carry
 * runs through the ones of what is left out, to the byte behind them. */
static inline uint32_t kept(const block_form *b, bool *space)
{
    uint64_t behind = (uint64_t)b->blank << 1 | *space, out = b->left_out;
    uint64_t after_blank = (behind & ~out) | (((behind & out) + out) & ~out);
    *space = after_blank >> BLOCK & 1;
    return ~(b->left_out | (b->blank & (uint32_t)after_blank));
}

/* One block; writes up to BLOCK bytes more than it returns. */
static inline uint8_t *plain_block(const uint8_t *in, uint8_t *o, bool *space)
{
    block_form b;
    b.blank = b.left_out = 0;
    look(in, &b, 0);
    look(in, &b, BLOCK / 2);
    uint32_t keep = kept(&b, space);
    if (keep == UINT32_MAX) {
        memcpy(o, b.form, BLOCK);
        return o + BLOCK;
    }
    for (uint64_t left = keep; left;) {
        unsigned from = (unsigned)__builtin_ctzll(left);
        unsigned count = (unsigned)__builtin_ctzll(~(left >> from));
        memcpy(o, b.form + from, BLOCK / 2);
        if (count > BLOCK / 2) memcpy(o + BLOCK / 2, b.form + from + BLOCK / 2, BLOCK / 2);
        o += count;
        left &= ~(((UINT64_C(1) << count) - 1) << from);
    }
    return o;
}

#endif

#ifdef __x86_64__

/* Up to 64 bytes at a time, where the processor itself can push together what stays. What lies behind the last byte
 * counts as left out; a blank is followed through all that is, as in kept(). */
#define WIDE __attribute__((target("avx512f,avx512bw,avx512vbmi2")))
enum { WIDE_BLOCK = 64 };

WIDE static inline uint8_t *wide_block(const uint8_t *in, size_t len, uint8_t *o, bool *space)
{
    const __mmask64 there = len < WIDE_BLOCK ? ((__mmask64)1 << len) - 1 : ~(__mmask64)0;
    const __m512i c = _mm512_maskz_loadu_epi8(there, in), blank_byte = _mm512_set1_epi8(' ');
    const __mmask64 white = _mm512_cmple_epu8_mask(_mm512_sub_epi8(c, _mm512_set1_epi8('\t')), _mm512_set1_epi8(4));
    const __mmask64 large = _mm512_cmple_epu8_mask(_mm512_sub_epi8(c, _mm512_set1_epi8('A')), _mm512_set1_epi8(25));
    const __mmask64 blank = white | _mm512_cmpeq_epi8_mask(c, blank_byte);
    const __mmask64 control = _mm512_cmplt_epi8_mask(c, blank_byte); /* signed: from 0x80 on, too */
    const uint64_t out = (control & ~white) | ~there, behind = blank << 1 | *space;
    uint64_t sum;
    bool carry = __builtin_add_overflow(behind & out, out, &sum);
    const uint64_t keep = ~(out | (blank & (behind | sum)));
    __m512i form = _mm512_mask_add_epi8(c, large, c, blank_byte);
    form = _mm512_maskz_compress_epi8(keep, _mm512_mask_mov_epi8(form, white, blank_byte));
    *space = blank >> (WIDE_BLOCK - 1) || carry;
    size_t kept_bytes = (size_t)__builtin_popcountll(keep);
    if (len >= WIDE_BLOCK) _mm512_storeu_si512(o, form); /* no more is written than was read */
    else _mm512_mask_storeu_epi8(o, ((__mmask64)1 << kept_bytes) - 1, form);
    return o + kept_bytes;
}

WIDE static size_t plain_wide(const uint8_t *in, size_t len, uint8_t *out, bool *space)
{
    uint8_t *o = out;
    for (; len >= WIDE_BLOCK; in += WIDE_BLOCK, len -= WIDE_BLOCK) o = wide_block(in, WIDE_BLOCK, o, space);
    if (len > 0) o = wide_block(in, len, o, space);
    return (size_t)(o - out);
}

#endif

size_t kav_plain_narrow(const uint8_t *in, size_t len, uint8_t *out, bool *space)
{
    const uint8_t *end = in + len;
    uint8_t *o = out;
#ifdef __SSE2__
    for (; end - in >= 2 * BLOCK; in += BLOCK) o = plain_block(in, o, space);
#endif
    return (size_t)(plain_bytes(in, end, o, space) - out);
}

size_t kav_plain(const uint8_t *in, size_t len, uint8_t *out, bool *space)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw"))
        return plain_wide(in, len, out, space);
#endif
    return kav_plain_narrow(in, len, out, space);
}
