/* Base64 as mail has it: with line ends, with junk, and more than one padded text in a row. */
#include "mail.h"

/* The value of a character plus 1; 0 = not of the alphabet. */
static const uint8_t letter[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64};

size_t kav_base64_decode(kav_base64 *state, const uint8_t *in, size_t len, uint8_t *out)
{
    uint32_t bits = state->bits, count = state->count, pads = state->pads;
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        if (count == 0 && len - i >= 4) { /* the usual case: four letters, three bytes */
            uint32_t a = letter[in[i]], b = letter[in[i + 1]], c = letter[in[i + 2]], d = letter[in[i + 3]];
            if (a && b && c && d) {
                bits = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
                out[n++] = (uint8_t)(bits >> 16);
                out[n++] = (uint8_t)(bits >> 8);
                out[n++] = (uint8_t)bits;
                i += 4;
                continue;
            }
        }
        uint8_t byte = in[i++], value = letter[byte];
        if (byte == '=' && (count == 2 || (count == 4 && ++pads == 2))) count = pads = 0;
        if (!value) continue;
        pads = 0;
        bits = bits << 6 | (uint32_t)(value - 1);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out[n++] = (uint8_t)(bits >> count);
    }
    state->bits = bits;
    state->count = count;
    state->pads = pads;
    return n;
}
