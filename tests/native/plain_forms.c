/* Standard input as plain.h makes it, by the way for any processor ("narrow") or by the best that this one has, in
 * pieces of so many bytes:
 *
 *     plain_forms narrow|best PIECE
 */
#include "plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words)
{
    static uint8_t text[1 << 16];
    size_t size = fread(text, 1, sizeof text, stdin), piece = count == 3 ? strtoul(words[2], NULL, 10) : 0;
    bool space = false, narrow = count == 3 && strcmp(words[1], "narrow") == 0;
    if (!piece) return 1;
    for (size_t at = 0; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        uint8_t *in = malloc(n), *out = malloc(n); /* of just that size, so that a checker sees one byte too many */
        if (!in || !out) return 1;
        memcpy(in, text + at, n);
        size_t made = narrow ? kav_plain_narrow(in, n, out, &space) : kav_plain(in, n, out, &space);
        fwrite(out, 1, made, stdout);
        free(in);
        free(out);
    }
    return 0;
}
