// Scope   thread
// Atomics on 64-bit words, spelled once: CUDA's overloads take `unsigned long long`, which is not
// `uint64_t` everywhere. Relaxed and acquire loads and release stores are the emulator's own there.
#pragma once
#include "primitives/prelude.cuh"

#if defined(__CUDACC__)
KERNEL_FN uint64_t ld_relaxed(const uint64_t *address) {
  return *(const volatile uint64_t *)address;
}
KERNEL_FN uint64_t ld_acquire(const uint64_t *address) {
  uint64_t value = *(const volatile uint64_t *)address;
  __threadfence();
  return value;
}
KERNEL_FN void st_relaxed(uint64_t *address, uint64_t value) {
  *(volatile uint64_t *)address = value;
}
KERNEL_FN uint32_t ld_relaxed(const uint32_t *address) {
  return *(const volatile uint32_t *)address;
}
KERNEL_FN void st_relaxed(uint32_t *address, uint32_t value) {
  *(volatile uint32_t *)address = value;
}
KERNEL_FN void st_release(uint64_t *address, uint64_t value) {
  __threadfence();
  *(volatile uint64_t *)address = value;
}
#endif

KERNEL_FN uint64_t atomic_add_u64(uint64_t *address, uint64_t value) {
  return atomicAdd((unsigned long long *)address, (unsigned long long)value);
}

KERNEL_FN uint64_t atomic_cas_u64(uint64_t *address, uint64_t expected, uint64_t value) {
  return atomicCAS((unsigned long long *)address, (unsigned long long)expected,
                   (unsigned long long)value);
}

KERNEL_FN uint64_t atomic_exchange_u64(uint64_t *address, uint64_t value) {
  return atomicExch((unsigned long long *)address, (unsigned long long)value);
}

KERNEL_FN void atomic_min_u64(uint64_t *address, uint64_t value) {
  atomicMin((unsigned long long *)address, (unsigned long long)value);
}

KERNEL_FN void atomic_max_u64(uint64_t *address, uint64_t value) {
  atomicMax((unsigned long long *)address, (unsigned long long)value);
}

KERNEL_FN void atomic_or_u64(uint64_t *address, uint64_t value) {
  atomicOr((unsigned long long *)address, (unsigned long long)value);
}

KERNEL_FN void atomic_add_f64(uint64_t *address, double value) {
  atomicAdd((double *)address, value);
}

/// Additions to words in global memory whose results nobody wants. In PTX, since a fence anywhere
/// in a kernel makes the compiler ask for the results all the same:
/// `group_by/sum(f64)+count/groups=100000/uniform`.
KERNEL_FN void add_global_u64(uint64_t *address, uint64_t value) {
#if defined(__CUDACC__)
  asm volatile("red.global.add.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(address)), "l"(value)
               : "memory");
#else
  atomic_add_u64(address, value);
#endif
}

KERNEL_FN void add_global_f64(uint64_t *address, double value) {
#if defined(__CUDACC__)
  asm volatile("red.global.add.f64 [%0], %1;" ::"l"(__cvta_generic_to_global(address)), "d"(value)
               : "memory");
#else
  atomic_add_f64(address, value);
#endif
}
