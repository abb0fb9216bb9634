/* MD5 of many contents at once. The rounds of one digest wait for each other, those of eight do not: together they take
 * little longer than one.
 */
#ifndef KAV_MD5MANY_H
#define KAV_MD5MANY_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *bytes;
    size_t length;
    uint8_t *out; /* 16 bytes */
} kav_md5_job;

#define KAV_MD5_LEAST 3 /* with fewer jobs one after the other is as fast */

/* Digest all jobs. They are put in another order: the longest first. */
void kav_md5_many(kav_md5_job *jobs, size_t count);

#endif
