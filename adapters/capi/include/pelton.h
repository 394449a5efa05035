// Pelton's kernels from C: hash join, group by and filter over columns in device memory.
//
// Status. Every function that can fail returns a PeltonStatus; PELTON_OK is 0. The message of the
// last failure of this thread, with cause and remedy, is pelton_last_error(). What a function gives
// through a pointer named `out` is NULL or zero after a failure. No panic leaves the library.
//
// Ownership. A handle that a function gives is the caller's, to end once with its _free or _close;
// NULL may be ended, too. Handles share what they are made of: a table keeps its columns' memory, a
// column that of its buffers, and each of them the device, so that they may be ended in any order.
// Memory that is adopted stays the caller's; `release`, if it is given, is called with `context`
// once, on any thread, when the last handle over the memory is ended and the stream that it was
// adopted on has been ordered behind all uses: it may free on that stream, or with a function that
// waits for the device. After a failure of the adopting function it is not called.
//
// Order. Work is queued on the stream passed, behind what the caller queued there before, and ahead
// of what the caller queues there later. Memory may be used on several streams: Pelton lets one
// stream wait for another where that is needed. A function waits for the stream only where it says
// so; a kernel's failure is told by the next function that waits.
//
// Threads. Any thread may use any handle, several at a time. A call leaves the thread's current
// CUDA context as it was.
//
// Pointers. Handles are live and of this library, pointers to host memory are valid for as many
// elements as the function says. NULL is refused where a pointer is needed.


#ifndef PELTON_H
#define PELTON_H

// Written by `cargo xtask header` from adapters/capi/src: do not edit.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Version of the functions and structs of this header. A library of another one is another library.
#define PELTON_ABI_VERSION 1

// Device memory that knows which streams use it.
typedef struct PeltonBuffer PeltonBuffer;

// Rows of one type in device memory. Cloned handles share the memory.
typedef struct PeltonColumn PeltonColumn;

// A device and the kernels for it.
typedef struct PeltonDevice PeltonDevice;

// Columns of equal length.
typedef struct PeltonTable PeltonTable;

// How a call ended: one of PELTON_OK and PELTON_ERROR_*.
typedef int32_t PeltonStatus;

// A stream of a device: the CUstream as a number, which is 0 for the legacy default stream; for an
// emulated device any number.
typedef struct PeltonStream {
  // The CUstream.
  uint64_t handle;
} PeltonStream;

// Called with its context when adopted memory is not used any more; NULL: nothing is called.
typedef void (*PeltonRelease)(void *context);

// How values lie in memory: one of PELTON_TYPE_*.
typedef uint32_t PeltonType;

// A column as pointers into device memory.
typedef struct PeltonColumnPointers {
  // One of PELTON_TYPE_*.
  PeltonType physical_type;
  // The values; row 0 is element (bit) `offset`.
  const void *values;
  // A bit per row, least significant bit first, 1 for a value and 0 for a null; NULL: no row is null.
  const void *validity;
  // Rows to skip at the start of both.
  uint64_t offset;
  // Rows.
  uint64_t rows;
} PeltonColumnPointers;

// What is computed of each group: one of PELTON_AGGREGATE_*.
typedef uint32_t PeltonAggregateFunction;

// An aggregate of a column.
typedef struct PeltonAggregate {
  // One of PELTON_AGGREGATE_*.
  PeltonAggregateFunction function;
  // The column's number.
  uint32_t column;
} PeltonAggregate;

// Which rows a join gives: one of PELTON_JOIN_*.
typedef uint32_t PeltonJoinKind;

// A bitmap, least significant bit first.
#define PELTON_TYPE_BOOLEAN 0

// Signed 8-bit integers.
#define PELTON_TYPE_INT8 1

// Signed 16-bit integers.
#define PELTON_TYPE_INT16 2

// Signed 32-bit integers; dates.
#define PELTON_TYPE_INT32 3

