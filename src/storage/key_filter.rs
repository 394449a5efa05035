//! Filters of a scan by keys that become known while a query runs: those of a join's build side.
//!
//! [`KeyBits`] is a split block Bloom filter of values, over xxHash64 as Parquet's are. A [`KeySet`] is
//! what is known of the keys: such bits, and, where the keys are few, the keys themselves, by which row
//! groups are pruned (`prune/keys`). A [`KeyFilter`] asks it of a column of a scan: rows whose value is
//! certainly not among the keys, nulls among them, need not come out. The first batches of the scan tell
//! whether that pays.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, LargeStringArray, RecordBatch,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{and, cast, filter_record_batch};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use parquet::bloom_filter::Sbbf;

use super::interval::{Point, Sample, sample};
use crate::error::{Error, Result};
use crate::memory::Reservation;
use crate::metrics::{Metrics, names};
use crate::types::{PhysicalType, decimal_parts, is_string};

/// Bits of a filter for each key: one in a hundred other values passes.
const BITS_PER_KEY: u64 = 10;

/// Bytes of a filter's block.
const BLOCK_BYTES: u64 = 32;

/// Most keys that are kept one by one.
pub const FEW_KEYS_MAX: usize = 1000;

/// A filter pays if at most so many percent of the sampled rows pass it: else rows are asked for, and
/// brought together, for little.
const PASSING_PERCENT_MAX: u64 = 80;

/// What of a value is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The number in 4 bytes.
    Narrow,
    /// The number in 8 bytes.
    Wide,
    /// The bytes of a string.
    Text,
}

impl Form {
    /// `None` for types whose equal values have several forms, or one that backends do not share.
    fn of(data_type: &DataType) -> Option<Form> {
        if is_string(data_type) {
            return Some(Form::Text);
        }
        let known = data_type.is_integer()
            || matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _))
            || decimal_parts(data_type).is_some();
        match PhysicalType::of(data_type).filter(|_| known)?.bits() {
            8 | 16 | 32 => Some(Form::Narrow),
            64 => Some(Form::Wide),
            _ => None,
        }
    }
}

/// A column's values, and how they are hashed.
enum Hashed {
    Numbers(Int64Array, Form),
    Text(LargeStringArray),
}

impl Hashed {
    fn of(column: &ArrayRef) -> Result<Hashed> {
        let failed = |cause: ArrowError| Error::invalid("key filter", cause.to_string(), "");
        let data_type = column.data_type();
        let unknown = || Error::invalid("key filter", format!("keys are {data_type}"), "");
        let form = Form::of(data_type).ok_or_else(unknown)?;
        if form == Form::Text {
            let text = cast(column, &DataType::LargeUtf8).map_err(failed)?;
            return Ok(Hashed::Text(text.as_string::<i64>().clone()));
        }
        let words = match decimal_parts(data_type) {
            Some((precision, scale)) => {
                let wide = cast(column, &DataType::Decimal128(precision, scale)).map_err(failed)?;
                // Of so few digits they fit.
                wide.as_primitive::<Decimal128Type>()
                    .unary(|number| number as i64)
            }
            None if *data_type == DataType::UInt64 => {
                column.as_primitive::<UInt64Type>().unary(u64::cast_signed)
            }
            None => {
                let wide = cast(column, &DataType::Int64).map_err(failed)?;
                wide.as_primitive::<Int64Type>().clone()
            }
        };
        Ok(Hashed::Numbers(words, form))
    }

    /// Shows what is hashed of each row; none for a null.
    fn for_each(&self, mut show: impl FnMut(Option<&[u8]>)) {
        match self {
            Hashed::Numbers(numbers, Form::Narrow) => {
                let bytes = |number: i64| (number as u32).to_le_bytes();
                for number in numbers {
                    show(number.map(bytes).as_ref().map(<[u8; 4]>::as_slice));
                }
            }
            Hashed::Numbers(numbers, _) => {
                for number in numbers {
                    let bytes = number.map(i64::to_le_bytes);
                    show(bytes.as_ref().map(<[u8; 8]>::as_slice));
                }
            }
            Hashed::Text(strings) => strings
                .iter()
                .for_each(|string| show(string.map(str::as_bytes))),
        }
    }
}

/// Blocks of a Bloom filter that a backend has.
pub trait BackendBlocks: std::fmt::Debug + Send + Sync {
    /// The blocks, as a file would have them. May wait for the backend.
    ///
    /// # Errors
    /// What failed there.
    fn blocks(&self) -> Result<Vec<u8>>;

    /// Itself, for the backend to know again.
    fn as_any(&self) -> &dyn Any;
}

/// A Bloom filter of values of one type: on the host, or where a backend made it, until the host asks.
pub struct KeyBits {
    form: Form,
    bytes: u64,
    /// Not set: a backend has it, or nothing is in it.
    filter: OnceLock<Sbbf>,
    backends: Option<Arc<dyn BackendBlocks>>,
    _held: Option<Reservation>,
}

