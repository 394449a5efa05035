// Filters and groups rows with Pelton's kernels from C: no engine, no plan, no Parquet.
//
//   cargo build --release -p pelton-capi
//   cc -std=c11 -I adapters/capi/include examples/link_kernels.c -o link_kernels
//      -L target/release -lpelton_capi -Wl,-rpath,$PWD/target/release
//   ./link_kernels          # a GPU if there is one, else the emulator; `./link_kernels simt` asks for it
//
// The program owns its memory: one column lies in a buffer that Pelton allocated for it, two are
// adopted from addresses in device memory, as an engine with an allocator of its own would do.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pelton.h"

enum { ORDERS = 12, COLUMNS = 3 };

static const int32_t region[ORDERS] = {1, 2, 1, 3, 2, 1, 3, 3, 2, 1, 4, 1};
static const int64_t amount[ORDERS] = {250, 90, 120, 400, 100, 75, 310, 20, 180, 640, 50, 0};
// The amount of the last order is not known.
static const uint8_t amount_is_known[2] = {0xff, 0x07};

// Ends the program with the library's words if a call failed.
static void must(PeltonStatus status) {
  if (status == PELTON_OK) return;
  fprintf(stderr, "status %" PRId32 ": %s\n", status, pelton_last_error());
  exit(1);
}

static PeltonDevice *open_device(int argc, char **argv) {
  PeltonDevice *device = NULL;
  const int emulate = argc > 1 && strcmp(argv[1], "simt") == 0;
  if (!emulate && pelton_device_open_cuda(0, &device) == PELTON_OK) return device;
  if (!emulate) fprintf(stderr, "emulating: %s\n", pelton_last_error());
  must(pelton_device_open_simt(1, &device));
  return device;
}

// Device memory with a copy of host memory.
static PeltonBuffer *buffer_of(PeltonDevice *device, PeltonStream stream, const void *source,
                               size_t bytes) {
  PeltonBuffer *buffer = NULL;
  must(pelton_buffer_allocate(device, stream, bytes, &buffer));
  must(pelton_buffer_write(buffer, stream, 0, source, bytes));
  return buffer;
}

// Called when Pelton does not use adopted memory any more.
static void release_buffer(void *buffer) {
  must(pelton_buffer_free(buffer));
}

// A column over the address of memory that this program owns.
static PeltonColumn *adopt(PeltonDevice *device, PeltonStream stream, PeltonType type,
                           PeltonBuffer *owned, const PeltonBuffer *validity) {
  PeltonColumnPointers pointers = {type, NULL, NULL, 0, ORDERS};
  PeltonColumn *column = NULL;
  uint64_t bytes = 0;
  void *address = NULL;
  must(pelton_buffer_address(owned, &address, &bytes));
  pointers.values = address;
  if (validity) {
    must(pelton_buffer_address(validity, &address, &bytes));
    pointers.validity = address;
  }
  must(pelton_column_adopt(device, stream, &pointers, release_buffer, owned, &column));
  return column;
}

// The predicate: amounts of at least 100, as a bitmap. An engine would compute it on the device.
static PeltonColumn *large_orders(PeltonDevice *device, PeltonStream stream) {
  uint8_t bits[(ORDERS + 7) / 8] = {0};
  PeltonColumn *column = NULL;
  PeltonBuffer *buffer;
  for (int row = 0; row < ORDERS; row++) {
    if (amount[row] >= 100) bits[row / 8] |= (uint8_t)(1u << (row % 8));
  }
  buffer = buffer_of(device, stream, bits, sizeof bits);
  must(pelton_column_of_buffers(PELTON_TYPE_BOOLEAN, buffer, NULL, 0, ORDERS, &column));
  must(pelton_buffer_free(buffer));  // the column holds on to the memory
  return column;
}