// Signed 64-bit integers; times, decimals of at most 18 digits.
#define PELTON_TYPE_INT64 4

// Unsigned 8-bit integers.
#define PELTON_TYPE_UINT8 5

// Unsigned 16-bit integers.
#define PELTON_TYPE_UINT16 6

// Unsigned 32-bit integers.
#define PELTON_TYPE_UINT32 7

// Unsigned 64-bit integers.
#define PELTON_TYPE_UINT64 8

// IEEE 754 binary16.
#define PELTON_TYPE_FLOAT16 9

// IEEE 754 binary32.
#define PELTON_TYPE_FLOAT32 10

// IEEE 754 binary64.
#define PELTON_TYPE_FLOAT64 11

// Signed 128-bit integers, low half first; decimals of 19 to 38 digits.
#define PELTON_TYPE_INT128 12

// How many rows there are, as INT64; the column is not looked at.
#define PELTON_AGGREGATE_COUNT_ROWS 0

// How many values are not null, as INT64.
#define PELTON_AGGREGATE_COUNT 1

// The sum of the values that are not null, null if there are none: signed integers as INT64, unsigned ones as UINT64,
// INT128 as itself, floats as FLOAT64. A sum that does not fit is PELTON_ERROR_KERNEL.
#define PELTON_AGGREGATE_SUM 2

// The smallest value, null if there are none, in the column's type; NaN is greater than all numbers.
#define PELTON_AGGREGATE_MIN 3

// The greatest value, likewise.
#define PELTON_AGGREGATE_MAX 4

// Every pair of a probe row and a build row with equal keys.
#define PELTON_JOIN_INNER 0

// The same, and each probe row without a partner, with nulls.
#define PELTON_JOIN_LEFT 1

// Probe rows that have a partner, once each; no columns of the build side.
#define PELTON_JOIN_SEMI 2

// Probe rows that have none; no columns of the build side.
#define PELTON_JOIN_ANTI 3

// Done.
#define PELTON_OK 0

// An argument cannot be: null, out of range, of another type or size.
#define PELTON_ERROR_INVALID 1

// There are no kernels for these types.
#define PELTON_ERROR_UNSUPPORTED 2

// No usable CUDA device.
#define PELTON_ERROR_NO_DEVICE 3

// Kernels were neither built in, nor can NVRTC compile them.
#define PELTON_ERROR_NO_KERNELS 4

// The driver refused, or memory ran out.
#define PELTON_ERROR_DEVICE 5

// A kernel reported a value that it cannot compute with: a sum that does not fit, for example.
#define PELTON_ERROR_KERNEL 6

// Anything else that the message names.
#define PELTON_ERROR_OTHER 7

// A bug in Pelton: a panic, stopped at the border. The handles of the call are still to be ended.
#define PELTON_ERROR_PANIC 8

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Allocates device memory, valid once the stream reaches this point; its contents are undefined.
PeltonStatus pelton_buffer_allocate(const struct PeltonDevice *device,
                                    struct PeltonStream stream,
                                    uint64_t bytes,
                                    struct PeltonBuffer **out);

// Adopts device memory of the caller's, as it is once the stream reaches this point. The address is a multiple of
// 16, the memory is readable up to the next multiple of 64 bytes; without `writable`, writing to it is refused.
PeltonStatus pelton_buffer_adopt(const struct PeltonDevice *device,
                                 struct PeltonStream stream,
                                 void *address,
                                 uint64_t bytes,
                                 bool writable,
                                 PeltonRelease release,
                                 void *context,
                                 struct PeltonBuffer **out);

// Where the buffer starts in device memory. Say by pelton_buffer_order how you are about to use it.
PeltonStatus pelton_buffer_address(const struct PeltonBuffer *buffer,
                                   void **out_address,
                                   uint64_t *out_bytes);

// Says that the caller's own work that follows on the stream reads the buffer, or, with `write`, writes it: the
// stream then waits for what other streams do with it, and they for it later.
PeltonStatus pelton_buffer_order(const struct PeltonBuffer *buffer,
                                 struct PeltonStream stream,
                                 bool write);

