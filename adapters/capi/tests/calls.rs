//! The functions of the header as a caller of theirs sees them, on the emulator: joins of every
//! kind, bitmaps with offsets, ownership of adopted memory, and what is refused.

use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use pelton_capi::*;

/// Calls a function of the header, and answers its status.
macro_rules! status {
    ($function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: the tests pass live handles, null, and places that are valid for the call.
        unsafe { $function($($argument),*) }
    };
}

/// Calls a function that must succeed.
macro_rules! must {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        let status = status!($function($($argument),*));
        assert_eq!(status, PELTON_OK, "{}: {}", stringify!($function), last());
    }};
}

/// Calls a function that must refuse, for a reason with these words.
macro_rules! refused {
    ($words:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        let status = status!($function($($argument),*));
        assert_eq!(status, PELTON_ERROR_INVALID, "{}", last());
        assert!(last().contains($words), "{}", last());
    }};
}

fn last() -> String {
    // SAFETY: the message is valid until the next failure of this thread.
    let message = unsafe { CStr::from_ptr(pelton_last_error()) };
    message.to_string_lossy().into_owned()
}

/// An emulated device with a stream, ended together.
struct Session {
    device: *mut PeltonDevice,
    stream: PeltonStream,
}

impl Session {
    fn new() -> Session {
        let (mut device, mut stream) = (null_mut(), PeltonStream::default());
        must!(pelton_device_open_simt(5, &raw mut device));
        must!(pelton_stream_take(device, &raw mut stream));
        Session { device, stream }
    }

    fn buffer(&self, bytes: &[u8]) -> *mut PeltonBuffer {
        let mut buffer = null_mut();
        let size = bytes.len();
        must!(pelton_buffer_allocate(
            self.device,
            self.stream,
            size as u64,
            &raw mut buffer
        ));
        must!(pelton_buffer_write(
            buffer,
            self.stream,
            0,
            bytes.as_ptr().cast(),
            size
        ));
        buffer
    }

    /// A column of so many rows over buffers that only it holds.
    fn column(
        &self,
        physical: PeltonType,
        values: &[u8],
        validity: Option<&[u8]>,
        offset: u64,
        rows: u64,
    ) -> *mut PeltonColumn {
        let values = self.buffer(values);
        let validity = validity.map_or(null_mut(), |bits| self.buffer(bits));
        let mut column = null_mut();
        must!(pelton_column_of_buffers(
            physical,
            values,
            validity,
            offset,
            rows,
            &raw mut column
        ));
        must!(pelton_buffer_free(values));
        must!(pelton_buffer_free(validity));
        column
    }

    /// A table of 64-bit columns in which `None` is a null.
    fn table(&self, columns: &[&[Option<i64>]]) -> *mut PeltonTable {
        let columns: Vec<*const PeltonColumn> = columns
            .iter()
            .map(|values| {
                let bytes = values
                    .iter()
                    .flat_map(|value| value.unwrap_or(-7).to_ne_bytes());
                let mut bits = vec![0u8; values.len().div_ceil(8)];
                for (row, _) in values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| value.is_some())
                {
                    bits[row / 8] |= 1 << (row % 8);
                }
                let nullable = values.contains(&None).then_some(bits.as_slice());
                let bytes: Vec<u8> = bytes.collect();
                let rows = values.len() as u64;
                self.column(PELTON_TYPE_INT64, &bytes, nullable, 0, rows)
                    .cast_const()
            })
            .collect();
        let mut table = null_mut();
        must!(pelton_table_create(
            columns.as_ptr(),
            columns.len(),
            &raw mut table
        ));
        for column in columns {
            must!(pelton_column_free(column.cast_mut()));
        }
        table
    }

    /// The rows of a table of 64-bit columns, sorted.
    fn rows(&self, table: *mut PeltonTable) -> Vec<Vec<Option<i64>>> {
        let (mut count, mut width) = (0, 0);
        must!(pelton_table_row_count(table, self.stream, &raw mut count));
        must!(pelton_table_column_count(table, &raw mut width));
        let mut rows = vec![Vec::new(); count as usize];
        for index in 0..width as u32 {
            let mut column = null_mut();
            must!(pelton_table_column(table, index, &raw mut column));
            let mut values = vec![0i64; rows.len()];
            let mut bits = vec![0u8; rows.len().div_ceil(8)];
            must!(pelton_column_read(
                column,
                self.stream,
                count,
                values.as_mut_ptr().cast(),
                8 * values.len(),
                bits.as_mut_ptr(),
                bits.len(),
            ));
            must!(pelton_column_free(column));
            for (row, cells) in rows.iter_mut().enumerate() {
                let valid = bits[row / 8] >> (row % 8) & 1 == 1;
                cells.push(valid.then_some(values[row]));
            }
        }
        rows.sort_unstable();
        must!(pelton_table_free(table));
        rows
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        must!(pelton_stream_release(self.device, self.stream));
        must!(pelton_device_close(self.device));
    }
}

