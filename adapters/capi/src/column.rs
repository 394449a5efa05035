//! Columns: values, validity, and how many rows of which type.

use std::ffi::c_void;
use std::sync::Arc;

use pelton::device::{Device, DeviceBuffer, ForeignMemory};
use pelton::kernels::DeviceColumn;
use pelton::memory::StreamHandle;
use pelton::types::PhysicalType;
use pelton::{Error, Result};

use crate::buffer::{Owner, PeltonBuffer, PeltonRelease, address_of};
use crate::device::{PeltonDevice, PeltonStream};
use crate::handle::{OutHandle, end, out, shared, slice_mut};
use crate::status::{PeltonStatus, answer};

/// How values lie in memory: one of PELTON_TYPE_*.
pub type PeltonType = u32;

/// A bitmap, least significant bit first.
pub const PELTON_TYPE_BOOLEAN: PeltonType = 0;
/// Signed 8-bit integers.
pub const PELTON_TYPE_INT8: PeltonType = 1;
/// Signed 16-bit integers.
pub const PELTON_TYPE_INT16: PeltonType = 2;
/// Signed 32-bit integers; dates.
pub const PELTON_TYPE_INT32: PeltonType = 3;
/// Signed 64-bit integers; times, decimals of at most 18 digits.
pub const PELTON_TYPE_INT64: PeltonType = 4;
/// Unsigned 8-bit integers.
pub const PELTON_TYPE_UINT8: PeltonType = 5;
/// Unsigned 16-bit integers.
pub const PELTON_TYPE_UINT16: PeltonType = 6;
/// Unsigned 32-bit integers.
pub const PELTON_TYPE_UINT32: PeltonType = 7;
/// Unsigned 64-bit integers.
pub const PELTON_TYPE_UINT64: PeltonType = 8;
/// IEEE 754 binary16.
pub const PELTON_TYPE_FLOAT16: PeltonType = 9;
/// IEEE 754 binary32.
pub const PELTON_TYPE_FLOAT32: PeltonType = 10;
/// IEEE 754 binary64.
pub const PELTON_TYPE_FLOAT64: PeltonType = 11;
/// Signed 128-bit integers, low half first; decimals of 19 to 38 digits.
pub const PELTON_TYPE_INT128: PeltonType = 12;

const _: () = {
    assert!(PELTON_TYPE_BOOLEAN == PhysicalType::Boolean as u32);
    assert!(PELTON_TYPE_INT8 == PhysicalType::Int8 as u32);
    assert!(PELTON_TYPE_INT16 == PhysicalType::Int16 as u32);
    assert!(PELTON_TYPE_INT32 == PhysicalType::Int32 as u32);
    assert!(PELTON_TYPE_INT64 == PhysicalType::Int64 as u32);
    assert!(PELTON_TYPE_UINT8 == PhysicalType::UInt8 as u32);
    assert!(PELTON_TYPE_UINT16 == PhysicalType::UInt16 as u32);
    assert!(PELTON_TYPE_UINT32 == PhysicalType::UInt32 as u32);
    assert!(PELTON_TYPE_UINT64 == PhysicalType::UInt64 as u32);
    assert!(PELTON_TYPE_FLOAT16 == PhysicalType::Float16 as u32);
    assert!(PELTON_TYPE_FLOAT32 == PhysicalType::Float32 as u32);
    assert!(PELTON_TYPE_FLOAT64 == PhysicalType::Float64 as u32);
    assert!(PELTON_TYPE_INT128 == PhysicalType::Int128 as u32);
};

/// Rows of one type in device memory. Cloned handles share the memory.
pub struct PeltonColumn {
    pub(crate) column: DeviceColumn,
    pub(crate) device: Arc<Device>,
}

/// A column as pointers into device memory.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PeltonColumnPointers {
    /// One of PELTON_TYPE_*.
    pub physical_type: PeltonType,
    /// The values; row 0 is element (bit) `offset`.
    pub values: *const c_void,
    /// A bit per row, least significant bit first, 1 for a value and 0 for a null; NULL: no row is null.
    pub validity: *const c_void,
    /// Rows to skip at the start of both.
    pub offset: u64,
    /// Rows.
    pub rows: u64,
}

/// The type of this number; views cannot come from C, as nobody could check their addresses.
fn type_of(number: PeltonType) -> Result<PhysicalType> {
    let known = PhysicalType::ALL.into_iter();
    let mut known = known.filter(|physical| *physical != PhysicalType::View);
    known
        .find(|physical| *physical as u32 == number)
        .ok_or_else(|| {
            let cause = format!("{number} is no type");
            Error::invalid("type", cause, "pass one of PELTON_TYPE_*")
        })
}