// Copies host memory into the buffer, from byte `offset` on. The host memory may be used again at once.
PeltonStatus pelton_buffer_write(const struct PeltonBuffer *buffer,
                                 struct PeltonStream stream,
                                 uint64_t offset,
                                 const void *source,
                                 size_t bytes);

// Copies bytes of the buffer, from byte `offset` on, to host memory. Waits for the stream.
PeltonStatus pelton_buffer_read(const struct PeltonBuffer *buffer,
                                struct PeltonStream stream,
                                uint64_t offset,
                                void *target,
                                size_t bytes);

// Ends the handle.
PeltonStatus pelton_buffer_free(struct PeltonBuffer *buffer);

// A column over buffers, which it shares: `rows` rows, the first of which is element `offset` of both. `validity`
// may be NULL: no row is null.
PeltonStatus pelton_column_of_buffers(PeltonType physical_type,
                                      const struct PeltonBuffer *values,
                                      const struct PeltonBuffer *validity,
                                      uint64_t offset,
                                      uint64_t rows,
                                      struct PeltonColumn **out);

// A column over device memory of the caller's, as it is once the stream reaches this point; it is only read. Both
// pointers are multiples of 16, and readable up to the next multiple of 64 bytes behind the last row.
PeltonStatus pelton_column_adopt(const struct PeltonDevice *device,
                                 struct PeltonStream stream,
                                 const struct PeltonColumnPointers *pointers,
                                 PeltonRelease release,
                                 void *context,
                                 struct PeltonColumn **out);

// Where the column lies, for the caller's own work that follows on the stream and reads it. In a column of a table
// whose row count a kernel decides, `rows` is what there is room for. The pointers are valid until the handle and
// all that share it are ended.
PeltonStatus pelton_column_pointers(const struct PeltonColumn *column,
                                    struct PeltonStream stream,
                                    struct PeltonColumnPointers *out);

// The type of a column.
PeltonStatus pelton_column_type(const struct PeltonColumn *column, PeltonType *out_type);

// Copies the first `rows` rows to host memory: values one behind the other (Booleans as a bitmap from bit 0 on),
// and their validity as a bitmap, if `validity` is not NULL; a column without nulls gives ones. The values of
// nulls are undefined. The sizes are those of the host memory. Waits for the stream.
PeltonStatus pelton_column_read(const struct PeltonColumn *column,
                                struct PeltonStream stream,
                                uint64_t rows,
                                void *values,
                                size_t values_bytes,
                                uint8_t *validity,
                                size_t validity_bytes);

// Ends the handle.
PeltonStatus pelton_column_free(struct PeltonColumn *column);

// Opens the CUDA device of this index, in its primary context, which is the one that the CUDA runtime uses.
// Memory comes from a pool of Pelton's own.
PeltonStatus pelton_device_open_cuda(uint32_t index,
                                     struct PeltonDevice **out);

// Works in a CUcontext of the caller's, which must live until the device and all handles made with it
// are ended.
PeltonStatus pelton_device_open_cuda_context(void *context,
                                             struct PeltonDevice **out);

// Opens an emulated device: the same kernels, run by this processor, every access checked. `seed` decides every
// order that CUDA leaves open. For tests; addresses of its memory mean nothing elsewhere.
PeltonStatus pelton_device_open_simt(uint64_t seed,
                                     struct PeltonDevice **out);

// What the device calls itself, valid until it is closed; NULL for NULL.
const char *pelton_device_name(const struct PeltonDevice *device);

// Ends the handle. The device is left when the last column, buffer and table of it is ended, too.
PeltonStatus pelton_device_close(struct PeltonDevice *device);

// A stream of Pelton's, the caller's alone until it is released. `out->handle` is a CUstream to queue work on.
PeltonStatus pelton_stream_take(const struct PeltonDevice *device,
                                struct PeltonStream *out);

