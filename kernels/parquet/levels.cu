// Operator  Parquet page decoding: levels
// Kernels   page_levels
// Method    a block per page: one thread lists the runs of a window, all threads read levels of it
// Cost      reads the levels, writes 1/8 B of validity and, if nested, 2 B of levels per entry
// Source    the Parquet format's Encodings.md and README.md; written from the specification
#include "primitives/bitmap.cuh"
#include "parquet/hybrid.cuh"
#include "parquet/page.cuh"

/// A level section: where it is and how it is encoded.
struct LevelSection {
  uint64_t at;
  uint64_t bytes;
};

/// The section of levels at `*at`, which then moves behind it. False if it is not within the page.
KERNEL_FN bool level_section(const Page &page, uint32_t bits, uint32_t section_bytes, uint64_t *at,
                             LevelSection *section) {
  const uint64_t left = page.data_bytes - *at;
  uint64_t bytes = section_bytes;
  if (page.levels_packed) {
    bytes = ((uint64_t)page.level_count * bits + 7) / 8;
  } else if (section_bytes == PAGE_PREFIXED) {
    if (left < 4) return false;
    bytes = bytes_u32(page.data, page.data_bytes, *at);
    *at += 4;
    if (bytes > left - 4) return false;
  }
  if (bytes > page.data_bytes - *at) return false;
  *section = LevelSection{*at, bytes};
  *at += bytes;
  return true;
}

/// A level of a BIT_PACKED section, read from the low bits up as the CPU does.
KERNEL_FN uint32_t level_packed(const uint8_t *data, uint64_t bytes, uint32_t bits,
                                uint32_t index) {
  const uint64_t bit = (uint64_t)index * bits;
  return (bytes_u32(data, bytes, bit >> 3) >> (bit & 7)) & ((1u << bits) - 1);
}

/// True if levels say no more than whether a value is null. The CPU reads them with a decoder of
/// their own, to which any level above 0 means "valid" and a header of 0 is a run of nothing.
KERNEL_FN bool level_flat(const Page &page) {
  return page.definition_level_max == 1 && page.repetition_bits == 0;
}

/// Reads a section, and hands every level to `out` (a byte each) or, if `out` is null, sets the
/// validity bits. Counts the levels that equal `level_valid`; false if levels are missing.
KERNEL_FN bool level_read(const Page &page, const LevelSection &section, uint32_t bits,
                          uint8_t *out, bool validity, HybridRuns *runs, uint32_t *count) {
  const uint8_t *data = page.data + section.at;
  if (threadIdx.x == 0) hybrid_start(runs, 0);
  const bool flat = level_flat(page);
  uint32_t start = 0;
  while (start < page.level_count) {
    __syncthreads();
    if (threadIdx.x == 0 && !page.levels_packed) {
      hybrid_window(runs, data, section.bytes, bits, page.level_count, !flat);
    }
    __syncthreads();
    const uint32_t end = page.levels_packed ? page.level_count : runs->window_end;
    if (end == start) return false;
    for (uint32_t first = start; first < end; first += PAGE_THREADS) {
      const uint32_t index = first + threadIdx.x;
      uint32_t level = 0;
      if (index < end) {
        level = page.levels_packed ? level_packed(data, section.bytes, bits, index)
                                   : hybrid_value(runs, data, section.bytes, bits, index);
        if (out) out[page.row_start + index] = (uint8_t)level;
      }
      if (!validity) continue;
      const bool valid = index < end && (flat ? level != 0 : level == page.definition_level_max);
      *count += valid;
      if (page.validity) {
        const uint32_t lane = threadIdx.x & 31;
        bitmap_or_warp(page.validity, page.row_start + index - lane, valid);
      }
    }
    start = end;
  }
  return true;
}

/// Reads the levels of pages: validity, the levels themselves if nested, and how many values follow
/// where.
///
/// Shape   pages[page_count] -> validity[column rows], levels[column rows], states[page_count]
/// Launch  grid = page_count, block = PAGE_THREADS, shared = 0
/// Nulls   a level below the greatest is a null; fewer than the page's header says are an error
/// Errors  STATUS_PAGE_LEVELS: argument = page; the page then has no values
/// Tests   tests/parquet/main.rs
extern "C" __global__ void __launch_bounds__(PAGE_THREADS)
page_levels(GRID_CONSTANT(PageDecodeParams) params) {
  const uint32_t index = params.order[blockIdx.x];
  const Page &page = params.pages[index];
  SHARED(HybridRuns, runs, 1);
  SHARED(uint32_t, total, 1);
  if (threadIdx.x == 0) total[0] = 0;
  uint64_t at = 0;
  uint32_t count = 0;
  bool good = true;
  LevelSection section;
  if (page.repetition_bits) {
    good = level_section(page, page.repetition_bits, page.repetition_bytes, &at, &section) &&
           level_read(page, section, page.repetition_bits, page.repetition_levels, false, runs,
                      &count);
  } else if (page.repetition_bytes != PAGE_PREFIXED) {
    at += page.repetition_bytes;
  }
  __syncthreads();
  if (good && page.definition_bits) {
    good =
        level_section(page, page.definition_bits, page.definition_bytes, &at, &section) &&
        level_read(page, section, page.definition_bits, page.definition_levels, true, runs, &count);
  } else if (page.definition_bytes != PAGE_PREFIXED) {
    at += page.definition_bytes;
  }
  if (good && !page.definition_bits && threadIdx.x == 0) count = page.level_count;
  __syncthreads();
  if (count) atomicAdd(&total[0], count);
  __syncthreads();
  if (threadIdx.x != 0) return;
  if (total[0] > page.value_count_max) good = false;
  if (!good) status_set(params.status, STATUS_PAGE_LEVELS, index);
  page.state->values_at = good ? (uint32_t)at : PAGE_VALUES_NOWHERE;
  page.state->value_count = good ? total[0] : 0;
}
