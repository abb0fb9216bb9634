/* Hash: what the standard security handler of PDF hashes with. All return false where the system's OpenSSL refuses. */
#ifndef KAV_PDF_HASH_H
#define KAV_PDF_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool kav_pdf_md5(const uint8_t *bytes, size_t len, uint8_t out[16]);
bool kav_pdf_sha256(const uint8_t *bytes, size_t len, uint8_t out[32]);

/* The hash of revision 6, of the empty password with a salt and, for owners, the 48 bytes of /U (else NULL). */
bool kav_pdf_hash6(const uint8_t salt[8], const uint8_t *user, uint8_t out[32]);

/* AES in CBC mode without padding; len is a multiple of 16, key_len 16 or 32. */
bool kav_pdf_aes_decrypt(const uint8_t *key, size_t key_len, const uint8_t iv[16], const uint8_t *in, size_t len,
                         uint8_t *out);

#endif