// A stream of the caller's, made in the device's context; NULL is the legacy default stream. It must live until it
// is released, or the device and all handles made with it are ended. The default stream of each thread
// (CU_STREAM_PER_THREAD) is refused.
PeltonStatus pelton_stream_adopt(const struct PeltonDevice *device,
                                 void *stream,
                                 struct PeltonStream *out);

// Gives a stream back, taken or adopted, after waiting for all work on it. What failed there is told; the stream is
// given back even so.
PeltonStatus pelton_stream_release(const struct PeltonDevice *device,
                                   struct PeltonStream stream);

// Waits for all work on a stream, and tells what failed there.
PeltonStatus pelton_stream_synchronize(const struct PeltonDevice *device,
                                       struct PeltonStream stream);

// Lets what follows on the stream wait for a CUevent of the caller's, as it was last recorded.
PeltonStatus pelton_stream_wait_event(const struct PeltonDevice *device,
                                      struct PeltonStream stream,
                                      void *event);

// Records a CUevent of the caller's behind what is queued on the stream.
PeltonStatus pelton_stream_record_event(const struct PeltonDevice *device,
                                        struct PeltonStream stream,
                                        void *event);

// The rows for which the Boolean column `predicate` is true and not null, in order: of each column that `columns`
// numbers. How many there are stays on the device until somebody asks; nothing waits.
PeltonStatus pelton_filter(const struct PeltonTable *table,
                           struct PeltonStream stream,
                           uint32_t predicate,
                           const uint32_t *columns,
                           size_t column_count,
                           struct PeltonTable **out);

// Groups the rows by the columns that `keys` numbers, nulls being a group of their own, and computes aggregates: a
// table of the keys and then the aggregates, a row per group, in no order. Without keys there is one group. Waits
// for the stream.
PeltonStatus pelton_group_by(const struct PeltonTable *table,
                             struct PeltonStream stream,
                             const uint32_t *keys,
                             size_t key_count,
                             const struct PeltonAggregate *aggregates,
                             size_t aggregate_count,
                             struct PeltonTable **out);

// Joins two tables of one device by keys of equal types, `build_keys[i]` with `probe_keys[i]`: a table of the probe
// side's columns and then the build side's, in no order. A null equals nothing, or, with `null_equals_null`, a
// null. The smaller side had better be the build side. Waits for the stream.
PeltonStatus pelton_hash_join(const struct PeltonTable *build,
                              const struct PeltonTable *probe,
                              struct PeltonStream stream,
                              PeltonJoinKind kind,
                              const uint32_t *build_keys,
                              const uint32_t *probe_keys,
                              size_t key_count,
                              bool null_equals_null,
                              struct PeltonTable **out);

// The message of the last failure of this thread, empty if there was none: one line in UTF-8 that
// says what failed, why, and what to do. Valid until the next failure on this thread.
const char *pelton_last_error(void);

// The version of Pelton, as "major.minor.patch". Valid for ever.
const char *pelton_version(void);

// PELTON_ABI_VERSION of the library that is running: compare it with the header's.
uint32_t pelton_abi_version(void);

// A table of columns of equal length and of one device, which it shares. There is at least one.
PeltonStatus pelton_table_create(const struct PeltonColumn *const *columns,
                                 size_t column_count,
                                 struct PeltonTable **out);

// How many columns a table has.
PeltonStatus pelton_table_column_count(const struct PeltonTable *table, size_t *out_count);

// How many rows a table has. Waits for the stream if a kernel decides it.
PeltonStatus pelton_table_row_count(const struct PeltonTable *table,
                                    struct PeltonStream stream,
                                    uint64_t *out_rows);

// A column of the table, numbered from 0, sharing its memory.
PeltonStatus pelton_table_column(const struct PeltonTable *table,
                                 uint32_t index,
                                 struct PeltonColumn **out);

// Ends the handle.
PeltonStatus pelton_table_free(struct PeltonTable *table);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PELTON_H */