impl std::fmt::Debug for KeyBits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyBits of {} bytes, {:?}", self.bytes(), self.form)
    }
}

impl KeyBits {
    /// Bytes that so many keys take.
    pub fn bytes_for(keys: u64) -> u64 {
        let bits = keys.saturating_mul(BITS_PER_KEY);
        bits.div_ceil(BLOCK_BYTES * 8).max(1) * BLOCK_BYTES
    }

    /// Whether values of the type can be put in.
    pub fn takes(data_type: &DataType) -> bool {
        Form::of(data_type).is_some()
    }

    /// A filter with nothing in it; none for a type that it does not take. `held` is for its bytes.
    pub fn empty(data_type: &DataType, bytes: u64, held: Option<Reservation>) -> Option<KeyBits> {
        Some(KeyBits {
            form: Form::of(data_type)?,
            bytes: bytes.max(BLOCK_BYTES).next_multiple_of(BLOCK_BYTES),
            filter: OnceLock::new(),
            backends: None,
            _held: held,
        })
    }

    /// Puts in the values of a column that are not null.
    ///
    /// # Errors
    /// `InvalidInput` for a column of a type that it does not take.
    pub fn insert(&mut self, column: &ArrayRef) -> Result<()> {
        self.on_host()?;
        self.backends = None; // it will lack what comes now
        let mut filter = self.filter.get_mut();
        Hashed::of(column)?.for_each(|bytes| {
            if let (Some(bytes), Some(filter)) = (bytes, &mut filter) {
                filter.insert(bytes);
            }
        });
        Ok(())
    }

    /// The filter on the host; what a backend has is fetched.
    fn on_host(&self) -> Result<&Sbbf> {
        if let Some(filter) = self.filter.get() {
            return Ok(filter);
        }
        let blocks = match &self.backends {
            Some(backends) => backends.blocks()?,
            None => vec![0; usize::try_from(self.bytes).unwrap_or(usize::MAX)],
        };
        Ok(self.filter.get_or_init(|| Sbbf::new(&blocks)))
    }

    /// The filter with what a backend has in the place of its own.
    #[must_use]
    pub fn with_backends(self, blocks: Arc<dyn BackendBlocks>) -> KeyBits {
        KeyBits {
            filter: OnceLock::new(),
            backends: Some(blocks),
            ..self
        }
    }

    /// What a backend made, if one did.
    pub fn backends(&self) -> Option<&Arc<dyn BackendBlocks>> {
        self.backends.as_ref()
    }

    /// The blocks, as a file would have them.
    ///
    /// # Errors
    /// `InvalidInput` if the format cannot say them; what failed where a backend has them.
    pub fn blocks(&self) -> Result<Vec<u8>> {
        let filter = self.on_host()?;
        let mut blocks = Vec::with_capacity(filter.num_blocks() * BLOCK_BYTES as usize);
        let written = filter.write_bitset(&mut blocks);
        written.map_err(|cause| Error::invalid("key filter", cause.to_string(), ""))?;
        Ok(blocks)
    }

    /// Bytes of the blocks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether its values are strings.
    pub fn is_text(&self) -> bool {
        self.form == Form::Text
    }

    /// False if a string is certainly not in it.
    pub fn may_have_text(&self, text: &str) -> bool {
        let filter = self.on_host();
        filter.map_or(true, |filter| filter.check(text.as_bytes()))
    }

    /// Whether each value may be in it: false is certain. A null is not.
    ///
    /// # Errors
    /// As [`KeyBits::insert`].
    pub fn may_have(&self, column: &ArrayRef) -> Result<BooleanArray> {
        let filter = self.on_host()?;
        let mut found = Vec::with_capacity(column.len());
        Hashed::of(column)?
            .for_each(|bytes| found.push(bytes.is_some_and(|bytes| filter.check(bytes))));
        Ok(BooleanArray::new(BooleanBuffer::from(found), None))
    }
}

/// A set of keys, as far as it is known.
#[derive(Debug)]
pub struct KeySet {
    /// Its own among all of the process.
    number: u64,
    bits: Option<KeyBits>,
    /// The keys, sorted, each once.
    few: Option<Vec<Point>>,
    /// What a backend made of the bits.
    made: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

impl KeySet {
    /// With a Bloom filter of the keys, and, where they are few, the keys themselves: the values of this
    /// column.
    pub fn new(bits: Option<KeyBits>, keys: Option<&ArrayRef>) -> KeySet {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        KeySet {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            bits,
            few: keys.and_then(few),
            made: Mutex::default(),
        }
    }

    /// A number that no other set of the process has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Their Bloom filter.
    pub fn bits(&self) -> Option<&KeyBits> {
        self.bits.as_ref()
    }

