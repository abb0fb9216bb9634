#include "hash.h"

#include <openssl/evp.h>
#include <string.h>

static bool digest(const EVP_MD *kind, const uint8_t *bytes, size_t len, uint8_t *out)
{
    unsigned out_len;
    return EVP_Digest(bytes, len, out, &out_len, kind, NULL) == 1;
}

bool kav_pdf_md5(const uint8_t *bytes, size_t len, uint8_t out[16])
{
    return digest(EVP_md5(), bytes, len, out);
}

bool kav_pdf_sha256(const uint8_t *bytes, size_t len, uint8_t out[32])
{
    return digest(EVP_sha256(), bytes, len, out);
}

static bool aes(const EVP_CIPHER *kind, int encrypt, const uint8_t *key, const uint8_t *iv, const uint8_t *in,
                size_t len, uint8_t *out)
{
    int done, rest;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    bool good = c && EVP_CipherInit_ex(c, kind, NULL, key, iv, encrypt) == 1 && EVP_CIPHER_CTX_set_padding(c, 0) == 1 &&
                EVP_CipherUpdate(c, out, &done, in, (int)len) == 1 && EVP_CipherFinal_ex(c, out + done, &rest) == 1;
    EVP_CIPHER_CTX_free(c);
    return good;
}

bool kav_pdf_aes_decrypt(const uint8_t *key, size_t key_len, const uint8_t iv[16], const uint8_t *in, size_t len,
                         uint8_t *out)
{
    return aes(key_len == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc(), 0, key, iv, in, len, out);
}

/* ISO 32000-2, algorithm 2.B. Rounds go on until the last byte allows an end; 288 are the most that is possible. */
bool kav_pdf_hash6(const uint8_t salt[8], const uint8_t *user, uint8_t out[32])
{
    uint8_t once[64 + 48], all[64 * sizeof once], block[64];
    size_t block_len = 32, user_len = user ? 48 : 0;
    memcpy(once, salt, 8);
    if (user) memcpy(once + 8, user, user_len);
    if (!kav_pdf_sha256(once, 8 + user_len, block)) return false;
    for (int round = 0, last = 0; round < 64 || last > round - 32; round++) {
        size_t len = block_len + user_len;
        memcpy(once, block, block_len);
        if (user) memcpy(once + block_len, user, user_len);
        for (size_t i = 0; i < 64; i++) memcpy(all + i * len, once, len);
        if (!aes(EVP_aes_128_cbc(), 1, block, block + 16, all, 64 * len, all)) return false;
        unsigned sum = 0;
        for (int i = 0; i < 16; i++) sum += all[i];
        const EVP_MD *kind = sum % 3 == 0 ? EVP_sha256() : sum % 3 == 1 ? EVP_sha384() : EVP_sha512();
        block_len = 32 + 16 * (sum % 3);
        last = all[64 * len - 1];
        if (!digest(kind, all, 64 * len, block)) return false;
    }
    memcpy(out, block, 32);
    return true;
}
