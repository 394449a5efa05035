// Scope   thread
// Strings where they lie: words of them, characters, comparisons and searches.
#pragma once
#include "abi/page.h"
#include "abi/strings.h"
#include "primitives/bytes.cuh"
#include "primitives/value.cuh"

#define STRINGS_ONES 0x0101010101010101ull
#define STRINGS_HIGH_BITS 0x8080808080808080ull
#define STRINGS_NONE (~(uint64_t)0)

/// The view of a row, whatever its validity.
KERNEL_FN TextView strings_view(const ColumnView &column, uint64_t row) {
  ulonglong2 bits;
  if (column.kind == COLUMN_ARRAY) {
    bits = ((const ulonglong2 *)column.values)[column.offset + row];
  } else {
    bits = make_ulonglong2(column.scalar_low, column.scalar_high);
  }
  return TextView{(const uint8_t *)bits.x, (uint32_t)bits.y, 0};
}

/// The view of a row; an empty one for a null.
KERNEL_FN TextView strings_row(const ColumnView &column, uint64_t row, bool valid) {
  return valid ? strings_view(column, row) : TextView{nullptr, 0, 0};
}

KERNEL_FN void strings_store(const ColumnOut &output, uint64_t row, const uint8_t *bytes,
                             uint64_t length) {
  ((ulonglong2 *)output.values)[row] = make_ulonglong2((uint64_t)bytes, length);
}

/// 8 bytes from byte `at` on, zero behind the end. Aligned words are read, so up to 7 bytes in
/// front of the string: its buffer begins at such a word.
KERNEL_FN uint64_t strings_word(const TextView &text, uint64_t at) {
  const uint64_t address = (uint64_t)text.bytes + at, skipped = address & 7;
  if (at + 16 > text.length + skipped) return bytes_u64(text.bytes, text.length, at);
  const uint64_t *words = (const uint64_t *)(address - skipped);
  if (skipped == 0) return words[0];
  return words[0] >> (8 * skipped) | words[1] << (64 - 8 * skipped);
}

/// Bit 8 * i says that byte i of a word begins a character.
KERNEL_FN uint64_t strings_starts(uint64_t word) {
  return STRINGS_ONES & ~((word >> 7) & ~(word >> 6));
}

/// As `strings_starts`, of the bytes that are part of the string.
KERNEL_FN uint64_t strings_starts_at(const TextView &text, uint64_t at) {
  const uint64_t starts = strings_starts(strings_word(text, at)), left = text.length - at;
  return left >= 8 ? starts : starts & ((1ull << (8 * left)) - 1);
}

/// Characters of the first `end` bytes.
KERNEL_FN uint64_t strings_characters(const TextView &text, uint64_t end) {
  uint64_t count = 0;
  const TextView part = {text.bytes, (uint32_t)end, 0};
  for (uint64_t at = 0; at < end; at += 8) count += (uint32_t)__popcll(strings_starts_at(part, at));
  return count;
}

/// Where the character behind `count` characters from byte `at` on begins; the end, if there are
/// not so many.
KERNEL_FN uint64_t strings_skip(const TextView &text, uint64_t at, uint64_t count) {
  if (count >= text.length - at) return text.length;  // a character has a byte at least
  for (; at < text.length; at += 8) {
    uint64_t starts = strings_starts_at(text, at);
    const uint32_t here = (uint32_t)__popcll(starts);
    if (here > count) {
      for (; count; count--) starts &= starts - 1;
      return at + (uint32_t)(__ffsll((long long)starts) - 1) / 8;
    }
    count -= here;
  }
  return text.length;
}

/// A word with its bytes in the other order.
KERNEL_FN uint64_t strings_reversed(uint64_t word) {
  const uint32_t low = (uint32_t)word, high = (uint32_t)(word >> 32);
  return (uint64_t)__byte_perm(low, 0, 0x0123) << 32 | __byte_perm(high, 0, 0x0123);
}

/// Below, at or above zero as the first string is before, equal to or behind the second. The zeros
/// behind the end of the shorter one sort it first; lengths decide where zeros are bytes, too.
KERNEL_FN int strings_order(const TextView &left, const TextView &right) {
  const uint32_t common = min(left.length, right.length);
  for (uint64_t at = 0; at < common; at += 8) {
    const uint64_t a = strings_word(left, at), b = strings_word(right, at);
    if (a != b) return strings_reversed(a) < strings_reversed(b) ? -1 : 1;
  }
  return left.length == right.length ? 0 : left.length < right.length ? -1 : 1;
}

/// Whether `part` stands at byte `at`; `at + part.length` is within the string.
KERNEL_FN bool strings_stands(const TextView &text, uint64_t at, const TextView &part) {
  const TextView rest = {text.bytes + at, part.length, 0};
  for (uint64_t i = 0; i < part.length; i += 8) {
    if (strings_word(rest, i) != strings_word(part, i)) return false;
  }
  return true;
}

/// Where `part` first stands from byte `from` on, ending at byte `end` at most; else
/// `STRINGS_NONE`. Candidates are bytes equal to its first one, eight looked at together.
KERNEL_FN uint64_t strings_find(const TextView &text, uint64_t from, uint64_t end,
                                const TextView &part) {
  if (part.length == 0) return from <= end ? from : STRINGS_NONE;
  const uint64_t first = STRINGS_ONES * part.bytes[0];
  for (uint64_t at = from; at + part.length <= end; at += 8) {
    const uint64_t differs = strings_word(text, at) ^ first;
    // Zero bytes, and perhaps some above them that are not: they are compared, too.
    uint64_t hits = (differs - STRINGS_ONES) & ~differs & STRINGS_HIGH_BITS;
    for (; hits; hits &= hits - 1) {
      const uint64_t place = at + (uint32_t)(__ffsll((long long)hits) - 1) / 8;
      if (place + part.length > end) return STRINGS_NONE;
      if (strings_stands(text, place, part)) return place;
    }
  }
  return STRINGS_NONE;
}

/// Whether a byte can only continue a character.
KERNEL_FN bool strings_continues(uint8_t byte) { return (byte & 0xc0) == 0x80; }
