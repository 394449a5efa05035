// The CUDA that a kernel source sees when g++ compiles it for the emulator.
//
// Force-included before every kernel. Everything that suspends a thread, or checks an access, is a call
// into the Rust side (src/hooks.rs). What is not declared here does not exist for a kernel.
//
// Functions that load or store on behalf of a kernel are SIMT_UNCHECKED: the compiler must not add its
// own access hooks, because they call the checks themselves, as atomics. They hold the access and
// nothing else: a function without an access may be inlined freely.
#pragma once

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// 1 where kernels are compiled for the emulator.
#define PELTON_SIMT 1

#define SIMT_UNCHECKED __attribute__((noinline, no_sanitize("thread")))
#define SIMT_CONSTANT __attribute__((const))
#define SIMT_SITE const char *site_file = __builtin_FILE(), int site_line = __builtin_LINE()

// ---- the Rust side ------------------------------------------------------------------------------

extern "C" {
// Constant for one thread of one launch, so the compiler may read each once per kernel.
uint32_t simt_thread_x(void) SIMT_CONSTANT;
uint32_t simt_thread_y(void) SIMT_CONSTANT;
uint32_t simt_thread_z(void) SIMT_CONSTANT;
uint32_t simt_lane(void) SIMT_CONSTANT;
uint32_t simt_block_x(void) SIMT_CONSTANT;
uint32_t simt_block_y(void) SIMT_CONSTANT;
uint32_t simt_block_z(void) SIMT_CONSTANT;
uint32_t simt_block_dim_x(void) SIMT_CONSTANT;
uint32_t simt_block_dim_y(void) SIMT_CONSTANT;
uint32_t simt_block_dim_z(void) SIMT_CONSTANT;
uint32_t simt_grid_dim_x(void) SIMT_CONSTANT;
uint32_t simt_grid_dim_y(void) SIMT_CONSTANT;
uint32_t simt_grid_dim_z(void) SIMT_CONSTANT;

void *simt_shared(const void *tag, uint64_t bytes, uint64_t align, const char *name);
void *simt_dynamic_shared(const char *name);
uint32_t simt_barrier(uint32_t op, uint32_t value, const char *file, int line);
uint64_t simt_warp(uint32_t op, uint32_t mask, uint64_t value, uint32_t source, const char *file, int line);
void simt_atomic(const volatile void *address, uint64_t bytes, uint32_t kind);
void simt_fence(uint32_t device_wide);
void simt_yield(void);
void simt_portability(const char *what, const char *file, int line);
void simt_trap(const char *file, int line);
}

enum { SIMT_BARRIER = 0, SIMT_BARRIER_COUNT = 1, SIMT_BARRIER_AND = 2, SIMT_BARRIER_OR = 3 };
enum {
  SIMT_WARP_SYNC = 0, SIMT_WARP_SHUFFLE = 1, SIMT_WARP_BALLOT = 2, SIMT_WARP_MATCH = 3,
  SIMT_WARP_ADD = 4, SIMT_WARP_MIN_SIGNED = 5, SIMT_WARP_MAX_SIGNED = 6, SIMT_WARP_MIN_UNSIGNED = 7,
  SIMT_WARP_MAX_UNSIGNED = 8, SIMT_WARP_AND = 9, SIMT_WARP_OR = 10, SIMT_WARP_XOR = 11,
  SIMT_WARP_ANY = 12, SIMT_WARP_ALL = 13
};
enum {
  SIMT_LOAD = 0, SIMT_STORE = 1, SIMT_LOAD_ACQUIRE = 2, SIMT_STORE_RELEASE = 3, SIMT_UPDATE = 4,
  SIMT_COMPARE = 5, SIMT_SWAP = 6, SIMT_DONE = 7
};

// ---- types --------------------------------------------------------------------------------------

template <class T> struct simt_same { typedef T type; };
template <class T> using simt_same_t = typename simt_same<T>::type;
template <class A, class B> struct simt_equal { static constexpr bool value = false; };
template <class A> struct simt_equal<A, A> { static constexpr bool value = true; };
template <class T, class... A> static constexpr bool simt_one_of = (simt_equal<T, A>::value || ...);
template <class T> static constexpr bool simt_word =
    simt_one_of<T, int, unsigned, long, unsigned long, long long, unsigned long long, float, double>;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) int2 { int x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) longlong2 { long long x, y; };
struct alignas(16) ulonglong2 { unsigned long long x, y; };
struct alignas(16) double2 { double x, y; };
static inline uint2 make_uint2(unsigned x, unsigned y) { return uint2{x, y}; }
static inline int2 make_int2(int x, int y) { return int2{x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return uint4{x, y, z, w}; }
static inline int4 make_int4(int x, int y, int z, int w) { return int4{x, y, z, w}; }
static inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return ulonglong2{x, y}; }
static inline longlong2 make_longlong2(long long x, long long y) { return longlong2{x, y}; }

