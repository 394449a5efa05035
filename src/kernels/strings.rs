//! Launchers of `strings`: functions over strings that lie as views, and tables for those that are
//! codes.
//!
//! Nulls in, nulls out, unless a launcher says otherwise. Views point into the buffers that their
//! column keeps ([`DeviceColumn::kept`]), which are UTF-8.

mod format;

pub use format::{Form, Formatted, format};

use std::sync::Arc;

use super::abi::{
    self, StringsCaseParams, StringsCompareParams, StringsConcatParams, StringsDfaParams,
    StringsLikeParams, StringsLookupParams, StringsMeasureParams, StringsPiece, StringsPlaceParams,
    StringsReplaceParams, StringsSliceParams,
};
use super::text::text_offsets;
use super::{DeviceColumn, DeviceRows, Launch, OutputColumn, Status, address_of, blocks, halves};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// A value per code.
#[derive(Debug, Clone)]
pub struct Table {
    /// Layout of the values: Boolean, of 32 bits, or views.
    pub physical: PhysicalType,
    /// The values; of Booleans a bitmap.
    pub values: Arc<DeviceBuffer>,
    /// How many there are.
    pub entries: u64,
    /// What views point into.
    pub kept: Arc<[Arc<DeviceBuffer>]>,
}

/// The value of each row's code. A code without an entry is null where codes may be null.
///
/// Shape: `codes[rows]` → a column of the table's layout `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no codes, the table is too short or of another layout; no
/// memory.
pub fn lookup(
    launch: &Launch,
    codes: &DeviceColumn,
    table: &Table,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    use PhysicalType::{Boolean, Int32, UInt32, View};
    let known = matches!(table.physical, Boolean | Int32 | UInt32 | View);
    if codes.physical() != UInt32 || !known {
        return Err(Error::invalid("strings", "a table takes codes", ""));
    }
    if table.values.bytes() < table.physical.bytes(table.entries) {
        return Err(Error::invalid("strings", "a table is too short", ""));
    }
    let output = OutputColumn::new(launch, table.physical, rows.max(), codes.nullable())?;
    table.values.order_read(launch.stream())?;
    let params = StringsLookupParams {
        codes: codes.view(launch)?,
        output: output.out(),
        table: address_of(&table.values),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        entries: table.entries,
    };
    let grid = blocks(rows.max(), abi::STRINGS_LOOKUP_ROWS);
    // SAFETY: `view` and `out` give buffers of `rows.max()` rows; the table has `entries` values,
    // and the kernel takes no other.
    unsafe { launch.launch::<abi::StringsLookup>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column().keeping(Arc::clone(&table.kept)))
}

/// One string for all rows.
///
/// # Errors
/// No memory is left, or the string has more than 4 GiB.
pub fn constant(launch: &Launch, text: &str, rows: &DeviceRows) -> Result<DeviceColumn> {
    let length = narrow(text.len())?;
    let buffer = Arc::new(launch.upload_structs(text.as_bytes())?);
    let bits = u128::from(buffer.address()) | u128::from(length) << 64;
    let column = DeviceColumn::scalar(PhysicalType::View, Some(bits), rows.max());
    Ok(column.keeping(Arc::from([buffer])))
}

fn narrow(bytes: usize) -> Result<u32> {
    u32::try_from(bytes).map_err(|_| Error::invalid("strings", "a constant has 4 GiB", ""))
}

fn grid(rows: u64) -> u64 {
    blocks(rows, abi::STRINGS_THREADS)
}

fn check(columns: &[&DeviceColumn]) -> Result<()> {
    let views = |column: &&DeviceColumn| column.physical() == PhysicalType::View;
    if columns.iter().all(views) {
        return Ok(());
    }
    Err(Error::invalid("strings", "a column has no views", ""))
}

