//! `window` on host batches; the contract is [`WindowSpec`].
//!
//! All rows are put behind one another and sorted by row numbers; what follows counts in places of
//! that order. Each row knows the places of its partition, its peers and its frame. Values are taken
//! by place. Aggregates walk over the frames: what one frame shares with the one before is not added
//! again where it only grew, and is where it moved.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::compute::{concat, take};
use arrow::error::ArrowError;
use arrow::row::Rows;

use super::accumulate::{Accumulator, plain, plain_type, row_converter};
use super::host_batch;
use super::scalar::order;
use super::sort::{key_converter, whole};
use super::values::{Numbers, numbers};
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, literal_array};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::operators::{
    Context, Fold, FoldState, Frame, SortKey, WindowCall, WindowFunction, WindowSpec, own_state,
    state_of, too_many_window_rows,
};
use crate::types::{DataType, Field, Literal};

pub(super) struct Window {
    spec: WindowSpec,
}

/// The batches so far, in their order.
struct Held(Vec<RecordBatch>);

/// The rows of a partition and of the peers of one of its rows, as places in the sorted order.
#[derive(Debug, Clone)]
struct Around {
    partition: Range<usize>,
    peers: Range<usize>,
    /// Groups of peers before the row's own.
    peers_before: usize,
}

/// All rows, and the order in which they stand.
struct Sorted {
    batch: RecordBatch,
    /// The row of the batch at each place.
    rows: Vec<u32>,
    around: Vec<Around>,
}

impl Window {
    /// # Errors
    /// As the contract says, when made.
    pub(super) fn new(spec: &WindowSpec) -> Result<Window> {
        spec.check("cpu")?;
        let window = Window { spec: spec.clone() };
        for call in &spec.functions {
            if let WindowFunction::Aggregate { function, operand } = &call.function {
                Accumulator::new(*function, window.input_type(*operand), false)?;
            }
        }
        window.keys(&RecordBatch::new_empty(Arc::clone(&spec.input)))?;
        Ok(window)
    }

    fn input_type(&self, operand: Option<usize>) -> Option<&DataType> {
        operand.map(|index| self.spec.input.field(index).data_type())
    }

    /// Row bytes of the partition keys, and of the order keys; none without keys.
    fn keys(&self, batch: &RecordBatch) -> Result<(Option<Rows>, Option<Rows>)> {
        let partition: Vec<SortKey> = self
            .spec
            .partition_by
            .iter()
            .map(|&column| SortKey::ascending(column))
            .collect();
        Ok((
            row_bytes(&partition, batch)?,
            row_bytes(&self.spec.order_by, batch)?,
        ))
    }

    fn sorted(&self, batches: &[RecordBatch]) -> Result<Sorted> {
        let batch = whole(&self.spec.input, batches, "window")?;
        if batch.num_rows() as u64 > ROWS_PER_BATCH_MAX {
            return Err(too_many_window_rows(batch.num_rows() as u64));
        }
        let (partition, order) = self.keys(&batch)?;
        let compare = |keys: &Option<Rows>, a: u32, b: u32| match keys {
            Some(keys) => keys.row(a as usize).cmp(&keys.row(b as usize)),
            None => Ordering::Equal,
        };
        let mut rows: Vec<u32> = (0..batch.num_rows() as u32).collect();
        rows.sort_by(|&a, &b| {
            compare(&partition, a, b).then_with(|| compare(&order, a, b)) // stable
        });
        let mut around = Vec::with_capacity(rows.len());
        let mut start = 0;
        for partition in rows.chunk_by(|&a, &b| compare(&partition, a, b).is_eq()) {
            let places = start..start + partition.len();
            let groups = partition.chunk_by(|&a, &b| compare(&order, a, b).is_eq());
            for (peers_before, group) in groups.enumerate() {
                let one = Around {
                    partition: places.clone(),
                    peers: start..start + group.len(),
                    peers_before,
                };
                around.extend(std::iter::repeat_n(one, group.len()));
                start += group.len();
            }
        }
        Ok(Sorted {
            batch,
            rows,
            around,
        })
    }

