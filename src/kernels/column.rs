//! Columns in device memory: what launchers take and give.

use std::sync::Arc;

use super::abi::{self, ColumnOut, ColumnView};
use super::{Launch, address_of};
use crate::device::{DeviceBuffer, PackedRange};
use crate::error::{Error, Result};
use crate::types::PhysicalType;

/// The number of rows of a batch on the device: an upper bound that the host knows, and, where a
/// kernel decided it, the exact number in device memory.
#[derive(Debug, Clone)]
pub struct DeviceRows {
    max: u64,
    exact: Option<Arc<DeviceBuffer>>,
}

impl DeviceRows {
    /// A number that the host knows.
    pub fn known(rows: u64) -> Self {
        DeviceRows {
            max: rows,
            exact: None,
        }
    }

    /// A number that a kernel writes to the first word of `exact`, at most `max`.
    pub fn pending(max: u64, exact: Arc<DeviceBuffer>) -> Self {
        DeviceRows {
            max,
            exact: Some(exact),
        }
    }

    /// The upper bound.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The exact number, if the host knows it.
    pub fn exact(&self) -> Option<u64> {
        self.exact.is_none().then_some(self.max)
    }

    /// The exact number. Waits for the stream if a kernel decides it.
    ///
    /// # Errors
    /// What failed on the stream.
    pub fn resolve(&self, launch: &Launch) -> Result<u64> {
        let Some(exact) = &self.exact else {
            return Ok(self.max);
        };
        let mut bytes = [0u8; 8];
        launch.device().read(launch.stream(), exact, &mut bytes)?;
        Ok(self.said(&bytes))
    }

    /// Where the exact number is, for a copy of several words at one time; none if the host knows it.
    pub(crate) fn word(&self) -> Option<PackedRange> {
        let exact = self.exact.as_ref()?;
        Some(PackedRange {
            buffer: Arc::clone(exact),
            start: 0,
            bytes: size_of::<u64>() as u64,
            at: 0,
        })
    }

    /// The exact number, by the bytes of its word if there is one.
    pub(crate) fn said(&self, word: &[u8]) -> u64 {
        let word = word.try_into().map(u64::from_ne_bytes);
        word.map_or(self.max, |rows| rows.min(self.max))
    }

    /// The pointer for a launch struct: null if the host knows the number.
    pub(super) fn pointer(&self, launch: &Launch) -> Result<*const u64> {
        let Some(exact) = &self.exact else {
            return Ok(std::ptr::null());
        };
        exact.order_read(launch.stream())?;
        Ok(address_of::<u64>(exact))
    }
}

#[derive(Debug, Clone)]
enum Values {
    Buffer(Arc<DeviceBuffer>),
    Scalar(Option<u128>),
}

/// A column in device memory: an array, or a scalar that stands for every row. Cloning shares.
#[derive(Debug, Clone)]
pub struct DeviceColumn {
    physical: PhysicalType,
    values: Values,
    validity: Option<Arc<DeviceBuffer>>,
    offset: u64,
    rows: u64,
    /// What views point into.
    kept: Arc<[Arc<DeviceBuffer>]>,
}

impl DeviceColumn {
    /// An array of `rows` rows, which starts `offset` rows into its buffers. `validity` is a bitmap
    /// (LSB first) where it is given; else no row is null.
    ///
    /// # Errors
    /// `InvalidInput` if a buffer is too small for the rows.
    pub fn array(
        physical: PhysicalType,
        values: Arc<DeviceBuffer>,
        validity: Option<Arc<DeviceBuffer>>,
        offset: u64,
        rows: u64,
    ) -> Result<Self> {
        let end = offset
            .checked_add(rows)
            .filter(|end| end.checked_mul(16).is_some());
        let Some(end) = end else {
            let cause = format!("{rows} rows behind {offset} have no size in bytes");
            return Err(Error::invalid("device column", cause, "pass fewer rows"));
        };
        let needed = physical.bytes(end);
        let bitmap = PhysicalType::Boolean.bytes(end);
        let short = values.bytes() < needed
            || validity
                .as_ref()
                .is_some_and(|validity| validity.bytes() < bitmap);
        if short {
            return Err(Error::invalid(
                "device column",
                format!(
                    "{needed} bytes of values or {bitmap} of validity are needed, and not given"
                ),
                "pass larger buffers, or fewer rows",
            ));
        }
        Ok(DeviceColumn {
            physical,
            values: Values::Buffer(values),
            validity,
            offset,
            rows,
            kept: Arc::default(),
        })
    }

    /// A scalar that stands for `rows` rows: its bits, or a null.
    pub fn scalar(physical: PhysicalType, bits: Option<u128>, rows: u64) -> Self {
        DeviceColumn {
            physical,
            values: Values::Scalar(bits),
            validity: None,
            offset: 0,
            rows,
            kept: Arc::default(),
        }
    }

    /// The column, holding on to the buffers that its views point into.
    #[must_use]
    pub fn keeping(mut self, kept: Arc<[Arc<DeviceBuffer>]>) -> Self {
        self.kept = kept;
        self
    }

    /// The buffers that views of this column point into; none for other columns.
    pub fn kept(&self) -> &Arc<[Arc<DeviceBuffer>]> {
        &self.kept
    }

    /// The layout of the values.
    pub fn physical(&self) -> PhysicalType {
        self.physical
    }

    /// Rows that it can be read for.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows skipped at the start of the buffers.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// True if a row may be null.
    pub fn nullable(&self) -> bool {
        self.validity.is_some() || matches!(self.values, Values::Scalar(None))
    }

    /// The buffer of the values; none for a scalar.
    pub fn values(&self) -> Option<&Arc<DeviceBuffer>> {
        match &self.values {
            Values::Buffer(buffer) => Some(buffer),
            Values::Scalar(_) => None,
        }
    }

