// Launch structs of ceilings: what the device can do at most, measured without an operator.
#ifndef PELTON_ABI_CEILINGS_H
#define PELTON_ABI_CEILINGS_H

#include "abi/prelude.h"

enum {
  CEILINGS_THREADS = 256,           ///< threads per block
  CEILINGS_ITEMS = 8,               ///< independent operations that a thread has in flight
  CEILINGS_SECTOR_WORDS = 4,        ///< words of a 32-byte sector
  CEILINGS_SHARED_WORDS_MAX = 1024, ///< addresses of `ceilings_shared_atomic`
};

/// Launch parameters of `ceilings_gather`.
typedef struct CeilingsGatherParams {
  const uint64_t *source;    ///< [words * (place_mask + 1)], device, read
  uint64_t *sums;            ///< [threads of the grid], device, written: sum of the words read by each
  uint64_t place_mask;       ///< places - 1, where their number is a power of two
  uint64_t operation_count;  ///< operations of the whole grid
  uint32_t words;            ///< words of a place: 1, or `CEILINGS_SECTOR_WORDS`
  uint32_t reserved;         ///< zero
} CeilingsGatherParams;
ABI_ASSERT(sizeof(CeilingsGatherParams) == 40, "CeilingsGatherParams crosses the ABI");

enum {
  CEILINGS_ADD = 0,    ///< adds 1, result unused
  CEILINGS_CAS = 1,    ///< compares with 0 and swaps for place + 1
  CEILINGS_STORE = 2,  ///< stores place + 1: a scatter, not an atomic
};

/// Launch parameters of `ceilings_atomic`.
typedef struct CeilingsAtomicParams {
  uint64_t *target;          ///< [place_mask + 1], device, read and written
  uint64_t place_mask;       ///< places - 1, where their number is a power of two
  uint64_t operation_count;  ///< operations of the whole grid
  uint32_t op;               ///< one of `CEILINGS_*`
  uint32_t reserved;         ///< zero
} CeilingsAtomicParams;
ABI_ASSERT(sizeof(CeilingsAtomicParams) == 32, "CeilingsAtomicParams crosses the ABI");

/// Launch parameters of `ceilings_shared_atomic`.
typedef struct CeilingsSharedAtomicParams {
  uint64_t *counters;        ///< [place_mask + 1], device, accumulated; the caller zeroes it
  uint64_t operation_count;  ///< operations of the whole grid
  uint32_t place_mask;       ///< places - 1: a power of two, at most `CEILINGS_SHARED_WORDS_MAX`
  uint32_t reserved;         ///< zero
} CeilingsSharedAtomicParams;
ABI_ASSERT(sizeof(CeilingsSharedAtomicParams) == 24, "CeilingsSharedAtomicParams crosses the ABI");

/// Launch parameters of `ceilings_empty`.
typedef struct CeilingsEmptyParams {
  uint64_t reserved;  ///< zero
} CeilingsEmptyParams;
ABI_ASSERT(sizeof(CeilingsEmptyParams) == 8, "CeilingsEmptyParams crosses the ABI");

#endif