/// Bytes of the values and of the validity of so many rows.
fn bytes_of(physical: PhysicalType, offset: u64, rows: u64) -> Result<(u64, u64)> {
    let end = offset.checked_add(rows).filter(|end| *end < 1 << 56);
    let end = end.ok_or_else(|| {
        let cause = format!("{rows} rows behind {offset} are more than memory has");
        Error::invalid("rows", cause, "pass their number")
    })?;
    Ok((physical.bytes(end), PhysicalType::Boolean.bytes(end)))
}

/// A column over buffers, which it shares: `rows` rows, the first of which is element `offset` of both. `validity`
/// may be NULL: no row is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_column_of_buffers(
    physical_type: PeltonType,
    values: *const PeltonBuffer,
    validity: *const PeltonBuffer,
    offset: u64,
    rows: u64,
    out: *mut *mut PeltonColumn,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let values = Arc::clone(&unsafe { shared(values, "values") }?.buffer);
        // SAFETY: as above, where null means that there is none.
        let validity = unsafe { validity.as_ref() }.map(|validity| Arc::clone(&validity.buffer));
        let device = Arc::clone(values.device());
        let physical = type_of(physical_type)?;
        bytes_of(physical, offset, rows)?;
        let column = DeviceColumn::array(physical, values, validity, offset, rows)?;
        out.give(PeltonColumn { column, device });
        Ok(())
    })
}

/// A column over device memory of the caller's, as it is once the stream reaches this point; it is only read. Both
/// pointers are multiples of 16, and readable up to the next multiple of 64 bytes behind the last row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_column_adopt(
    device: *const PeltonDevice,
    stream: PeltonStream,
    pointers: *const PeltonColumnPointers,
    release: PeltonRelease,
    context: *mut c_void,
    out: *mut *mut PeltonColumn,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a handle, or null.
        let out = unsafe { OutHandle::new(out) }?;
        // SAFETY: the caller passes a live handle, or null.
        let device = &unsafe { shared(device, "device") }?.device;
        // SAFETY: the caller passes a struct to read, or null.
        let pointers = *unsafe { shared(pointers, "pointers") }?;
        let physical = type_of(pointers.physical_type)?;
        let (values, bitmap) = bytes_of(physical, pointers.offset, pointers.rows)?;
        if pointers.values.is_null() {
            let remedy = "pass device memory, even for no rows";
            return Err(Error::invalid("values", "the pointer is null", remedy));
        }
        let owner = Owner::new(release, context);
        let adopt = |pointer: *const c_void, bytes: u64| -> Result<Arc<DeviceBuffer>> {
            // SAFETY: the caller vouches for the memory until `release` is called.
            let memory =
                unsafe { ForeignMemory::owned(address_of(pointer), bytes, Arc::clone(&owner)) };
            let buffer = device.adopt_memory(stream.handle(), memory.read_only())?;
            Ok(Arc::new(buffer))
        };
        let values = adopt(pointers.values, values)?;
        let validity = match pointers.validity.is_null() {
            true => None,
            false => Some(adopt(pointers.validity, bitmap)?),
        };
        let (offset, rows) = (pointers.offset, pointers.rows);
        let column = DeviceColumn::array(physical, values, validity, offset, rows)?;
        owner.adopted();
        out.give(PeltonColumn {
            column,
            device: Arc::clone(device),
        });
        Ok(())
    })
}

/// Where the column lies, for the caller's own work that follows on the stream and reads it. In a column of a table
/// whose row count a kernel decides, `rows` is what there is room for. The pointers are valid until the handle and
/// all that share it are ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_column_pointers(
    column: *const PeltonColumn,
    stream: PeltonStream,
    out: *mut PeltonColumnPointers,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a struct, or null.
        let out = unsafe { crate::handle::out(out, "out") }?;
        // SAFETY: the caller passes a live handle, or null.
        let PeltonColumn { column, device } = unsafe { shared(column, "column") }?;
        device.check_stream(stream.handle())?;
        let place = |buffer: Option<&Arc<DeviceBuffer>>| -> Result<*const c_void> {
            let Some(buffer) = buffer else {
                return Ok(std::ptr::null());
            };
            buffer.order_read(stream.handle())?;
            Ok(std::ptr::with_exposed_provenance(buffer.address() as usize))
        };
        *out = PeltonColumnPointers {
            physical_type: column.physical() as u32,
            values: place(column.values())?,
            validity: place(column.validity())?,
            offset: column.offset(),
            rows: column.rows(),
        };
        Ok(())
    })
}