// ---- declarations a kernel is written with --------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __builtin_assume(condition) ((void)0)

/// The launch struct of an entry: by value in the constant bank under CUDA, by reference here.
#define GRID_CONSTANT(T) const T &
/// A device function.
#define KERNEL_FN static inline
/// An array of `n` values in the block's shared memory, unwritten at first.
#define SHARED(T, name, n)                                                                        \
  static char name##_simt_tag;                                                                    \
  T(&name)[n] = *reinterpret_cast<T(*)[n]>(simt_shared(&name##_simt_tag, sizeof(T) * (n), alignof(T), #name))
/// The shared memory whose size the launch gives.
#define DYN_SHARED(T, name) T *name = reinterpret_cast<T *>(simt_dynamic_shared(#name))

#define threadIdx (uint3{simt_thread_x(), simt_thread_y(), simt_thread_z()})
#define blockIdx (uint3{simt_block_x(), simt_block_y(), simt_block_z()})
#define blockDim (dim3{simt_block_dim_x(), simt_block_dim_y(), simt_block_dim_z()})
#define gridDim (dim3{simt_grid_dim_x(), simt_grid_dim_y(), simt_grid_dim_z()})
#define warpSize 32

// ---- barriers -----------------------------------------------------------------------------------

static inline void __syncthreads(SIMT_SITE) { simt_barrier(SIMT_BARRIER, 0, site_file, site_line); }
static inline int __syncthreads_count(int predicate, SIMT_SITE) {
  return (int)simt_barrier(SIMT_BARRIER_COUNT, predicate != 0, site_file, site_line);
}
static inline int __syncthreads_and(int predicate, SIMT_SITE) {
  return (int)simt_barrier(SIMT_BARRIER_AND, predicate != 0, site_file, site_line);
}
static inline int __syncthreads_or(int predicate, SIMT_SITE) {
  return (int)simt_barrier(SIMT_BARRIER_OR, predicate != 0, site_file, site_line);
}
static inline void __syncwarp(uint32_t mask = 0xffffffffu, SIMT_SITE) {
  simt_warp(SIMT_WARP_SYNC, mask, 0, 0, site_file, site_line);
}
static inline void __threadfence() { simt_fence(1); }
static inline void __threadfence_system() { simt_fence(1); }
static inline void __threadfence_block() { simt_fence(0); }
static inline void __nanosleep(unsigned) { simt_yield(); }
static inline void simt_trap_here(SIMT_SITE) { simt_trap(site_file, site_line); }
#define __trap() simt_trap_here()

// ---- warp exchanges -----------------------------------------------------------------------------

template <class T> static inline uint64_t simt_raw(T value) {
  static_assert(simt_word<T>, "warp exchanges take CUDA's 4- and 8-byte types");
  if constexpr (sizeof(T) == 4) return __builtin_bit_cast(uint32_t, value);
  else return __builtin_bit_cast(uint64_t, value);
}
template <class T> static inline T simt_value(uint64_t raw) {
  if constexpr (sizeof(T) == 4) return __builtin_bit_cast(T, (uint32_t)raw);
  else return __builtin_bit_cast(T, raw);
}
template <class T>
static inline T simt_shuffle(uint32_t mask, T value, int source, const char *file, int line) {
  return simt_value<T>(simt_warp(SIMT_WARP_SHUFFLE, mask, simt_raw(value), (uint32_t)source, file, line));
}
template <class T> static inline T __shfl_sync(uint32_t mask, T value, int source, int width = 32, SIMT_SITE) {
  const int lane = (int)simt_lane();
  return simt_shuffle(mask, value, (lane & ~(width - 1)) + (source & (width - 1)), site_file, site_line);
}
template <class T> static inline T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, SIMT_SITE) {
  const int lane = (int)simt_lane(), source = lane - (int)delta;
  return simt_shuffle(mask, value, source < (lane & ~(width - 1)) ? lane : source, site_file, site_line);
}
template <class T> static inline T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, SIMT_SITE) {
  const int lane = (int)simt_lane(), source = lane + (int)delta;
  return simt_shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, site_file, site_line);
}
template <class T> static inline T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32, SIMT_SITE) {
  const int lane = (int)simt_lane(), source = lane ^ lanes;
  return simt_shuffle(mask, value, source > (lane | (width - 1)) ? lane : source, site_file, site_line);
}
static inline uint32_t __ballot_sync(uint32_t mask, int predicate, SIMT_SITE) {
  return (uint32_t)simt_warp(SIMT_WARP_BALLOT, mask, predicate != 0, 0, site_file, site_line);
}
static inline int __any_sync(uint32_t mask, int predicate, SIMT_SITE) {
  return (int)simt_warp(SIMT_WARP_ANY, mask, predicate != 0, 0, site_file, site_line);
}
static inline int __all_sync(uint32_t mask, int predicate, SIMT_SITE) {
  return (int)simt_warp(SIMT_WARP_ALL, mask, predicate != 0, 0, site_file, site_line);
}
template <class T> static inline uint32_t __match_any_sync(uint32_t mask, T value, SIMT_SITE) {
  return (uint32_t)simt_warp(SIMT_WARP_MATCH, mask, simt_raw(value), 0, site_file, site_line);
}
#define SIMT_ONLY(...) static_assert(simt_one_of<T, __VA_ARGS__>, "CUDA has no such overload")
template <class T> static inline T __reduce_add_sync(uint32_t mask, T value, SIMT_SITE) {
  SIMT_ONLY(int, unsigned);
  return (T)simt_warp(SIMT_WARP_ADD, mask, (uint32_t)value, 0, site_file, site_line);
}
template <class T> static inline T __reduce_min_sync(uint32_t mask, T value, SIMT_SITE) {
  SIMT_ONLY(int, unsigned);
  const uint32_t op = simt_equal<T, int>::value ? SIMT_WARP_MIN_SIGNED : SIMT_WARP_MIN_UNSIGNED;
  return (T)simt_warp(op, mask, (uint32_t)value, 0, site_file, site_line);
}
template <class T> static inline T __reduce_max_sync(uint32_t mask, T value, SIMT_SITE) {
  SIMT_ONLY(int, unsigned);
  const uint32_t op = simt_equal<T, int>::value ? SIMT_WARP_MAX_SIGNED : SIMT_WARP_MAX_UNSIGNED;
  return (T)simt_warp(op, mask, (uint32_t)value, 0, site_file, site_line);
}
static inline unsigned __reduce_and_sync(uint32_t mask, unsigned value, SIMT_SITE) {
  return (unsigned)simt_warp(SIMT_WARP_AND, mask, value, 0, site_file, site_line);
}
static inline unsigned __reduce_or_sync(uint32_t mask, unsigned value, SIMT_SITE) {
  return (unsigned)simt_warp(SIMT_WARP_OR, mask, value, 0, site_file, site_line);
}
static inline unsigned __reduce_xor_sync(uint32_t mask, unsigned value, SIMT_SITE) {
  return (unsigned)simt_warp(SIMT_WARP_XOR, mask, value, 0, site_file, site_line);
}
static inline uint32_t __activemask(SIMT_SITE) {
  simt_portability("__activemask has no portable meaning: pass the mask down", site_file, site_line);
  return 0;
}

