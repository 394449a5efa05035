// How a kernel reports a failure: one status word per launch, the first failure wins.
#ifndef PELTON_ABI_STATUS_H
#define PELTON_ABI_STATUS_H

#include "abi/prelude.h"

enum {
  STATUS_OK = 0,                  ///< nothing failed
  STATUS_OVERFLOW = 1,            ///< an arithmetic result does not fit; argument: row
  STATUS_DIVISION_BY_ZERO = 2,    ///< integer or decimal division by zero; argument: row
  STATUS_CAST = 3,                ///< a value does not fit the type of a strict cast; argument: row
  STATUS_INDEX_OUT_OF_RANGE = 4,  ///< an index is not below the rows it picks from; argument: row
  STATUS_TABLE_FULL = 5,          ///< a hash table that was sized to hold all has no slot; argument: entry
  STATUS_SUM_OVERFLOW = 6,        ///< a sum does not fit its type; argument: output row
  STATUS_PAGE_CODEC = 7,          ///< compressed bytes are malformed; argument: page
  STATUS_PAGE_LEVELS = 8,         ///< levels end early or are malformed; argument: page
  STATUS_PAGE_VALUES = 9,         ///< values end early or are malformed; argument: page
  STATUS_PAGE_INDEX = 10,         ///< a dictionary has no such entry; argument: page
  STATUS_PAGE_TEXT = 11,          ///< a string is not UTF-8; argument: page
  STATUS_STATE = 12,              ///< bytes are not the state of such an aggregate; argument: row
};

/// Status of one launch. The caller zeroes it; kernels set it at most once.
typedef struct KernelStatus {
  uint32_t code;      ///< one of `STATUS_*`
  uint32_t reserved;  ///< zero
  uint64_t argument;  ///< what the code says
} KernelStatus;
ABI_ASSERT(sizeof(KernelStatus) == 16, "KernelStatus crosses the ABI");

#endif
