/* Place: the name of a directory in a store: 16 bytes that nobody can choose.
 *
 *     place = keyed hash of (file system, directory inode, its birth time, settings)
 *
 * The file system is a digest that holds across reboots (UUID and subvolume) or only for this boot and mount where that
 * would not be safe; settings is a digest of all that decides how an object is opened. So a fact is found only by who
 * asks for the same file system under the same settings, and no number has to mean the same thing tomorrow.
 */
#ifndef KAV_PLACE_H
#define KAV_PLACE_H

#include <stddef.h>
#include <stdint.h>

#define KAV_SECRET 32 /* bytes of a store's key */

void kav_place(const uint8_t secret[KAV_SECRET], const uint8_t fs[16], uint64_t dir_ino, int64_t dir_btime_ns,
               const uint8_t settings[16], uint8_t out[16]);

/* SipHash-2-4 of bytes under the first 16 bytes of the secret: the checksum of everything in a store. */
uint64_t kav_seal(const uint8_t secret[KAV_SECRET], const void *data, size_t length);

/* A large directory is a trie: a split place has KAV_PARTS parts, each of them a place that may be split again. The
 * part of an inode below a split place; depth counts from 0. The place itself is the key. */
#define KAV_PARTS      16
#define KAV_PART_DEPTH 8 /* levels below a directory's own place */
void kav_part_place(const uint8_t place[16], uint64_t ino, unsigned depth, uint8_t out[16]);

/* The same in two steps: which part, and its place. */
unsigned kav_part_number(const uint8_t place[16], uint64_t ino);
void kav_part_at(const uint8_t place[16], unsigned number, unsigned depth, uint8_t out[16]);

/* What it is made of: SipHash-2-4 with 64 and with 128 bits of output. */
uint64_t kav_siphash(const uint8_t key[16], const void *data, size_t length);
void kav_siphash_wide(const uint8_t key[16], const void *data, size_t length, uint8_t out[16]);

#endif
