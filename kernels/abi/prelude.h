// Fixed-width types and the ABI assertion, for nvcc, NVRTC, g++ and strict C11 alike.
#ifndef PELTON_ABI_PRELUDE_H
#define PELTON_ABI_PRELUDE_H

#if defined(__CUDACC_RTC__)
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

#if defined(__cplusplus)
#define ABI_ASSERT(condition, sentence) static_assert(condition, sentence)
#else
#define ABI_ASSERT(condition, sentence) _Static_assert(condition, sentence)
#endif

#endif