// ---- arithmetic ---------------------------------------------------------------------------------

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline unsigned __brev(unsigned x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}
static inline unsigned long long __brevll(unsigned long long x) {
  return (unsigned long long)__brev((unsigned)x) << 32 | __brev((unsigned)(x >> 32));
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = (uint64_t)y << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) {
    const unsigned pick = selector >> (4 * i) & 15;
    unsigned byte = (unsigned)(bytes >> (8 * (pick & 7))) & 255;
    if (pick & 8) byte = byte & 128 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)((uint64_t)x * y >> 32); }
static inline int __mulhi(int x, int y) { return (int)((int64_t)x * y >> 32); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return (unsigned long long)((unsigned __int128)x * y >> 64);
}
static inline long long __mul64hi(long long x, long long y) { return (long long)((__int128)x * y >> 64); }
static inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
static inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
static inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
static inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
static inline long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
static inline double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }

template <class T> static inline constexpr T min(T x, T y) { return y < x ? y : x; }
template <class T> static inline constexpr T max(T x, T y) { return x < y ? y : x; }
// NaN is missing data here, as in CUDA.
template <> inline constexpr float min(float x, float y) { return __builtin_fminf(x, y); }
template <> inline constexpr float max(float x, float y) { return __builtin_fmaxf(x, y); }
template <> inline constexpr double min(double x, double y) { return __builtin_fmin(x, y); }
template <> inline constexpr double max(double x, double y) { return __builtin_fmax(x, y); }

// ---- loads and stores with a cache hint: plain ones here ------------------------------------------

template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldca(const T *p) { return *p; }
template <class T> static inline T __ldcg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline void __stcg(T *p, simt_same_t<T> value) { *p = value; }
template <class T> static inline void __stcs(T *p, simt_same_t<T> value) { *p = value; }
template <class T> static inline void __stwt(T *p, simt_same_t<T> value) { *p = value; }

