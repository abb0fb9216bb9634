/* Script: JavaScript in the form that ClamAV's signatures expect ("javascript" in its temporary folder): tokens without
 * comments and needless blanks, strings joined and unescaped, declared names numbered (n000, n001 ...), and what eval,
 * unescape and two well-known packers hide made plain.
 *
 *     kav_script *s = kav_script_new(out);
 *     kav_script_feed(s, text, len);   any number of times
 *     kav_script_end(s);               one script is written; the next may begin
 *
 * A script that needs more than some 60 MB is written in parts.
 */
#ifndef KAV_SCRIPT_H
#define KAV_SCRIPT_H

#include "textout.h"

typedef struct kav_script kav_script;

kav_script *kav_script_new(kav_text_out *out); /* NULL: out of memory */
void kav_script_free(kav_script *s);

/* Text of a script. No token but a string goes on from one call to the next as if they were one, as in ClamAV. */
void kav_script_feed(kav_script *s, const uint8_t *text, size_t len);

void kav_script_end(kav_script *s);

/* Memory was lacking; something may be missing. */
bool kav_script_failed(const kav_script *s);

#endif