    /// How many keys there are, if they are known one by one.
    pub fn count(&self) -> Option<usize> {
        self.few.as_ref().map(Vec::len)
    }

    pub(super) fn few(&self) -> Option<&[Point]> {
        self.few.as_deref()
    }

    /// What a backend makes of the bits, made once and kept as long as they are.
    ///
    /// # Errors
    /// What `make` fails with.
    pub fn made(
        &self,
        make: impl FnOnce() -> Result<Arc<dyn Any + Send + Sync>>,
    ) -> Result<Arc<dyn Any + Send + Sync>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*made {
            return Ok(Arc::clone(known));
        }
        Ok(Arc::clone(made.insert(make()?)))
    }
}

/// The values of a column that are not null, sorted, each once; none if they are many, or their type has
/// no order here.
fn few(column: &ArrayRef) -> Option<Vec<Point>> {
    let mut points = Vec::new();
    for row in 0..column.len() {
        match sample(column.as_ref(), row)? {
            Sample::Value(point) => points.push(point),
            Sample::Null => {}
            Sample::Nan => return None,
        }
    }
    // Values of one type have an order.
    points.sort_by(|a, b| a.order(b).unwrap_or(std::cmp::Ordering::Equal));
    points.dedup();
    (points.len() <= FEW_KEYS_MAX).then_some(points)
}

/// How a batch's rows are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// As a part of the sample: how many pass is to be noted.
    Sampled,
    /// Without more.
    Plain,
}

/// A filter of one scan by keys, shared by all who read its partitions.
#[derive(Debug)]
pub struct KeyFilter {
    column: usize,
    keys: Arc<KeySet>,
    sample_batches: u64,
    begun: AtomicU64,
    asked: AtomicU64,
    passed: AtomicU64,
}

impl KeyFilter {
    /// The rows of a scan whose value in a column of the dataset is one of these. The first
    /// `sample_batches` batches tell whether the Bloom filter pays; 0: it is taken for granted.
    pub fn new(column: usize, keys: Arc<KeySet>, sample_batches: u64) -> KeyFilter {
        KeyFilter {
            column,
            keys,
            sample_batches,
            begun: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            passed: AtomicU64::new(0),
        }
    }

    /// The column of the dataset.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The keys.
    pub fn keys(&self) -> &Arc<KeySet> {
        &self.keys
    }

    /// Begins a batch; none if its rows are not to be asked for.
    pub fn begin(&self) -> Option<Asking> {
        self.keys.bits()?;
        // Workers begin together: the first batches alone are the sample, whoever reads them.
        if self.begun.fetch_add(1, Ordering::Relaxed) < self.sample_batches {
            return Some(Asking::Sampled);
        }
        self.pays().then_some(Asking::Plain)
    }

    /// Takes down of a batch of the sample how many of its rows passed.
    pub fn note(&self, asked: u64, passed: u64) {
        // Read at any time by whoever begins a batch: nothing depends on their order.
        self.asked.fetch_add(asked, Ordering::Relaxed);
        self.passed.fetch_add(passed, Ordering::Relaxed);
    }

    /// Rows of the sample so far, and those of them that passed.
    pub fn sampled(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.asked), load(&self.passed))
    }

    /// False if it has no Bloom filter, or the sample says that this lets too many rows pass.
    pub fn pays(&self) -> bool {
        let (asked, passed) = self.sampled();
        let few_pass =
            u128::from(passed) * 100 <= u128::from(asked) * u128::from(PASSING_PERCENT_MAX);
        few_pass && self.keys.bits().is_some()
    }
}

