/* Base64 as mail has it: with line ends, with junk, and more than one padded text in a row. */
#include "mail.h"

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t kav_base64_decode(kav_base64 *state, const uint8_t *in, size_t len, uint8_t *out)
{
    uint32_t bits = state->bits, count = state->count;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(in[i]);
        if (in[i] == '=') count = 0;
        if (value < 0) continue;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out[n++] = (uint8_t)(bits >> count);
    }
    state->bits = bits;
    state->count = count;
    return n;
}