/// Pairs of a key and a payload.
type Side = [(Option<i64>, i64)];

/// The contract of each kind, row by row.
fn expected(
    kind: PeltonJoinKind,
    build: &Side,
    probe: &Side,
    nulls: bool,
) -> Vec<Vec<Option<i64>>> {
    let mut rows = Vec::new();
    for (key, value) in probe {
        let equal = |other: &Option<i64>| other == key && (nulls || key.is_some());
        let partners: Vec<_> = build.iter().filter(|(other, _)| equal(other)).collect();
        let probe = vec![*key, Some(*value)];
        match kind {
            PELTON_JOIN_SEMI if !partners.is_empty() => rows.push(probe),
            PELTON_JOIN_ANTI if partners.is_empty() => rows.push(probe),
            PELTON_JOIN_SEMI | PELTON_JOIN_ANTI => {}
            PELTON_JOIN_LEFT if partners.is_empty() => {
                rows.push([probe, vec![None, None]].concat());
            }
            _ => rows.extend(
                partners
                    .iter()
                    .map(|(key, value)| [probe.clone(), vec![*key, Some(*value)]].concat()),
            ),
        }
    }
    rows.sort_unstable();
    rows
}

#[test]
fn joins_of_every_kind_give_what_they_say() {
    let session = Session::new();
    let probe: Vec<(Option<i64>, i64)> = (0..40)
        .map(|row| ((row % 7 != 3).then_some(row % 9), row))
        .collect();
    let unique: Vec<_> = (2..8).map(|key| (Some(key), 100 + key)).collect();
    let with_null = [&unique[..], &[(None, 200)]].concat();
    let twice = [&with_null[..], &[(Some(4), 300), (None, 400)]].concat();
    for build in [&unique[..], &with_null, &twice, &[]] {
        for kind in PELTON_JOIN_INNER..=PELTON_JOIN_ANTI {
            for nulls in [false, true] {
                let [left, right] = [build, &probe].map(|side| {
                    let (keys, values): (Vec<_>, Vec<_>) =
                        side.iter().map(|(key, value)| (*key, Some(*value))).unzip();
                    session.table(&[&keys, &values])
                });
                let (key, mut joined) = (0, null_mut());
                let (key, stream) = (&raw const key, session.stream);
                must!(pelton_hash_join(
                    left,
                    right,
                    stream,
                    kind,
                    key,
                    key,
                    1,
                    nulls,
                    &raw mut joined
                ));
                must!(pelton_table_free(left));
                must!(pelton_table_free(right));
                let wanted = expected(kind, build, &probe, nulls);
                assert_eq!(session.rows(joined), wanted, "kind {kind}, nulls {nulls}");
            }
        }
    }
}