// One 64-bit column of a table in host memory, which the caller frees.
static int64_t *fetch(const PeltonTable *table, PeltonStream stream, uint32_t index,
                      uint64_t rows) {
  const size_t bytes = (size_t)rows * sizeof(int64_t);
  int64_t *values = malloc(bytes ? bytes : 1);
  PeltonColumn *column = NULL;
  if (!values) exit(1);
  must(pelton_table_column(table, index, &column));
  must(pelton_column_read(column, stream, rows, values, bytes, NULL, 0));
  must(pelton_column_free(column));
  return values;
}

static void print_groups(const PeltonTable *groups, PeltonStream stream) {
  enum { COUNT = 1, SUM, MIN, MAX };
  uint64_t rows = 0;
  must(pelton_table_row_count(groups, stream, &rows));
  int32_t *keys = malloc((size_t)rows * sizeof *keys + 1);
  PeltonColumn *column = NULL;
  if (!keys) exit(1);
  must(pelton_table_column(groups, 0, &column));
  must(pelton_column_read(column, stream, rows, keys, (size_t)rows * sizeof *keys, NULL, 0));
  must(pelton_column_free(column));
  int64_t *count = fetch(groups, stream, COUNT, rows), *sum = fetch(groups, stream, SUM, rows);
  int64_t *min = fetch(groups, stream, MIN, rows), *max = fetch(groups, stream, MAX, rows);
  for (int32_t key = 1; key <= 4; key++) {  // groups come in no order
    for (uint64_t row = 0; row < rows; row++) {
      if (keys[row] != key) continue;
      printf("region %" PRId32 ": %" PRId64 " orders, sum %" PRId64 ", min %" PRId64
             ", max %" PRId64 "\n", key, count[row], sum[row], min[row], max[row]);
    }
  }
  free(max);
  free(min);
  free(sum);
  free(count);
  free(keys);
}

int main(int argc, char **argv) {
  if (pelton_abi_version() != PELTON_ABI_VERSION) {
    fprintf(stderr, "the library is not the header's\n");
    return 1;
  }
  PeltonDevice *device = open_device(argc, argv);
  PeltonStream stream;
  must(pelton_stream_take(device, &stream));

  PeltonBuffer *known = buffer_of(device, stream, amount_is_known, sizeof amount_is_known);
  PeltonColumn *columns[COLUMNS] = {
      adopt(device, stream, PELTON_TYPE_INT32, buffer_of(device, stream, region, sizeof region),
            NULL),
      adopt(device, stream, PELTON_TYPE_INT64, buffer_of(device, stream, amount, sizeof amount),
            known),
      large_orders(device, stream)};
  PeltonTable *orders = NULL, *large = NULL, *groups = NULL;
  must(pelton_table_create((const PeltonColumn *const *)columns, COLUMNS, &orders));
  for (int i = 0; i < COLUMNS; i++) must(pelton_column_free(columns[i]));

  const uint32_t kept[2] = {0, 1}, key = 0;
  must(pelton_filter(orders, stream, 2, kept, 2, &large));
  const PeltonAggregate aggregates[4] = {{PELTON_AGGREGATE_COUNT_ROWS, 0},
                                         {PELTON_AGGREGATE_SUM, 1},
                                         {PELTON_AGGREGATE_MIN, 1},
                                         {PELTON_AGGREGATE_MAX, 1}};
  must(pelton_group_by(large, stream, &key, 1, aggregates, 4, &groups));

  uint64_t rows = 0;
  must(pelton_table_row_count(large, stream, &rows));
  printf("%" PRIu64 " of %d orders are large\n", rows, ORDERS);
  print_groups(groups, stream);

  // What cannot be is refused, with a reason.
  PeltonTable *none = NULL;
  const PeltonStatus status = pelton_filter(orders, stream, 1, kept, 2, &none);
  printf("status %" PRId32 ": %s\n", status, pelton_last_error());

  must(pelton_table_free(groups));
  must(pelton_table_free(large));
  must(pelton_table_free(orders));  // gives the adopted memory back
  must(pelton_buffer_free(known));
  must(pelton_stream_release(device, stream));
  must(pelton_device_close(device));
  return 0;
}
