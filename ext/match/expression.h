/* Expression: logical expressions of .ldb signatures, 0&(1|2)>3,2 ..., as postfix code.
 *
 * The rules are ClamAV's: a row of operators without parentheses is taken from the right, inside parentheses the last
 * operator is the outermost; A>n, A<n, A=n compare how often A's subsignatures matched together (0 when A is false);
 * ",m" after a parenthesis asks for m different subsignatures, and those in a compared parenthesis do not count for one
 * further out.
 */
#ifndef KAV_EXPRESSION_H
#define KAV_EXPRESSION_H

#include "tables.h"

/* Append the code for text to out. Leaves hold subsignature numbers in .index and .value. *highest is the highest of
 * them. NULL, or why not. */
const char *kav_expression_parse(const char *text, size_t length, kav_buffer *out, uint32_t *highest);

/* How often a count must be known at most to decide this code: one more than the largest number compared with. */
uint32_t kav_expression_cap(const kav_code *code, uint32_t count);

enum kav_truth { KAV_FALSE = 0, KAV_TRUE = 1, KAV_PERHAPS = 2 };

/* The count of a leaf's pattern or probe; KAV_ANY_COUNT when it is not known yet. */
typedef uint32_t (*kav_leaf_count)(const void *context, const kav_code *leaf);

/* KAV_PERHAPS only when a leaf is not known. The code has been checked by kav_expression_check. */
enum kav_truth kav_expression_eval(const kav_code *code, uint32_t count, kav_leaf_count leaf, const void *context);

/* Code read from a part: one value is left, the stack holds, operators, patterns and probes exist. */
bool kav_expression_check(const kav_code *code, uint32_t count, uint32_t patterns, uint32_t probes);

#endif