#[test]
fn groups_of_nullable_keys_and_of_nothing() {
    let session = Session::new();
    let keys = [Some(1), None, Some(1), None, Some(2)];
    let values = [Some(5), Some(7), None, Some(-9), None];
    let column = 1;
    let all = [
        PELTON_AGGREGATE_COUNT_ROWS,
        PELTON_AGGREGATE_COUNT,
        PELTON_AGGREGATE_SUM,
        PELTON_AGGREGATE_MIN,
        PELTON_AGGREGATE_MAX,
    ]
    .map(|function| PeltonAggregate { function, column });
    let group = |table: *mut PeltonTable, key_count| {
        let (key, mut groups) = (0, null_mut());
        let key = &raw const key;
        must!(pelton_group_by(
            table,
            session.stream,
            key,
            key_count,
            all.as_ptr(),
            all.len(),
            &raw mut groups,
        ));
        must!(pelton_table_free(table));
        session.rows(groups)
    };
    let rows = group(session.table(&[&keys, &values]), 1);
    let expected = [
        vec![None, Some(2), Some(2), Some(-2), Some(-9), Some(7)],
        vec![Some(1), Some(2), Some(1), Some(5), Some(5), Some(5)],
        vec![Some(2), Some(1), Some(0), None, None, None],
    ];
    assert_eq!(rows, expected);
    let rows = group(session.table(&[&[], &[]]), 0);
    assert_eq!(rows, [vec![Some(0), Some(0), None, None, None]]);

    let table = session.table(&[&[Some(i64::MAX), Some(1)]]);
    let sum = PeltonAggregate {
        function: PELTON_AGGREGATE_SUM,
        column: 0,
    };
    let (sum, mut groups) = (&raw const sum, null_mut());
    let status = status!(pelton_group_by(
        table,
        session.stream,
        null(),
        0,
        sum,
        1,
        &raw mut groups
    ));
    assert_eq!(status, PELTON_ERROR_KERNEL, "{}", last());
    assert!(last().contains("a sum does not fit its type"), "{}", last());
    assert!(groups.is_null());
    must!(pelton_table_free(table));
}

#[test]
fn bitmaps_are_read_from_any_offset() {
    let session = Session::new();
    let bits = [0b1011_0010u8, 0b0110_1101, 0b0000_0001];
    let bit = |row: u64| bits[row as usize / 8] >> (row % 8) & 1;
    for (offset, rows) in [(0, 17), (1, 16), (3, 8), (7, 10), (8, 9), (9, 3), (17, 0)] {
        let column = session.column(PELTON_TYPE_BOOLEAN, &bits, Some(&bits), offset, rows);
        let (mut values, mut valid) = ([0xaau8; 4], [0xaau8; 4]);
        let (to, validity) = (values.as_mut_ptr().cast(), valid.as_mut_ptr());
        must!(pelton_column_read(
            column,
            session.stream,
            rows,
            to,
            4,
            validity,
            4
        ));
        let mut wanted = [0xaau8; 4];
        wanted[..rows.div_ceil(8) as usize].fill(0);
        for row in 0..rows {
            wanted[row as usize / 8] |= bit(offset + row) << (row % 8);
        }
        assert_eq!(
            (values, valid),
            (wanted, wanted),
            "{rows} rows from {offset} on"
        );
        must!(pelton_column_free(column));
    }
}

static RELEASED: AtomicU32 = AtomicU32::new(0);

/// Counts, and says by its context how much.
unsafe extern "C" fn count(context: *mut c_void) {
    RELEASED.fetch_add(context.addr() as u32, Ordering::Relaxed);
}

