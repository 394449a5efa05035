// Scope   thread
// The status word: first error wins.
#pragma once
#include "abi/status.h"
#include "primitives/prelude.cuh"

/// Reports a failure, unless one was reported before.
/// Scope thread · Result in `*status` · Memory one atomic · JIT yes
KERNEL_FN void status_set(KernelStatus *status, uint32_t code, uint64_t argument) {
  if (atomicCAS(&status->code, 0u, code) == 0u) status->argument = argument;
}