    fn column(&self, sorted: &Sorted, call: &WindowCall, field: &Field) -> Result<ArrayRef> {
        let frames = || frames(sorted, call.frame);
        let rank = |rank: &dyn Fn(usize, &Around) -> usize| {
            let ranks = sorted.around.iter().enumerate();
            let ranks = ranks.map(|(place, around)| 1 + rank(place, around) as i64);
            Arc::new(Int64Array::from_iter_values(ranks)) as ArrayRef
        };
        let share = |share: &dyn Fn(&Around) -> f64| {
            Arc::new(Float64Array::from_iter_values(
                sorted.around.iter().map(share),
            )) as ArrayRef
        };
        Ok(match &call.function {
            WindowFunction::RowNumber => rank(&|place, around| place - around.partition.start),
            WindowFunction::Rank => rank(&|_, around| around.peers.start - around.partition.start),
            WindowFunction::DenseRank => rank(&|_, around| around.peers_before),
            WindowFunction::Ntile(buckets) => {
                rank(&|place, around| bucket(place, around, *buckets))
            }
            WindowFunction::PercentRank => share(&|around| {
                let before = around.peers.start - around.partition.start;
                match around.partition.len() {
                    1 => 0.0,
                    rows => before as f64 / (rows - 1) as f64,
                }
            }),
            WindowFunction::CumeDist => share(&|around| {
                let upto = around.peers.end - around.partition.start;
                upto as f64 / around.partition.len() as f64
            }),
            WindowFunction::Lag {
                operand,
                offset,
                default,
            } => {
                let from = |place: usize| place.checked_sub(usize::try_from(*offset).ok()?);
                sorted.neighbours(*operand, default, from)?
            }
            WindowFunction::Lead {
                operand,
                offset,
                default,
            } => {
                let from = |place: usize| place.checked_add(usize::try_from(*offset).ok()?);
                sorted.neighbours(*operand, default, from)?
            }
            WindowFunction::FirstValue(column) => {
                sorted.values(*column, frames().iter().map(|frame| frame.clone().next()))?
            }
            WindowFunction::LastValue(column) => {
                let places = frames().into_iter().map(|mut frame| frame.next_back());
                sorted.values(*column, places)?
            }
            WindowFunction::NthValue { operand: column, n } => {
                let nth = usize::try_from(*n - 1).unwrap_or(usize::MAX);
                let places = frames().into_iter().map(|mut frame| frame.nth(nth));
                sorted.values(*column, places)?
            }
            WindowFunction::Aggregate { function, operand } => {
                // Where a frame ends with its partition, the next one lies within it.
                let shrinking = matches!(
                    call.frame,
                    Frame::Rows {
                        start: Some(_),
                        end: None
                    }
                );
                let input = self.input_type(*operand);
                let accumulator =
                    accumulate(sorted, (*function, *operand), input, &frames(), shrinking)?;
                accumulator.finish(*function, input, field.data_type(), self.spec.semantics)?
            }
        })
    }
}

fn refused(cause: &ArrowError) -> Error {
    Error::unsupported("cpu", "window", cause.to_string())
}

fn row_bytes(keys: &[SortKey], batch: &RecordBatch) -> Result<Option<Rows>> {
    if keys.is_empty() {
        return Ok(None);
    }
    let converter = key_converter(keys, &batch.schema(), "window")?;
    let columns = keys.iter().map(|key| plain(batch.column(key.column)));
    let rows = converter.convert_columns(&columns.collect::<Result<Vec<_>>>()?);
    rows.map(Some).map_err(|cause| refused(&cause))
}

/// The bucket, from 0, of a row: of `rows` in a partition, the first `rows % buckets` buckets have
/// one more than the others.
fn bucket(place: usize, around: &Around, buckets: u64) -> usize {
    let buckets = usize::try_from(buckets).unwrap_or(usize::MAX);
    let (rows, row) = (around.partition.len(), place - around.partition.start);
    let (size, greater) = (rows / buckets, rows % buckets);
    if row < greater * (size + 1) {
        row / (size + 1)
    } else {
        greater + (row - greater * (size + 1)) / size
    }
}