#[test]
fn adopted_memory_is_released_once_and_not_after_a_failure() {
    let session = Session::new();
    let owned = session.buffer(&[1; 64]);
    let (mut address, mut bytes) = (null_mut(), 0);
    must!(pelton_buffer_address(
        owned,
        &raw mut address,
        &raw mut bytes
    ));
    assert_eq!(bytes, 64);
    let context = std::ptr::without_provenance_mut(1);
    let adopt = |values: *mut c_void, rows, column: &mut *mut PeltonColumn| {
        let pointers = PeltonColumnPointers {
            physical_type: PELTON_TYPE_INT64,
            values,
            validity: values,
            offset: 1,
            rows,
        };
        let (pointers, column) = (&raw const pointers, &raw mut *column);
        status!(pelton_column_adopt(
            session.device,
            session.stream,
            pointers,
            Some(count),
            context,
            column
        ))
    };
    let mut column = null_mut();
    assert_eq!(adopt(address, 100, &mut column), PELTON_ERROR_INVALID);
    assert!(
        last().contains("in no buffer of the emulated device"),
        "{}",
        last()
    );
    assert_eq!(adopt(null_mut(), 7, &mut column), PELTON_ERROR_INVALID);
    assert_eq!(
        adopt(address.wrapping_byte_add(4), 3, &mut column),
        PELTON_ERROR_INVALID
    );
    assert!(last().contains("offset"), "{}", last());
    assert!(column.is_null());
    assert_eq!(RELEASED.load(Ordering::Relaxed), 0);

    assert_eq!(adopt(address, 7, &mut column), PELTON_OK, "{}", last());
    let (list, mut table) = ([column.cast_const()], null_mut());
    must!(pelton_table_create(list.as_ptr(), 1, &raw mut table));
    must!(pelton_column_free(column));
    assert_eq!(RELEASED.load(Ordering::Relaxed), 0, "the table has it");
    must!(pelton_table_free(table));
    assert_eq!(RELEASED.load(Ordering::Relaxed), 1);

    let mut buffer = null_mut();
    must!(pelton_buffer_adopt(
        session.device,
        session.stream,
        address,
        64,
        false,
        Some(count),
        std::ptr::without_provenance_mut(10),
        &raw mut buffer,
    ));
    let byte = 9u8;
    let byte = (&raw const byte).cast();
    refused!(
        "reading alone",
        pelton_buffer_write(buffer, session.stream, 0, byte, 1)
    );
    must!(pelton_buffer_order(buffer, session.stream, false));
    refused!(
        "reading alone",
        pelton_buffer_order(buffer, session.stream, true)
    );
    must!(pelton_buffer_free(buffer));
    assert_eq!(RELEASED.load(Ordering::Relaxed), 11);
    must!(pelton_buffer_free(owned));
}