// ---- atomics ------------------------------------------------------------------------------------
// Overloads are CUDA's, so that a kernel which compiles here compiles there: uint64_t is
// `unsigned long` under g++ and has none; cast to `unsigned long long *`.

template <class T, class F> SIMT_UNCHECKED static T simt_update(T *p, F next) {
  simt_atomic(p, sizeof(T), SIMT_UPDATE);
  const T old = *p;
  *p = next(old);
  simt_atomic(p, sizeof(T), SIMT_DONE);
  return old;
}
#define SIMT_NEXT(expression) [=](T old) __attribute__((no_sanitize("thread"))) { return (T)(expression); }
template <class T> static inline T atomicAdd(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, unsigned long long, float, double);
  if constexpr (simt_equal<T, int>::value) return simt_update(p, SIMT_NEXT((unsigned)old + (unsigned)value));
  else return simt_update(p, SIMT_NEXT(old + value));
}
template <class T> static inline T atomicSub(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned);
  return simt_update(p, SIMT_NEXT((unsigned)old - (unsigned)value));
}
template <class T> static inline T atomicMin(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, long long, unsigned long long);
  return simt_update(p, SIMT_NEXT(value < old ? value : old));
}
template <class T> static inline T atomicMax(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, long long, unsigned long long);
  return simt_update(p, SIMT_NEXT(old < value ? value : old));
}
template <class T> static inline T atomicOr(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, unsigned long long);
  return simt_update(p, SIMT_NEXT(old | value));
}
template <class T> static inline T atomicAnd(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, unsigned long long);
  return simt_update(p, SIMT_NEXT(old & value));
}
template <class T> static inline T atomicXor(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, unsigned long long);
  return simt_update(p, SIMT_NEXT(old ^ value));
}
template <class T> static inline T atomicExch(T *p, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, unsigned long long, float);
  return simt_update(p, SIMT_NEXT(((void)old, value)));
}
template <class T> static inline T atomicInc(T *p, simt_same_t<T> limit) {
  SIMT_ONLY(unsigned);
  return simt_update(p, SIMT_NEXT(old >= limit ? 0 : old + 1));
}
template <class T> static inline T atomicDec(T *p, simt_same_t<T> limit) {
  SIMT_ONLY(unsigned);
  return simt_update(p, SIMT_NEXT(old == 0 || old > limit ? limit : old - 1));
}
template <class T> SIMT_UNCHECKED static T simt_compare_swap(T *p, T expected, T value) {
  simt_atomic(p, sizeof(T), SIMT_COMPARE);
  const T old = *p;
  if (old == expected) {
    simt_atomic(p, sizeof(T), SIMT_SWAP);
    *p = value;
  }
  simt_atomic(p, sizeof(T), SIMT_DONE);
  return old;
}
template <class T> static inline T atomicCAS(T *p, simt_same_t<T> expected, simt_same_t<T> value) {
  SIMT_ONLY(int, unsigned, unsigned long long, unsigned short);
  return simt_compare_swap<T>(p, expected, value);
}

// ---- ordered and relaxed accesses -----------------------------------------------------------------

#define SIMT_INTEGERS int, unsigned, long, unsigned long, long long, unsigned long long
template <class T> SIMT_UNCHECKED static T simt_load(const T *p, uint32_t kind) {
  simt_atomic(p, sizeof(T), kind);
  return *p;
}
template <class T> SIMT_UNCHECKED static void simt_store(T *p, T value, uint32_t kind) {
  simt_atomic(p, sizeof(T), kind);
  *p = value;
  simt_atomic(p, sizeof(T), SIMT_DONE);
}
template <class T> static inline T ld_acquire(const T *p) {
  SIMT_ONLY(SIMT_INTEGERS);
  return simt_load(p, SIMT_LOAD_ACQUIRE);
}
template <class T> static inline T ld_relaxed(const T *p) {
  SIMT_ONLY(SIMT_INTEGERS);
  return simt_load(p, SIMT_LOAD);
}
template <class T> static inline void st_release(T *p, simt_same_t<T> value) {
  SIMT_ONLY(SIMT_INTEGERS);
  simt_store<T>(p, value, SIMT_STORE_RELEASE);
}
template <class T> static inline void st_relaxed(T *p, simt_same_t<T> value) {
  SIMT_ONLY(SIMT_INTEGERS);
  simt_store<T>(p, value, SIMT_STORE);
}

// ---- how an entry is called -----------------------------------------------------------------------

template <class P> static inline void simt_call(void (*entry)(const P &), const void *params) {
  entry(*static_cast<const P *>(params));
}
template <class P> static constexpr uint64_t simt_params_bytes(void (*)(const P &)) { return sizeof(P); }