/// The frame of each row, as places; an empty one anywhere in the partition.
fn frames(sorted: &Sorted, frame: Frame) -> Vec<Range<usize>> {
    let of = |(place, around): (usize, &Around)| match frame {
        Frame::Partition => around.partition.clone(),
        Frame::RangeToCurrent => around.partition.start..around.peers.end,
        Frame::Rows { start, end } => {
            let (first, last) = (around.partition.start as i64, around.partition.end as i64);
            let at = |offset: i64| (place as i64).saturating_add(offset);
            let start = start.map_or(first, |start| at(start).clamp(first, last));
            let end = end.map_or(last, |end| at(end).saturating_add(1).clamp(first, last));
            start as usize..end.max(start) as usize
        }
    };
    sorted.around.iter().enumerate().map(of).collect()
}

impl Sorted {
    /// A column of the input, in the sorted order.
    fn sorted_column(&self, index: usize) -> Result<ArrayRef> {
        let rows = UInt32Array::from(self.rows.clone());
        take(self.batch.column(index), &rows, None).map_err(|cause| refused(&cause))
    }

    /// The values at these places; null where there is none.
    fn values(
        &self,
        column: usize,
        places: impl Iterator<Item = Option<usize>>,
    ) -> Result<ArrayRef> {
        let rows: UInt32Array = places
            .map(|place| place.map(|place| self.rows[place]))
            .collect();
        take(self.batch.column(column), &rows, None).map_err(|cause| refused(&cause))
    }

    /// The values of other rows of the partition; the default where there is no such row.
    fn neighbours(
        &self,
        column: usize,
        default: &Literal,
        from: impl Fn(usize) -> Option<usize>,
    ) -> Result<ArrayRef> {
        let column = self.batch.column(column);
        let default_row = column.len() as u32; // the default stands behind the column
        let default = literal_array(default, column.data_type())?;
        let extended = concat(&[column, &default]).map_err(|cause| refused(&cause))?;
        let rows = self.around.iter().enumerate().map(|(place, around)| {
            from(place)
                .filter(|from| around.partition.contains(from))
                .map_or(default_row, |from| self.rows[from])
        });
        let rows = UInt32Array::from_iter_values(rows);
        take(&extended, &rows, None).map_err(|cause| refused(&cause))
    }
}

/// What each frame comes to: `add` lets a state take the value at a place.
fn over_frames<S: Clone>(
    frames: &[Range<usize>],
    shrinking: bool,
    start: &S,
    mut add: impl FnMut(&mut S, usize),
) -> Vec<S> {
    let (mut state, mut covered) = (start.clone(), 0..0);
    let mut states = Vec::with_capacity(frames.len());
    if shrinking {
        // From the last row on, frames grow at their start.
        for frame in frames.iter().rev() {
            if frame.end != covered.end || frame.start > covered.start {
                (state, covered) = (start.clone(), frame.end..frame.end);
            }
            (frame.start..covered.start)
                .rev()
                .for_each(|place| add(&mut state, place));
            covered = frame.clone();
            states.push(state.clone());
        }
        states.reverse();
        return states;
    }
    for frame in frames {
        if frame.start != covered.start || frame.end < covered.end {
            (state, covered) = (start.clone(), frame.start..frame.start);
        }
        (covered.end..frame.end).for_each(|place| add(&mut state, place));
        covered = frame.clone();
        states.push(state.clone());
    }
    states
}

