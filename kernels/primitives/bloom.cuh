// Scope   thread
// Split block Bloom filters: a value has eight bits in one block of 32 bytes. Filters that were
// read from files are of this form. Source  the specification of Bloom filters of Apache Parquet,
// and that of xxHash by Y. Collet;
//         written from them.
#pragma once
#include "primitives/atomic.cuh"

#define BLOOM_BLOCK_WORDS 4u
#define XXHASH_PRIME_1 0x9e3779b185ebca87ull
#define XXHASH_PRIME_2 0xc2b2ae3d27d4eb4full
#define XXHASH_PRIME_3 0x165667b19e3779f9ull
#define XXHASH_PRIME_4 0x85ebca77c2b2ae63ull
#define XXHASH_PRIME_5 0x27d4eb2f165667c5ull

/// The bits of a value in its block, as four words of 64 bits.
struct BloomBits {
  uint64_t words[BLOOM_BLOCK_WORDS];
};

KERNEL_FN uint64_t xxhash_rotate(uint64_t word, uint32_t bits) {
  return word << bits | word >> (64 - bits);
}

KERNEL_FN uint64_t xxhash_finish(uint64_t hash) {
  hash = (hash ^ hash >> 33) * XXHASH_PRIME_2;
  hash = (hash ^ hash >> 29) * XXHASH_PRIME_3;
  return hash ^ hash >> 32;
}

/// xxHash64, seed 0, of 8 bytes.
/// Scope thread · Result in the caller · JIT yes
KERNEL_FN uint64_t xxhash_u64(uint64_t value) {
  const uint64_t lane = xxhash_rotate(value * XXHASH_PRIME_2, 31) * XXHASH_PRIME_1;
  const uint64_t hash = (XXHASH_PRIME_5 + 8) ^ lane;
  return xxhash_finish(xxhash_rotate(hash, 27) * XXHASH_PRIME_1 + XXHASH_PRIME_4);
}

/// xxHash64, seed 0, of 4 bytes.
/// Scope thread · Result in the caller · JIT yes
KERNEL_FN uint64_t xxhash_u32(uint32_t value) {
  const uint64_t hash = (XXHASH_PRIME_5 + 4) ^ (uint64_t)value * XXHASH_PRIME_1;
  return xxhash_finish(xxhash_rotate(hash, 23) * XXHASH_PRIME_2 + XXHASH_PRIME_3);
}

/// The block of a hash.
/// Scope thread · Result in the caller · JIT yes
KERNEL_FN uint64_t bloom_block(uint64_t hash, uint64_t block_count) {
  return (hash >> 32) * block_count >> 32;
}

/// The bits of a hash: one in each 32 bits of the block.
/// Scope thread · Result in the caller · JIT yes
KERNEL_FN BloomBits bloom_bits(uint64_t hash) {
  const uint32_t salts[8] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
                             0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u};
  BloomBits bits;
  for (uint32_t word = 0; word < BLOOM_BLOCK_WORDS; word++) {
    const uint32_t low = (uint32_t)hash * salts[word * 2] >> 27;
    const uint32_t high = (uint32_t)hash * salts[word * 2 + 1] >> 27;
    bits.words[word] = 1ull << low | 1ull << (high + 32);
  }
  return bits;
}

/// Puts a hash into a filter of `block_count` blocks.
/// Scope thread · Result in memory · Memory up to 4 atomics in one sector · JIT yes
KERNEL_FN void bloom_insert(uint64_t *blocks, uint64_t block_count, uint64_t hash) {
  uint64_t *block = blocks + bloom_block(hash, block_count) * BLOOM_BLOCK_WORDS;
  const BloomBits bits = bloom_bits(hash);
  for (uint32_t word = 0; word < BLOOM_BLOCK_WORDS; word++) {
    if ((ld_relaxed(block + word) & bits.words[word]) == bits.words[word]) continue;
    atomicOr((unsigned long long *)block + word, (unsigned long long)bits.words[word]);
  }
}

/// False if the hash is certainly not in the filter.
/// Scope thread · Result in the caller · Memory one sector by two loads · JIT yes
KERNEL_FN bool bloom_may_have(const uint64_t *blocks, uint64_t block_count, uint64_t hash) {
  const uint64_t first = bloom_block(hash, block_count) * BLOOM_BLOCK_WORDS;
  const ulonglong2 low = *(const ulonglong2 *)(blocks + first);
  const ulonglong2 high = *(const ulonglong2 *)(blocks + first + 2);
  const BloomBits bits = bloom_bits(hash);
  const uint64_t missing = (bits.words[0] & ~low.x) | (bits.words[1] & ~low.y) |
                           (bits.words[2] & ~high.x) | (bits.words[3] & ~high.y);
  return missing == 0;
}