/// The rows of a batch, read with these columns of the dataset, that may pass the filters.
pub(super) fn filtered(
    filters: &[Arc<KeyFilter>],
    projection: &[usize],
    batch: RecordBatch,
    metrics: &Metrics,
) -> Result<RecordBatch> {
    let failed = |cause: ArrowError| Error::invalid("scan", cause.to_string(), "");
    let mut kept: Option<BooleanArray> = None;
    for filter in filters {
        let place = projection.iter().position(|&read| read == filter.column);
        let (Some(place), Some(bits)) = (place, filter.keys.bits()) else {
            continue;
        };
        let Some(asking) = filter.begin() else {
            continue;
        };
        let found = bits.may_have(batch.column(place))?;
        if asking == Asking::Sampled {
            filter.note(batch.num_rows() as u64, found.true_count() as u64);
        }
        kept = Some(match kept {
            None => found,
            Some(kept) => and(&kept, &found).map_err(failed)?,
        });
    }
    let Some(kept) = kept else {
        return Ok(batch);
    };
    let dropped = batch.num_rows() - kept.true_count();
    metrics.add(names::KEY_FILTER_ROWS_DROPPED, dropped as u64);
    match dropped {
        0 => Ok(batch),
        _ => filter_record_batch(&batch, &kept).map_err(failed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use arrow::array::{
        Date32Array, Decimal64Array, Decimal128Array, Float64Array, Int8Array, Int32Array,
        StringArray, StringViewArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
    };

    use super::*;

    /// Blocks that somebody else has.
    #[derive(Debug)]
    struct Blocks(Vec<u8>);

    impl BackendBlocks for Blocks {
        fn blocks(&self) -> Result<Vec<u8>> {
            Ok(self.0.clone())
        }

        fn as_any(&self) -> &dyn Any {
            self
        }
    }

    fn bits_of(keys: &ArrayRef) -> KeyBits {
        let bytes = KeyBits::bytes_for(keys.len() as u64);
        let mut bits = KeyBits::empty(keys.data_type(), bytes, None).unwrap();
        bits.insert(keys).unwrap();
        bits
    }

    #[test]
    fn values_that_were_put_in_are_found_and_nulls_are_not() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int8Array::from(vec![Some(-1), None, Some(i8::MIN)])),
            Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(-1)])),
            Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0)])),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
            Arc::new(Date32Array::from(vec![Some(-3), None, Some(3)])),
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(-3),
                None,
                Some(1 << 50),
            ])),
            Arc::new(StringArray::from(vec![Some(""), None, Some("größer")])),
            Arc::new(
                Decimal128Array::from(vec![Some(-7), None, Some(999_999_999_999_999_999)])
                    .with_precision_and_scale(18, 2)
                    .unwrap(),
            ),
        ];
        for column in columns {
            let bits = bits_of(&column);
            let found = bits.may_have(&column).unwrap();
            assert_eq!(
                found,
                BooleanArray::from(vec![true, false, true]),
                "{bits:?}"
            );
            assert_eq!(found.null_count(), 0);
            let again = KeyBits::empty(column.data_type(), bits.bytes(), None).unwrap();
            assert_eq!(again.may_have(&column).unwrap().true_count(), 0);
            let again = again.with_backends(Arc::new(Blocks(bits.blocks().unwrap())));
            assert_eq!(again.may_have(&column).unwrap(), found);
        }
    }

    #[test]
    fn a_value_is_hashed_alike_in_whatever_array_it_is() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "a string that is no prefix"]));
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![
            "a",
            "a string that is no prefix",
        ]));
        assert_eq!(bits_of(&text).may_have(&views).unwrap().true_count(), 2);
        let narrow = Decimal64Array::from(vec![1, -500]).with_precision_and_scale(9, 1);
        let wide = Decimal128Array::from(vec![1, -500]).with_precision_and_scale(9, 1);
        let (narrow, wide): (ArrayRef, ArrayRef) =
            (Arc::new(narrow.unwrap()), Arc::new(wide.unwrap()));
        assert_eq!(bits_of(&narrow).may_have(&wide).unwrap().true_count(), 2);
    }

    #[test]
    fn few_other_values_pass() {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let others: ArrayRef = Arc::new(Int64Array::from_iter_values(10_000..110_000));
        let passed = bits_of(&keys).may_have(&others).unwrap().true_count();
        assert!(passed < 2000, "{passed} of 100000");
    }

    #[test]
    fn keys_whose_equal_values_differ_in_bits_are_refused() {
        let decimal = DataType::Decimal128(19, 2);
        for data_type in [
            DataType::Float64,
            DataType::Boolean,
            DataType::Binary,
            decimal,
        ] {
            assert!(!KeyBits::takes(&data_type) && KeyBits::empty(&data_type, 32, None).is_none());
        }
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
        let longs: ArrayRef = Arc::new(Int64Array::from(vec![0]));
        assert!(bits_of(&longs).may_have(&floats).is_err());
    }

    #[test]
    fn the_first_batches_tell_whether_it_pays() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![3, 1, 3, 2]));
        let set = Arc::new(KeySet::new(Some(bits_of(&keys)), Some(&keys)));
        assert_eq!(set.count(), Some(3));
        let filter = KeyFilter::new(0, Arc::clone(&set), 2);
        assert_eq!([filter.begin(), filter.begin()], [Some(Asking::Sampled); 2]);
        assert_eq!(filter.begin(), Some(Asking::Plain)); // nobody knows yet
        filter.note(100, 81);
        assert_eq!(filter.begin(), None);
        filter.note(100, 79);
        assert_eq!(filter.begin(), Some(Asking::Plain));
        let granted = KeyFilter::new(0, set, 0);
        assert_eq!(granted.begin(), Some(Asking::Plain));
        let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..=1000));
        let many = Arc::new(KeySet::new(None, Some(&many)));
        assert_eq!(
            (many.count(), KeyFilter::new(0, many, 2).begin()),
            (None, None)
        );
    }
}
