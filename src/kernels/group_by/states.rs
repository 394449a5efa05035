//! States that have no fixed number of words, as rows and back: lists, and registers of sketches.

use std::sync::Arc;

use super::abi;
use super::{address_of, blocks, read_words};
use crate::device::DeviceBuffer;
use crate::error::{Error, Result};
use crate::kernels::column::{check_rows, check_type};
use crate::kernels::{DeviceColumn, Launch, OutputColumn, Status};
use crate::types::PhysicalType;

/// The buffer of starts, `UInt32`, and how many parts begin there.
fn starts_of<'c>(launch: &Launch, starts: &'c DeviceColumn) -> Result<(&'c DeviceBuffer, u64)> {
    check_type("group_by", starts, PhysicalType::UInt32)?;
    match (starts.values(), starts.offset(), starts.rows()) {
        (Some(buffer), 0, 2..) => {
            buffer.order_read(launch.stream())?;
            Ok((buffer, starts.rows() - 1))
        }
        _ => Err(Error::invalid("group_by", "starts of no parts", "")),
    }
}

/// The row that has each element of lists, `UInt32`. `lists` has the list of each row, `UInt32`, and
/// null for an empty one; `starts`, `UInt32`, where each list begins, and where the last one ends.
/// Each list is some row's.
///
/// Shape: `lists[rows]`, `starts[lists + 1]` → a column of `elements` rows.
///
/// # Errors
/// `InvalidInput` for other types or too few rows; no memory is left, or the driver refuses.
pub fn element_rows(
    launch: &Launch,
    lists: &DeviceColumn,
    rows: u64,
    starts: &DeviceColumn,
    elements: u64,
) -> Result<DeviceColumn> {
    check_type("group_by", lists, PhysicalType::UInt32)?;
    check_rows("group_by", &[lists], rows)?;
    let (starts, count) = starts_of(launch, starts)?;
    let list_rows = launch.alloc(4 * count)?;
    let params = abi::GroupByListRowsParams {
        lists: lists.view(launch)?,
        list_rows: address_of(&list_rows),
        row_count: rows,
        list_count: count,
    };
    let threads = abi::GROUP_BY_TABLE_THREADS;
    // SAFETY: `view` gives a buffer of `rows` rows; the kernel writes below `count` alone.
    unsafe { launch.launch::<abi::GroupByListRows>(blocks(rows, threads), threads, 0, &params) }?;
    let output = OutputColumn::new(launch, PhysicalType::UInt32, elements, false)?;
    let params = abi::GroupByElementRowsParams {
        starts: address_of(starts),
        list_rows: address_of(&list_rows),
        element_rows: output.out().values.cast(),
        list_count: count,
        element_count: elements,
    };
    let grid = blocks(elements, threads);
    // SAFETY: there are `count` starts and an end, and a row per list; the output has room for all
    // elements.
    unsafe { launch.launch::<abi::GroupByElementRows>(grid, threads, 0, &params) }?;
    Ok(output.into_column())
}