/// The accumulator of an aggregate, with a group for each row: its frame.
fn accumulate(
    sorted: &Sorted,
    (function, operand): (AggregateFunction, Option<usize>),
    input: Option<&DataType>,
    frames: &[Range<usize>],
    shrinking: bool,
) -> Result<Accumulator> {
    let accumulator = Accumulator::new(function, input, false)?;
    let Some(index) = operand else {
        let rows = frames.iter().map(|frame| frame.len() as i64);
        return Ok(Accumulator::Count(rows.collect()));
    };
    let column = sorted.sorted_column(index)?;
    let nulls = column.logical_nulls();
    let valid = |place: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(place));
    let column = plain(&column)?;
    let values = numbers(&column);
    Ok(match (accumulator, values) {
        (Accumulator::Count(_), _) => {
            Accumulator::Count(over_frames(frames, shrinking, &0, |count, place| {
                *count += i64::from(valid(place));
            }))
        }
        (Accumulator::IntegerSum { .. }, Some(Numbers::Integers(values))) => {
            let sums = over_frames(frames, shrinking, &(0i128, 0i64), |state, place| {
                if valid(place) {
                    *state = (state.0.wrapping_add(values[place]), state.1 + 1);
                }
            });
            let (sums, counts) = sums.into_iter().unzip();
            Accumulator::IntegerSum { sums, counts }
        }
        (Accumulator::FloatSum { .. }, Some(Numbers::Floats(values))) => {
            let sums = over_frames(frames, shrinking, &(0f64, 0i64), |state, place| {
                if valid(place) {
                    *state = (state.0 + values[place], state.1 + 1);
                }
            });
            let (sums, counts) = sums.into_iter().unzip();
            Accumulator::FloatSum { sums, counts }
        }
        (Accumulator::IntegerExtreme { wanted, .. }, Some(Numbers::Integers(values))) => {
            let best = best(
                frames,
                shrinking,
                valid,
                wanted,
                |place| values[place],
                Ord::cmp,
            );
            Accumulator::IntegerExtreme { wanted, best }
        }
        (Accumulator::FloatExtreme { wanted, .. }, Some(Numbers::Floats(values))) => {
            let compare = |a: &f64, b: &f64| order::compare(*a, *b);
            let best = best(
                frames,
                shrinking,
                valid,
                wanted,
                |place| values[place],
                compare,
            );
            Accumulator::FloatExtreme { wanted, best }
        }
        (Accumulator::RowExtreme { wanted, .. }, _) => {
            let converter = row_converter(&plain_type(column.data_type()))?;
            let rows = converter.convert_columns(std::slice::from_ref(&column));
            let rows = rows.map_err(|cause| refused(&cause))?;
            let compare = |a: &usize, b: &usize| rows.row(*a).cmp(&rows.row(*b));
            let places = best(frames, shrinking, valid, wanted, |place| place, compare);
            let best = places.into_iter();
            let best = best.map(|place| place.map(|place| rows.row(place).data().into()));
            Accumulator::RowExtreme {
                wanted,
                best: best.collect(),
                converter,
            }
        }
        (_, _) => {
            let cause = format!("undefined for {}", column.data_type());
            return Err(Error::invalid("aggregate", cause, ""));
        }
    })
}

/// The smallest or greatest value of each frame that is not null.
fn best<T: Copy>(
    frames: &[Range<usize>],
    shrinking: bool,
    valid: impl Fn(usize) -> bool,
    wanted: Ordering,
    value: impl Fn(usize) -> T,
    compare: impl Fn(&T, &T) -> Ordering,
) -> Vec<Option<T>> {
    over_frames(frames, shrinking, &None, |best: &mut Option<T>, place| {
        if !valid(place) {
            return;
        }
        let value = value(place);
        if best
            .as_ref()
            .is_none_or(|best| compare(&value, best) == wanted)
        {
            *best = Some(value);
        }
    })
}

impl Fold for Window {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Held(Vec::new())))
    }

    fn next(&self, _: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let held = state_of::<Held>("window", state)?;
        held.0.push(host_batch("window", &batch)?.clone());
        Ok(())
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let held = state_of::<Held>("window", state)?;
        held.0.extend(own_state::<Held>("window", other)?.0);
        Ok(())
    }

    fn finish(&self, _: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let held = own_state::<Held>("window", state)?;
        let sorted = self.sorted(&held.0)?;
        let mut columns = Vec::with_capacity(self.spec.output.fields().len());
        for &index in &self.spec.projection {
            columns.push(sorted.sorted_column(index)?);
        }
        let fields = &self.spec.output.fields()[self.spec.projection.len()..];
        for (call, field) in self.spec.functions.iter().zip(fields) {
            let column = self.column(&sorted, call, field);
            let context = |error: Error| error.context(format!("window, `{}`", field.name()));
            columns.push(column.map_err(context)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(sorted.rows.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.spec.output), columns, &options)
            .map(|batch| vec![Batch::host(batch)])
            .map_err(|cause| Error::invalid("window", cause.to_string(), ""))
    }
}
