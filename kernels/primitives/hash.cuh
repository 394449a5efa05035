// Scope   thread
// Hashing of 64-bit words.
// Source  the finaliser of MurmurHash3 (A. Appleby, public domain); written from the idea.
#pragma once
#include "primitives/prelude.cuh"

/// Mixes a word so that every bit of it changes half of the result's bits.
/// Scope thread · Result in the caller · JIT yes
KERNEL_FN uint64_t hash_word(uint64_t word) {
  word ^= word >> 33;
  word *= 0xff51afd7ed558ccdull;
  word ^= word >> 33;
  word *= 0xc4ceb9fe1a85ec53ull;
  word ^= word >> 33;
  return word;
}

/// Hash of a key of several words.
KERNEL_FN uint64_t hash_words(const uint64_t *words, uint32_t count) {
  uint64_t hash = hash_word(words[0]);
  for (uint32_t i = 1; i < count; i++) hash = hash_word(words[i] + 0x9e3779b97f4a7c15ull * hash);
  return hash;
}