/// `left op right` by bytes, where `op` is one of `abi::PROJECT_EQUAL` …
/// `PROJECT_GREATER_OR_EQUAL`.
///
/// Shape: `left[rows]`, `right[rows]`, views → Boolean `[rows]`.
///
/// # Errors
/// `InvalidInput` if a column has no views; no memory.
pub fn compare(
    launch: &Launch,
    op: u32,
    left: &DeviceColumn,
    right: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    check(&[left, right])?;
    let nullable = left.nullable() || right.nullable();
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), nullable)?;
    let params = StringsCompareParams {
        left: left.view(launch)?,
        right: right.view(launch)?,
        output: output.out(),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        op,
        reserved: 0,
    };
    let grid = grid(rows.max());
    // SAFETY: `view` gives views of `rows.max()` rows into buffers that the columns keep, `out` a
    // bitmap of as many.
    unsafe { launch.launch::<abi::StringsCompare>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

/// Where strings are among ascending bounds, each of which is there once: 2 *i* + 1 for one that equals
/// bound *i*, else twice the number of bounds below it. A number compares with that of a
/// bound as the strings do.
///
/// Shape: `input[rows]`, `bounds[..]`, views → Int32 `[rows]`.
///
/// # Errors
/// `InvalidInput` if a column has no views; no memory.
pub fn place(
    launch: &Launch,
    input: &DeviceColumn,
    bounds: &DeviceColumn,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    check(&[input, bounds])?;
    let output = OutputColumn::new(launch, PhysicalType::Int32, rows.max(), input.nullable())?;
    let params = StringsPlaceParams {
        input: input.view(launch)?,
        bounds: bounds.view(launch)?,
        output: output.out(),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        bound_count: bounds.rows(),
    };
    let grid = grid(rows.max());
    // SAFETY: as `compare`; bounds are read below their number, the output is an Int32 per row.
    unsafe { launch.launch::<abi::StringsPlace>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

/// A LIKE pattern for the kernel: what stands between its `%`.
#[derive(Debug, Clone, Default)]
pub struct LikeProgram {
    pieces: Vec<StringsPiece>,
    bytes: Vec<u8>,
    flags: u32,
}

impl LikeProgram {
    /// A pattern of pieces in their order, with any characters between each two. A character that is
    /// none is any one character. The first piece is at the string's start, or the last at its end,
    /// where that is said; an empty piece makes an anchor of its own.
    ///
    /// # Errors
    /// The pattern has more than 4 GiB.
    pub fn new(
        pieces: &[Vec<Option<char>>],
        anchor_start: bool,
        anchor_end: bool,
    ) -> Result<LikeProgram> {
        let mut program = LikeProgram::default();
        for piece in pieces {
            let at = program.bytes.len();
            for character in piece {
                let mut encoded = [0; 4];
                match character {
                    Some(character) => {
                        let encoded = character.encode_utf8(&mut encoded);
                        program.bytes.extend(encoded.as_bytes());
                    }
                    None => program.bytes.push(abi::STRINGS_WILD as u8),
                }
            }
            program.pieces.push(StringsPiece {
                at: narrow(at)?,
                bytes: narrow(program.bytes.len() - at)?,
                characters: narrow(piece.len())?,
                wild: u32::from(piece.contains(&None)),
            });
        }
        let anchored = |flag: u32, is: bool| if is && !pieces.is_empty() { flag } else { 0 };
        program.flags = anchored(abi::STRINGS_ANCHOR_START, anchor_start)
            | anchored(abi::STRINGS_ANCHOR_END, anchor_end);
        Ok(program)
    }
}

/// Which strings match a pattern.
///
/// Shape: `input[rows]`, views → Boolean `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no views; no memory.
pub fn like(
    launch: &Launch,
    input: &DeviceColumn,
    program: &LikeProgram,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    check(&[input])?;
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), input.nullable())?;
    let pieces = launch.upload_structs(&program.pieces)?;
    let bytes = launch.upload_structs(&program.bytes)?;
    let params = StringsLikeParams {
        input: input.view(launch)?,
        output: output.out(),
        pieces: address_of(&pieces),
        bytes: address_of(&bytes),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        piece_count: narrow(program.pieces.len())?,
        flags: program.flags,
    };
    let grid = grid(rows.max());
    // SAFETY: as `compare`; `LikeProgram::new` made pieces within the bytes, and an anchor only
    // where there is a piece.
    unsafe { launch.launch::<abi::StringsLike>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

/// A DFA over bytes, in device memory.
#[derive(Debug)]
pub struct Dfa {
    table: DeviceBuffer,
    classes: DeviceBuffer,
    class_count: u32,
    start: u16,
}

impl Dfa {
    /// A DFA of a row of `class_count` next states per state, the last one at the end of the string;
    /// `classes` says which of the others a byte takes. State `abi::STRINGS_DFA_DEAD` never
    /// matches, `abi::STRINGS_DFA_MATCH` always; at the end there are no others.
    ///
    /// # Errors
    /// `InvalidInput` if a state or a class does not exist; no memory.
    pub fn new(
        launch: &Launch,
        table: &[u16],
        classes: &[u8; 256],
        class_count: u32,
        start: u16,
    ) -> Result<Dfa> {
        let width = class_count.max(1) as usize;
        let known = |state: &u16| usize::from(*state) < table.len() / width;
        let classes_known = classes
            .iter()
            .all(|class| u32::from(*class) + 1 < class_count);
        let whole = table.len().is_multiple_of(width);
        if !whole || !table.iter().chain([&start]).all(known) || !classes_known {
            return Err(Error::invalid("automaton", "a state does not exist", ""));
        }
        Ok(Dfa {
            table: launch.upload_structs(table)?,
            classes: launch.upload_structs(classes)?,
            class_count,
            start,
        })
    }
}

/// Which strings a DFA accepts.
///
/// Shape: `input[rows]`, views → Boolean `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no views; no memory.
pub fn dfa(
    launch: &Launch,
    input: &DeviceColumn,
    dfa: &Dfa,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    check(&[input])?;
    let nullable = input.nullable();
    let output = OutputColumn::new(launch, PhysicalType::Boolean, rows.max(), nullable)?;
    dfa.table.order_read(launch.stream())?;
    dfa.classes.order_read(launch.stream())?;
    let params = StringsDfaParams {
        input: input.view(launch)?,
        output: output.out(),
        table: address_of(&dfa.table),
        classes: address_of(&dfa.classes),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        class_count: dfa.class_count,
        start: u32::from(dfa.start),
    };
    let grid = grid(rows.max());
    // SAFETY: as `compare`; `Dfa::new` checked that states and classes are within the table.
    unsafe { launch.launch::<abi::StringsDfa>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

/// What `measure` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure<'a> {
    /// Bytes.
    Bytes,
    /// Characters.
    Characters,
    /// Characters up to the first one of this string's first occurrence; 0 where there is none.
    Find(&'a str),
}

/// Lengths and positions.
///
/// Shape: `input[rows]`, views → Int32 `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no views; no memory.
pub fn measure(
    launch: &Launch,
    input: &DeviceColumn,
    measure: Measure,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    check(&[input])?;
    let output = OutputColumn::new(launch, PhysicalType::Int32, rows.max(), input.nullable())?;
    let (op, part) = match measure {
        Measure::Bytes => (abi::STRINGS_BYTE_LENGTH, ""),
        Measure::Characters => (abi::STRINGS_LENGTH, ""),
        Measure::Find(part) => (abi::STRINGS_FIND, part),
    };
    let bytes = launch.upload_structs(part.as_bytes())?;
    let params = StringsMeasureParams {
        input: input.view(launch)?,
        output: output.out(),
        part: address_of(&bytes),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        op,
        part_bytes: narrow(part.len())?,
    };
    let grid = grid(rows.max());
    // SAFETY: as `compare`; the output is an Int32 per row.
    unsafe { launch.launch::<abi::StringsMeasure>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column())
}

/// Which part of a string `slice` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slice {
    /// Behind so many characters, so many.
    SkipTake(u64, u64),
    /// All but the last so many characters.
    DropLast(u64),
    /// The last so many characters.
    KeepLast(u64),
    /// All but the ASCII characters of a set (bit c for character c) at the start, at the end.
    Trim(u128, bool, bool),
}

/// Parts of strings: views of the same bytes.
///
/// Shape: `input[rows]`, views → views `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no views; no memory.
pub fn slice(
    launch: &Launch,
    input: &DeviceColumn,
    slice: Slice,
    rows: &DeviceRows,
) -> Result<DeviceColumn> {
    check(&[input])?;
    let output = OutputColumn::new(launch, PhysicalType::View, rows.max(), input.nullable())?;
    let flag = |is: bool, flag: u32| if is { flag } else { 0 };
    let (op, first, second, flags) = match slice {
        Slice::SkipTake(skip, take) => (abi::STRINGS_SKIP_TAKE, skip, take, 0),
        Slice::DropLast(count) => (abi::STRINGS_DROP_LAST, count, 0, 0),
        Slice::KeepLast(count) => (abi::STRINGS_KEEP_LAST, count, 0, 0),
        Slice::Trim(set, start, end) => {
            let (low, high) = halves(set.cast_signed());
            let flags = flag(start, abi::STRINGS_TRIM_START) | flag(end, abi::STRINGS_TRIM_END);
            (abi::STRINGS_TRIM, low, high, flags)
        }
    };
    let params = StringsSliceParams {
        input: input.view(launch)?,
        output: output.out(),
        row_count_device: rows.pointer(launch)?,
        row_count: rows.max(),
        first,
        second,
        op,
        flags,
    };
    let grid = grid(rows.max());
    // SAFETY: as `compare`; the output is a view per row.
    unsafe { launch.launch::<abi::StringsSlice>(grid, abi::STRINGS_THREADS, 0, &params) }?;
    Ok(output.into_column().keeping(Arc::clone(input.kept())))
}

/// Where each string of a column of views begins, and room for all of them. Waits for the stream,
/// because the host must know the size.
fn room(
    launch: &Launch,
    column: &DeviceColumn,
    rows: u64,
) -> Result<(DeviceBuffer, Arc<DeviceBuffer>)> {
    let offsets = text_offsets(launch, column, &DeviceRows::known(rows))?;
    let mut end = [0u8; 8];
    let device = launch.device();
    device.read_at(launch.stream(), &offsets, 8 * rows, &mut end)?;
    let bytes = launch.alloc(u64::from_ne_bytes(end))?;
    Ok((offsets, Arc::new(bytes)))
}

/// Upper or lower case, if all characters are ASCII; none, if not. Waits for the stream.
///
/// Shape: `input[rows]`, views → views `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no views; no memory; or what failed on the stream.
pub fn ascii_case(
    launch: &Launch,
    input: &DeviceColumn,
    upper: bool,
    rows: &DeviceRows,
) -> Result<Option<DeviceColumn>> {
    check(&[input])?;
    let output = OutputColumn::new(launch, PhysicalType::View, rows.max(), input.nullable())?;
    let rows = rows.resolve(launch)?;
    let (offsets, bytes) = room(launch, input, rows)?;
    let other = launch.alloc_zeroed(4)?;
    let params = StringsCaseParams {
        input: input.view(launch)?,
        output: output.out(),
        offsets: address_of(&offsets),
        out_bytes: address_of(&bytes),
        out_other: address_of(&other),
        row_count: rows,
        flags: if upper { abi::STRINGS_UPPER } else { 0 },
        reserved: 0,
    };
    // SAFETY: as `compare`; `room` gave offsets of the same strings, and as many bytes.
    unsafe { launch.launch::<abi::StringsCase>(grid(rows), abi::STRINGS_THREADS, 0, &params) }?;
    let mut seen = [0u8; 4];
    launch.device().read(launch.stream(), &other, &mut seen)?;
    let column = output.into_column().keeping(Arc::from([bytes]));
    Ok((seen == [0; 4]).then_some(column))
}

/// The strings of each row behind one another. With a separator, which stands between each two, nulls
/// are left out and no row is null; without one a null makes the row null. Waits for the stream.
///
/// Shape: `operands[..][rows]`, views → views `[rows]`.
///
/// # Errors
/// `InvalidInput` if a column has no views, or there are more than `abi::STRINGS_OPERANDS_MAX` or
/// none; no memory; or what failed on the stream. The status says if a string has 4 GiB.
pub fn concat(
    launch: &Launch,
    operands: &[&DeviceColumn],
    separator: Option<&str>,
    rows: &DeviceRows,
    status: &Status,
) -> Result<DeviceColumn> {
    check(operands)?;
    let count = operands.len();
    let (Some(first), true) = (
        operands.first(),
        count <= abi::STRINGS_OPERANDS_MAX as usize,
    ) else {
        let cause = format!("{count} operands, of 1 to {}", abi::STRINGS_OPERANDS_MAX);
        return Err(Error::invalid("concat", cause, "nest several"));
    };
    let nullable = separator.is_none() && operands.iter().any(|operand| operand.nullable());
    let output = OutputColumn::new(launch, PhysicalType::View, rows.max(), nullable)?;
    let rows = rows.resolve(launch)?;
    let text = launch.upload_structs(separator.unwrap_or_default().as_bytes())?;
    let mut params = StringsConcatParams {
        operands: [first.view(launch)?; abi::STRINGS_OPERANDS_MAX as usize],
        output: output.out(),
        separator: address_of(&text),
        offsets: std::ptr::null(),
        out_bytes: std::ptr::null_mut(),
        status: status.pointer(),
        row_count: rows,
        separator_bytes: narrow(separator.map_or(0, str::len))?,
        operand_count: narrow(count)?,
        flags: separator.map_or(0, |_| abi::STRINGS_SKIP_NULLS),
        reserved: 0,
    };
    for (place, operand) in params.operands.iter_mut().zip(operands) {
        *place = operand.view(launch)?;
    }
    // SAFETY: as `compare`; the output is a view per row, and this entry reads no offsets.
    unsafe {
        launch.launch::<abi::StringsConcatSizes>(grid(rows), abi::STRINGS_THREADS, 0, &params)
    }?;
    let column = output.into_column();
    let (offsets, bytes) = room(launch, &column, rows)?;
    params.offsets = address_of(&offsets);
    params.out_bytes = address_of(&bytes);
    // SAFETY: as above; `room` gave offsets of the lengths just written, and as many bytes.
    unsafe { launch.launch::<abi::StringsConcat>(grid(rows), abi::STRINGS_THREADS, 0, &params) }?;
    Ok(column.keeping(Arc::from([bytes])))
}

/// Every occurrence of `from`, which is not empty, replaced by `to`. Waits for the stream.
///
/// Shape: `input[rows]`, views → views `[rows]`.
///
/// # Errors
/// `InvalidInput` if the column has no views or `from` is empty; no memory; or what failed on the
/// stream. The status says if a string has 4 GiB.
pub fn replace(
    launch: &Launch,
    input: &DeviceColumn,
    (from, to): (&str, &str),
    rows: &DeviceRows,
    status: &Status,
) -> Result<DeviceColumn> {
    check(&[input])?;
    if from.is_empty() {
        return Err(Error::invalid("replace", "nothing is replaced", ""));
    }
    let output = OutputColumn::new(launch, PhysicalType::View, rows.max(), input.nullable())?;
    let rows = rows.resolve(launch)?;
    let from_text = launch.upload_structs(from.as_bytes())?;
    let to_text = launch.upload_structs(to.as_bytes())?;
    let mut params = StringsReplaceParams {
        input: input.view(launch)?,
        output: output.out(),
        from: address_of(&from_text),
        to: address_of(&to_text),
        offsets: std::ptr::null(),
        out_bytes: std::ptr::null_mut(),
        status: status.pointer(),
        row_count: rows,
        from_bytes: narrow(from.len())?,
        to_bytes: narrow(to.len())?,
    };
    // SAFETY: as `compare`; the output is a view per row, and this entry reads no offsets.
    unsafe {
        launch.launch::<abi::StringsReplaceSizes>(grid(rows), abi::STRINGS_THREADS, 0, &params)
    }?;
    let column = output.into_column();
    let (offsets, bytes) = room(launch, &column, rows)?;
    params.offsets = address_of(&offsets);
    params.out_bytes = address_of(&bytes);
    // SAFETY: as above; `room` gave offsets of the lengths just written, and as many bytes.
    unsafe { launch.launch::<abi::StringsReplace>(grid(rows), abi::STRINGS_THREADS, 0, &params) }?;
    Ok(column.keeping(Arc::from([bytes])))
}