    /// The validity bitmap, if there is one.
    pub fn validity(&self) -> Option<&Arc<DeviceBuffer>> {
        self.validity.as_ref()
    }

    /// Bytes of device memory that the column holds on to.
    pub fn bytes(&self) -> u64 {
        self.values().map_or(0, |buffer| buffer.bytes())
            + self.validity.as_ref().map_or(0, |buffer| buffer.bytes())
            + self.kept.iter().map(|buffer| buffer.bytes()).sum::<u64>()
    }

    /// The bits of a scalar; none for a null, and for an array.
    pub fn scalar_bits(&self) -> Option<u128> {
        match self.values {
            Values::Scalar(bits) => bits,
            Values::Buffer(_) => None,
        }
    }

    /// The column without its bitmap, where the caller knows that no row is null.
    #[must_use]
    pub fn without_validity_if(mut self, never_null: bool) -> Self {
        if never_null {
            self.validity = None;
        }
        self
    }

    /// The view for a launch struct; what follows on the stream may read the column.
    pub(super) fn view(&self, launch: &Launch) -> Result<ColumnView> {
        let own = self.values().into_iter().chain(&self.validity);
        let mut buffers = own.chain(self.kept.iter());
        if buffers.any(|buffer| !Arc::ptr_eq(buffer.device(), launch.device())) {
            let cause = "a buffer of the column belongs to another device than the launch";
            let remedy = "open one device, and copy columns to it";
            return Err(Error::invalid("device column", cause, remedy));
        }
        let mut view = ColumnView {
            values: std::ptr::null(),
            validity: std::ptr::null(),
            offset: self.offset,
            scalar_low: 0,
            scalar_high: 0,
            type_: self.physical as u32,
            kind: abi::COLUMN_ARRAY,
        };
        match &self.values {
            Values::Buffer(buffer) => {
                buffer.order_read(launch.stream())?;
                view.values = address_of::<std::ffi::c_void>(buffer);
            }
            Values::Scalar(Some(bits)) => {
                view.kind = abi::COLUMN_SCALAR;
                (view.scalar_low, view.scalar_high) = super::halves(bits.cast_signed());
            }
            Values::Scalar(None) => view.kind = abi::COLUMN_SCALAR_NULL,
        }
        for buffer in self.kept.iter() {
            buffer.order_read(launch.stream())?;
        }
        if let Some(validity) = &self.validity {
            validity.order_read(launch.stream())?;
            view.validity = address_of::<u8>(validity);
        }
        Ok(view)
    }
}

/// Refuses columns that are shorter than the rows that a launch reads of them.
pub(super) fn check_rows(place: &str, columns: &[&DeviceColumn], rows: u64) -> Result<()> {
    let Some(short) = columns.iter().find(|column| column.rows() < rows) else {
        return Ok(());
    };
    let cause = format!("a column has {} rows, {rows} are read", short.rows());
    Err(Error::invalid(place, cause, "pass columns of equal length"))
}

/// Refuses a column of another type than a launch takes there.
pub(super) fn check_type(place: &str, column: &DeviceColumn, physical: PhysicalType) -> Result<()> {
    if column.physical() == physical {
        return Ok(());
    }
    let cause = format!(
        "a column of {:?} stands where {physical:?} is taken",
        column.physical()
    );
    Err(Error::invalid(place, cause, "pass a column of that type"))
}

/// A column that a launcher is about to write.
#[derive(Debug)]
pub struct OutputColumn {
    physical: PhysicalType,
    values: DeviceBuffer,
    validity: Option<DeviceBuffer>,
    rows: u64,
}

impl OutputColumn {
    /// Room for `rows` rows, and for their validity if `nullable`.
    ///
    /// # Errors
    /// No memory is left.
    pub fn new(
        launch: &Launch,
        physical: PhysicalType,
        rows: u64,
        nullable: bool,
    ) -> Result<OutputColumn> {
        let bitmap = PhysicalType::Boolean.bytes(rows);
        let values = launch.alloc(physical.bytes(rows))?;
        let validity = nullable.then(|| launch.alloc(bitmap)).transpose()?;
        Ok(OutputColumn {
            physical,
            values,
            validity,
            rows,
        })
    }

    /// The same with its bitmaps zeroed, for kernels that set bits one by one.
    ///
    /// # Errors
    /// No memory is left.
    pub fn zeroed_bitmaps(
        launch: &Launch,
        physical: PhysicalType,
        rows: u64,
        nullable: bool,
    ) -> Result<OutputColumn> {
        let column = OutputColumn::new(launch, physical, rows, nullable)?;
        let driver = launch.device().driver();
        if physical == PhysicalType::Boolean {
            let values = &column.values;
            driver.fill(launch.stream(), values.address(), 0, values.bytes())?;
        }
        if let Some(validity) = &column.validity {
            driver.fill(launch.stream(), validity.address(), 0, validity.bytes())?;
        }
        Ok(column)
    }

    /// The entry for a launch struct.
    pub(super) fn out(&self) -> ColumnOut {
        ColumnOut {
            values: address_of::<std::ffi::c_void>(&self.values),
            validity: self
                .validity
                .as_ref()
                .map_or(std::ptr::null_mut(), address_of::<u8>),
            type_: self.physical as u32,
            reserved: 0,
        }
    }

    /// The column, once the kernel that writes it is queued.
    pub fn into_column(self) -> DeviceColumn {
        DeviceColumn {
            physical: self.physical,
            values: Values::Buffer(Arc::new(self.values)),
            validity: self.validity.map(Arc::new),
            offset: 0,
            rows: self.rows,
            kept: Arc::default(),
        }
    }
}