/// The sketch of each group, a view of the ranks of its registers, of those that are raised and their
/// weights, as [`registers`](super::registers) gives them. `starts`, `UInt32`, has the first row of each
/// sketch, and the end of the last one; `lists`, `UInt32`, the sketch of each group, null for one without
/// raised registers.
///
/// Shape: `registers[rows]`, `weights[rows]`, `starts[sketches + 1]`, `lists[groups]` → a column of
/// `groups` rows.
///
/// # Errors
/// `InvalidInput` for other types; no memory is left, or the driver refuses.
pub fn write_registers(
    launch: &Launch,
    (registers, weights): (&DeviceColumn, &DeviceColumn),
    starts: &DeviceColumn,
    lists: &DeviceColumn,
) -> Result<DeviceColumn> {
    check_type("group_by", registers, PhysicalType::UInt32)?;
    check_type("group_by", weights, PhysicalType::Int64)?;
    check_type("group_by", lists, PhysicalType::UInt32)?;
    check_rows("group_by", &[weights], registers.rows())?;
    let (starts, count) = match registers.rows() {
        0 => (std::ptr::null(), 0),
        _ => {
            let (starts, count) = starts_of(launch, starts)?;
            (address_of::<u32>(starts).cast_const(), count)
        }
    };
    let groups = lists.rows();
    let bytes = Arc::new(launch.alloc_zeroed((count + 1) << abi::GROUP_BY_REGISTER_BITS)?);
    let sketches = OutputColumn::new(launch, PhysicalType::View, groups, false)?;
    let params = abi::GroupByWriteRegistersParams {
        registers: registers.view(launch)?,
        weights: weights.view(launch)?,
        lists: lists.view(launch)?,
        starts,
        bytes: address_of(&bytes),
        sketches: sketches.out(),
        row_count: registers.rows(),
        sketch_count: count,
        group_count: groups,
    };
    let threads = abi::GROUP_BY_TABLE_THREADS;
    let grid = blocks(registers.rows().max(groups), threads);
    // SAFETY: `view` gives buffers of as many rows; registers have `GROUP_BY_REGISTER_BITS` bits, so
    // that those of a sketch lie within its bytes, and lists are numbers of sketches.
    unsafe { launch.launch::<abi::GroupByWriteRegisters>(grid, threads, 0, &params) }?;
    Ok(sketches.into_column().keeping(Arc::from([bytes])))
}

/// The raised registers of sketches.
#[derive(Debug)]
pub struct Raised {
    /// The row that has the sketch, `UInt32`.
    pub rows: DeviceColumn,
    /// The register, `UInt32`.
    pub registers: DeviceColumn,
    /// The weight of its rank, `Int64`.
    pub weights: DeviceColumn,
    /// How many there are.
    pub count: u64,
}

/// The raised registers of sketches, in no order; none of a null. Waits for the stream.
///
/// Shape: `sketches[rows]` → columns of as many rows as registers are raised.
///
/// # Errors
/// `InvalidInput` for what is no sketch; no memory is left, or what failed on the stream.
pub fn read_registers(launch: &Launch, sketches: &DeviceColumn, rows: u64) -> Result<Raised> {
    check_type("group_by", sketches, PhysicalType::View)?;
    check_rows("group_by", &[sketches], rows)?;
    let status = Status::new(launch, "group_by_read_registers")?;
    let count = launch.alloc_zeroed(8)?;
    let mut params = abi::GroupByReadRegistersParams {
        sketches: sketches.view(launch)?,
        rows: std::ptr::null_mut(),
        registers: std::ptr::null_mut(),
        weights: std::ptr::null_mut(),
        raised_count: address_of(&count),
        status: status.pointer(),
        row_count: rows,
    };
    let threads = abi::GROUP_BY_TABLE_THREADS;
    // SAFETY: `view` gives a buffer of `rows` views, which is what blocks there are; without outputs
    // the kernel counts.
    unsafe { launch.launch::<abi::GroupByReadRegisters>(rows, threads, 0, &params) }?;
    status.check(launch)?;
    let [raised] = read_words(launch, &count)?;
    let output = |physical| OutputColumn::new(launch, physical, raised, false);
    let places = output(PhysicalType::UInt32)?;
    let registers = output(PhysicalType::UInt32)?;
    let weights = output(PhysicalType::Int64)?;
    let written = launch.alloc_zeroed(8)?;
    params.rows = places.out().values.cast();
    params.registers = registers.out().values.cast();
    params.weights = weights.out().values.cast();
    params.raised_count = address_of(&written);
    // SAFETY: as above; the outputs have room for as many registers as the launch before counted.
    unsafe { launch.launch::<abi::GroupByReadRegisters>(rows, threads, 0, &params) }?;
    Ok(Raised {
        rows: places.into_column(),
        registers: registers.into_column(),
        weights: weights.into_column(),
        count: raised,
    })
}