#[test]
fn what_cannot_be_is_refused_with_its_name() {
    let session = Session::new();
    let Session { device, stream } = session;
    refused!(
        "out: the pointer is null",
        pelton_device_open_simt(1, null_mut())
    );
    let mut nothing = null_mut();
    refused!(
        "context: it is null",
        pelton_device_open_cuda_context(null_mut(), &raw mut nothing)
    );
    assert!(status!(pelton_device_name(null())).is_null());
    let name = status!(pelton_device_name(device));
    // SAFETY: the device is open.
    assert_eq!(unsafe { CStr::from_ptr(name) }, c"emulated device");

    let mut buffer = null_mut();
    refused!(
        "device: the pointer",
        pelton_buffer_allocate(null(), stream, 8, &raw mut buffer)
    );
    refused!(
        "more than memory",
        pelton_buffer_allocate(device, stream, u64::MAX, &raw mut buffer)
    );
    let nobodys = PeltonStream { handle: 0xdead };
    refused!(
        "no stream 0xdead",
        pelton_buffer_allocate(device, nobodys, 8, &raw mut buffer)
    );
    refused!(
        "no stream 0xdead",
        pelton_stream_synchronize(device, nobodys)
    );
    refused!("no stream 0xdead", pelton_stream_release(device, nobodys));
    refused!(
        "event: the pointer",
        pelton_stream_wait_event(device, stream, null_mut())
    );
    assert!(buffer.is_null());

    let buffer = session.buffer(&[0; 64]);
    let mut bytes = [0u8; 8];
    let to = bytes.as_mut_ptr().cast();
    refused!(
        "not within its 64",
        pelton_buffer_read(buffer, stream, 57, to, 8)
    );
    refused!(
        "not within its 64",
        pelton_buffer_read(buffer, stream, u64::MAX, to, 8)
    );
    refused!(
        "target: the pointer",
        pelton_buffer_read(buffer, stream, 0, null_mut(), 8)
    );
    refused!(
        "source: the pointer",
        pelton_buffer_write(buffer, stream, 0, null(), 8)
    );
    let mut column = null_mut();
    for (physical, offset, rows, words) in [
        (13, 0, 1, "13 is no type"),
        (PELTON_TYPE_INT64, 0, 9, "bytes of values"),
        (PELTON_TYPE_INT64, u64::MAX, 9, "more than memory"),
        (PELTON_TYPE_BOOLEAN, 500, 13, "bytes of values"),
    ] {
        refused!(
            words,
            pelton_column_of_buffers(physical, buffer, null(), offset, rows, &raw mut column)
        );
    }
    must!(pelton_buffer_free(buffer));

    let table = session.table(&[&[Some(1), None]]);
    let mut out = null_mut();
    refused!(
        "column 1: there are 1",
        pelton_table_column(table, 1, &raw mut column)
    );
    refused!(
        "columns: the pointer",
        pelton_filter(table, stream, 0, null(), 1, &raw mut out)
    );
    refused!(
        "Boolean is taken",
        pelton_filter(table, stream, 0, null(), 0, &raw mut out)
    );
    refused!(
        "a table has some",
        pelton_table_create(null(), 0, &raw mut out)
    );
    let aggregate = PeltonAggregate {
        function: 99,
        column: 0,
    };
    let aggregate = &raw const aggregate;
    refused!(
        "99 is no aggregate",
        pelton_group_by(table, stream, null(), 0, aggregate, 1, &raw mut out)
    );
    refused!(
        "0 keys",
        pelton_hash_join(
            table,
            table,
            stream,
            0,
            null(),
            null(),
            0,
            false,
            &raw mut out
        )
    );
    refused!(
        "9 is no kind",
        pelton_hash_join(
            table,
            table,
            stream,
            9,
            null(),
            null(),
            0,
            false,
            &raw mut out
        )
    );
    let other = Session::new();
    let others = other.table(&[&[Some(1)]]);
    refused!(
        "another device",
        pelton_hash_join(
            others,
            table,
            stream,
            0,
            null(),
            null(),
            0,
            false,
            &raw mut out
        )
    );
    assert!(out.is_null());
    must!(pelton_table_column(table, 0, &raw mut column));
    let mut values = [0i64; 2];
    let to = values.as_mut_ptr().cast();
    refused!(
        "3 rows of 2",
        pelton_column_read(column, stream, 3, to, 24, null_mut(), 0)
    );
    refused!(
        "16 bytes are needed, 15",
        pelton_column_read(column, stream, 2, to, 15, null_mut(), 0)
    );
    must!(pelton_column_free(column));
    must!(pelton_table_free(table));
    must!(pelton_table_free(others));
    must!(pelton_table_free(null_mut()));
}

#[test]
fn handles_outlive_the_device_and_streams_are_released_once() {
    let (mut device, mut stream) = (null_mut(), PeltonStream::default());
    must!(pelton_device_open_simt(2, &raw mut device));
    must!(pelton_stream_take(device, &raw mut stream));
    let mut adopted = PeltonStream::default();
    let theirs = std::ptr::without_provenance_mut(99);
    refused!(
        "no stream 99",
        pelton_stream_adopt(device, theirs, &raw mut adopted)
    );
    let mut buffer = null_mut();
    must!(pelton_buffer_allocate(device, stream, 8, &raw mut buffer));
    must!(pelton_stream_release(device, stream));
    refused!(
        "no stream of another",
        pelton_stream_release(device, stream)
    );
    must!(pelton_device_close(device));
    let value = 77u64;
    let value = (&raw const value).cast();
    must!(pelton_buffer_write(buffer, stream, 0, value, 8));
    let mut read = 0u64;
    must!(pelton_buffer_read(
        buffer,
        stream,
        0,
        (&raw mut read).cast(),
        8
    ));
    assert_eq!(read, 77);
    must!(pelton_buffer_free(buffer));
}
