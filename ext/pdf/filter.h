/* Filter: the filters of a stream, one behind the other, fed piece by piece. Memory is a few KiB for each, however much
 * comes out; a byte that nobody wants any more ends the chain.
 *
 * What ClamAV shows to signatures is what the filters make up to the first that fails: a filter of letters (ASCIIHex,
 * ASCII85) or of runs fails as a whole, Flate and LZW only when nothing comes out of them at all.
 */
#ifndef KAV_PDF_FILTER_H
#define KAV_PDF_FILTER_H

#include "pdf.h"

typedef struct kav_pdf_stage kav_pdf_stage;
typedef struct kav_pdf_chain kav_pdf_chain;

typedef struct {
    size_t state;                                         /* bytes of state, zero at the beginning */
    int (*begin)(kav_pdf_stage *s, const void *argument); /* 0, or -ENOMEM */
    void (*take)(kav_pdf_stage *s, const uint8_t *bytes, size_t len);
    void (*end)(kav_pdf_stage *s); /* no more bytes */
    void (*free)(kav_pdf_stage *s);
} kav_pdf_filter;

struct kav_pdf_stage {
    const kav_pdf_filter *filter;
    kav_pdf_chain *chain;
    kav_pdf_stage *next;
    void *state;
    uint64_t produced;
    bool failed, ended; /* takes no more bytes */
    size_t waiting;
    uint8_t out[8 << 10];
};

extern const kav_pdf_filter kav_pdf_hex, kav_pdf_ascii85, kav_pdf_runs, kav_pdf_flate, kav_pdf_lzw, kav_pdf_decipher;

/* Arguments of kav_pdf_lzw (bool: codes grow one early) and of kav_pdf_decipher. */
typedef struct {
    uint8_t cipher; /* enum kav_pdf_cipher */
    uint8_t key_len;
    uint8_t key[32];
} kav_pdf_key;

/* decipher.c: the key of one object. */
kav_pdf_key kav_pdf_key_of(const kav_pdf_lock *lock, uint32_t id, uint8_t cipher);

/* decipher.c: RC4, there and back. */
void kav_pdf_rc4(const uint8_t *key, size_t key_len, uint8_t *bytes, size_t len);

/* Takes what comes out; false: no more is wanted. */
typedef bool (*kav_pdf_taker)(void *context, const uint8_t *bytes, size_t len);

struct kav_pdf_chain {
    kav_unpack *unpack;
    kav_pdf_taker take; /* NULL: nothing is wanted but what becomes of the stages */
    void *context;
    kav_pdf_stage *stages[KAV_PDF_CHAIN + 1];
    uint32_t count;
    uint64_t work, ticked; /* bytes that came out of any stage */
    bool stopped, late;
};

/* Add a stage to a chain that is zero but for unpack, take and context. 0, or -ENOMEM. */
int kav_pdf_chain_add(kav_pdf_chain *c, const kav_pdf_filter *filter, const void *argument);
void kav_pdf_chain_take(kav_pdf_chain *c, const uint8_t *bytes, size_t len);

/* The whole input in one piece, for a chain that has taken nothing yet. False: nothing has happened, as it does not
 * begin with Flate, or kav_inflate_whole refuses it, or nothing comes out. */
bool kav_pdf_chain_whole(kav_pdf_chain *c, const uint8_t *bytes, uint64_t len);
void kav_pdf_chain_end(kav_pdf_chain *c);
void kav_pdf_chain_free(kav_pdf_chain *c);

/* For filters. */
void kav_pdf_flush(kav_pdf_stage *s);
void kav_pdf_fail(kav_pdf_stage *s);

static inline void kav_pdf_put(kav_pdf_stage *s, uint8_t c)
{
    s->out[s->waiting++] = c;
    if (s->waiting == sizeof s->out) kav_pdf_flush(s);
}

#endif