impl Default for PeltonColumnPointers {
    fn default() -> Self {
        PeltonColumnPointers {
            physical_type: PELTON_TYPE_BOOLEAN,
            values: std::ptr::null(),
            validity: std::ptr::null(),
            offset: 0,
            rows: 0,
        }
    }
}

/// The type of a column.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_column_type(
    column: *const PeltonColumn,
    out_type: *mut PeltonType,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a place for a number, or null.
        let out_type = unsafe { out(out_type, "out_type") }?;
        // SAFETY: the caller passes a live handle, or null.
        *out_type = unsafe { shared(column, "column") }?.column.physical() as u32;
        Ok(())
    })
}

/// Copies the first `rows` rows to host memory: values one behind the other (Booleans as a bitmap from bit 0 on),
/// and their validity as a bitmap, if `validity` is not NULL; a column without nulls gives ones. The values of
/// nulls are undefined. The sizes are those of the host memory. Waits for the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_column_read(
    column: *const PeltonColumn,
    stream: PeltonStream,
    rows: u64,
    values: *mut c_void,
    values_bytes: usize,
    validity: *mut u8,
    validity_bytes: usize,
) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a live handle, or null.
        let PeltonColumn { column, device } = unsafe { shared(column, "column") }?;
        if rows > column.rows() {
            let cause = format!("{rows} rows of {} are asked for", column.rows());
            return Err(Error::invalid("rows", cause, "ask for fewer rows"));
        }
        // SAFETY: the caller passes room for so many bytes, or null.
        let values = unsafe { slice_mut(values.cast::<u8>(), values_bytes, "values") }?;
        let values = room(values, column.physical().bytes(rows), "values_bytes")?;
        let from = (device, stream.handle());
        let buffer = column.values().ok_or_else(|| {
            Error::invalid("column", "it has no memory", "pass a column of a table")
        })?;
        match column.physical() {
            PhysicalType::Boolean => read_bits(from, buffer, column.offset(), rows, values)?,
            other => {
                let start = column.offset() * (other.bits() / 8);
                device.read_at(stream.handle(), buffer, start, values)?;
            }
        }
        if validity.is_null() {
            return Ok(());
        }
        // SAFETY: the caller passes room for so many bytes.
        let validity = unsafe { slice_mut(validity, validity_bytes, "validity") }?;
        let validity = room(
            validity,
            PhysicalType::Boolean.bytes(rows),
            "validity_bytes",
        )?;
        match column.validity() {
            Some(buffer) => read_bits(from, buffer, column.offset(), rows, validity),
            None => {
                validity.fill(u8::MAX);
                clear_behind(validity, rows);
                Ok(())
            }
        }
    })
}

fn room<'a>(target: &'a mut [u8], needed: u64, name: &str) -> Result<&'a mut [u8]> {
    let bytes = target.len();
    let part = usize::try_from(needed).ok();
    let part = part.and_then(|needed| target.get_mut(..needed));
    part.ok_or_else(|| {
        let cause = format!("{needed} bytes are needed, {bytes} are there");
        Error::invalid(name, cause, "pass more room, or ask for fewer rows")
    })
}

/// Copies `rows` bits from bit `offset` on to the start of `target`, whose last bits become zero.
fn read_bits(
    (device, stream): (&Arc<Device>, StreamHandle),
    buffer: &DeviceBuffer,
    offset: u64,
    rows: u64,
    target: &mut [u8],
) -> Result<()> {
    let (first, shift) = (offset / 8, (offset % 8) as u32);
    let mut bytes = vec![0; ((offset % 8 + rows).div_ceil(8)) as usize];
    device.read_at(stream, buffer, first, &mut bytes)?;
    for (at, byte) in target.iter_mut().enumerate() {
        let pair = [bytes[at], bytes.get(at + 1).copied().unwrap_or(0)];
        *byte = (u16::from_le_bytes(pair) >> shift) as u8;
    }
    clear_behind(target, rows);
    Ok(())
}

/// Zeroes the bits of the last byte behind the last row.
fn clear_behind(bitmap: &mut [u8], rows: u64) {
    if let Some(last) = bitmap.last_mut().filter(|_| !rows.is_multiple_of(8)) {
        *last &= (1 << (rows % 8)) - 1;
    }
}

/// Ends the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pelton_column_free(column: *mut PeltonColumn) -> PeltonStatus {
    answer(|| {
        // SAFETY: the caller passes a handle that it ends once, or null.
        unsafe { end(column) };
        Ok(())
    })
}
