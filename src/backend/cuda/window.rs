//! `window` by kernels; the contract is [`WindowSpec`].
//!
//! Batches are kept as they come, with the columns that matter, and put behind one another at the
//! end. Rows are sorted by partition and order, columns gathered once, and leave in that order.

use std::sync::Arc;

use super::batch::CudaBatch;
use super::dictionary::Dictionary;
use super::evaluate::physical;
use super::sort::{Sorting, with_codes};
use super::{Shared, append, text, upload};
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, literal_array};
use crate::kernels::window::{WindowAggregate, WindowExtent, WindowRows};
use crate::kernels::{DeviceColumn, DeviceRows, Launch, Status, abi};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::operators::{
    Context, Fold, FoldState, Frame, SortKey, WindowCall, WindowFunction, WindowSpec, own_state,
    state_of, too_many_window_rows,
};
use crate::types::{
    DataType, EmptySum, Literal, Overflow, PhysicalType, Schema, SchemaRef, decimal_parts, is_text,
};

pub(super) struct Window {
    shared: Arc<Shared>,
    spec: WindowSpec,
    /// The columns of the input that are kept, and their schema.
    kept: Vec<usize>,
    schema: SchemaRef,
    /// The same, but for strings of partition keys: those need no order but that of their codes.
    sorted_as: SchemaRef,
    /// Keys of the partitions, then of the order, by place among the kept columns.
    keys: Vec<SortKey>,
}

/// The batches so far, in the order of their rows, with the kept columns.
struct Rows {
    batches: Vec<CudaBatch>,
}

impl Window {
    pub(super) fn new(shared: Arc<Shared>, spec: &WindowSpec) -> Result<Self> {
        let operands = spec.functions.iter().map(|call| call.function.operand());
        let order = spec.order_by.iter().map(|key| key.column);
        let mut kept: Vec<usize> = spec.partition_by.iter().copied().chain(order).collect();
        kept.extend(
            spec.projection
                .iter()
                .copied()
                .chain(operands.flatten().copied()),
        );
        kept.sort_unstable();
        kept.dedup();
        let schema = spec
            .input
            .project(&kept)
            .map_err(|cause| Error::invalid("window", cause.to_string(), ""))?;
        let sorted_as = schema.fields().iter().zip(&kept).map(|(field, index)| {
            let codes = spec.partition_by.contains(index) && is_text(field.data_type());
            let field = field.as_ref().clone();
            match codes {
                true => field.with_data_type(DataType::UInt32),
                false => field,
            }
        });
        let sorted_as = Schema::new(sorted_as.collect::<Vec<_>>());
        let mut this = Window {
            shared,
            spec: spec.clone(),
            kept,
            sorted_as: Arc::new(sorted_as),
            schema: Arc::new(schema),
            keys: Vec::new(),
        };
        let partition = spec.partition_by.iter().copied().map(SortKey::ascending);
        let keys = partition.chain(spec.order_by.iter().copied());
        this.keys = keys
            .map(|key| SortKey {
                column: this.place(key.column),
                ..key
            })
            .collect();
        Ok(this)
    }

    /// Where a column of the input is among the kept ones.
    fn place(&self, column: usize) -> usize {
        self.kept.partition_point(|kept| *kept < column)
    }

    /// The kept columns of a batch, with codes for text that is compared, or meets a default.
    fn kept_of(&self, launch: &Launch, batch: &CudaBatch) -> Result<CudaBatch> {
        let columns = self.kept.iter().map(|&index| batch.columns[index].clone());
        let (rows, dictionary) = (batch.rows.clone(), Arc::clone(&batch.dictionary));
        let kept = CudaBatch::flat(columns.collect(), rows, dictionary);
        let mut kept = with_codes(launch, &kept, &self.schema, &self.keys)?;
        for call in &self.spec.functions {
            let compared = match &call.function {
                WindowFunction::Lag { default, .. } | WindowFunction::Lead { default, .. } => {
                    *default != Literal::Null
                }
                WindowFunction::Aggregate { function, .. } => is_extreme(*function),
                _ => false,
            };
            if let Some(column) = call.function.operand().copied().filter(|_| compared)
                && is_text(self.spec.input.field(column).data_type())
            {
                let place = self.place(column);
                let column = &kept.columns[place];
                kept.columns[place] = text::coded(launch, &kept.dictionary, column, &kept.rows)?;
            }
        }
        Ok(kept)
    }

    /// The functions' columns of sorted rows.
    fn compute(
        &self,
        launch: &Launch,
        columns: &[DeviceColumn],
        dictionary: &Dictionary,
        rows: u64,
        status: &Status,
    ) -> Result<Vec<DeviceColumn>> {
        let keys: Vec<&DeviceColumn> = self.keys.iter().map(|key| &columns[key.column]).collect();
        let (partition, order) = keys.split_at(self.spec.partition_by.len());
        let around = WindowRows::new(launch, partition, order, rows)?;
        let fields = &self.spec.output.fields()[self.spec.projection.len()..];
        let mut computed = Vec::with_capacity(fields.len());
        for (call, field) in self.spec.functions.iter().zip(fields) {
            let one = Call {
                window: self,
                launch,
                around: &around,
                rows,
                extent: extent(call.frame),
                call,
            };
            let column = one.column(columns, dictionary, field.data_type(), status);
            let context = |error: Error| error.context(format!("window, `{}`", field.name()));
            computed.push(column.map_err(context)?);
        }
        Ok(computed)
    }
}

fn is_extreme(function: AggregateFunction) -> bool {
    matches!(function, AggregateFunction::Min | AggregateFunction::Max)
}

fn extent(frame: Frame) -> WindowExtent {
    match frame {
        Frame::Partition => WindowExtent::Partition,
        Frame::RangeToCurrent => WindowExtent::Range,
        Frame::Rows { start, end } => WindowExtent::Rows { start, end },
    }
}

/// One function over the sorted rows.
struct Call<'a> {
    window: &'a Window,
    launch: &'a Launch<'a>,
    around: &'a WindowRows,
    rows: u64,
    extent: WindowExtent,
    call: &'a WindowCall,
}

impl Call<'_> {
    fn column(
        &self,
        columns: &[DeviceColumn],
        dictionary: &Dictionary,
        output: &DataType,
        status: &Status,
    ) -> Result<DeviceColumn> {
        let (launch, around, extent) = (self.launch, self.around, self.extent);
        let column = |index: usize| &columns[self.window.place(index)];
        match &self.call.function {
            WindowFunction::RowNumber => around.rank(launch, abi::WINDOW_ROW_NUMBER, 1),
            WindowFunction::Rank => around.rank(launch, abi::WINDOW_RANK, 1),
            WindowFunction::DenseRank => around.rank(launch, abi::WINDOW_DENSE_RANK, 1),
            WindowFunction::PercentRank => around.rank(launch, abi::WINDOW_PERCENT_RANK, 1),
            WindowFunction::CumeDist => around.rank(launch, abi::WINDOW_CUME_DIST, 1),
            WindowFunction::Ntile(buckets) => around.rank(launch, abi::WINDOW_NTILE, *buckets),
            WindowFunction::Lag {
                operand: index,
                offset,
                default,
            } => {
                let default = self.default(default, dictionary, output)?;
                let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                around.neighbour(launch, column(*index), -offset, default)
            }
            WindowFunction::Lead {
                operand: index,
                offset,
                default,
            } => {
                let default = self.default(default, dictionary, output)?;
                let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                around.neighbour(launch, column(*index), offset, default)
            }
            WindowFunction::FirstValue(index) => {
                around.nth_value(launch, column(*index), extent, 0)
            }
            WindowFunction::LastValue(index) => around.last_value(launch, column(*index), extent),
            WindowFunction::NthValue { operand: index, n } => {
                around.nth_value(launch, column(*index), extent, n - 1)
            }
            WindowFunction::Aggregate { function, operand } => {
                let how = self.aggregate((*function, *operand), output)?;
                let column = operand.map(column);
                if is_extreme(*function)
                    && is_text(output)
                    && let Some(codes) = column
                {
                    let rows = DeviceRows::known(self.rows);
                    let order = dictionary.tables.order(launch, dictionary)?;
                    let ranks = order.ranks(launch, codes, &rows)?;
                    let best = around.aggregate(launch, Some(&ranks), &how, extent, status)?;
                    return order.codes(launch, &best, &rows);
                }
                around.aggregate(launch, column, &how, extent, status)
            }
        }
    }

    /// The bits of a default; none for a null.
    fn default(
        &self,
        default: &Literal,
        dictionary: &Dictionary,
        data_type: &DataType,
    ) -> Result<Option<u128>> {
        if *default == Literal::Null {
            return Ok(None);
        }
        upload::scalar_bits(&literal_array(default, data_type)?, dictionary)
    }

    fn aggregate(
        &self,
        (function, operand): (AggregateFunction, Option<usize>),
        output: &DataType,
    ) -> Result<WindowAggregate> {
        let semantics = self.window.spec.semantics;
        let overflow_is_error = semantics.overflow == Overflow::Error;
        let mut how = WindowAggregate {
            add: abi::WINDOW_ADD_I64,
            finish: abi::WINDOW_FINISH_COUNT,
            smallest: false,
            physical: physical(output)?,
            limit: 0,
            factor: 1.0,
            empty_is_zero: false,
            overflow_is_error,
        };
        let Some(input) = operand else {
            return Ok(how);
        };
        let input = self.window.spec.input.field(input).data_type();
        let operand = physical(input)?;
        let scale = decimal_parts(input).map(|(_, scale)| scale);
        match function {
            AggregateFunction::Sum => {
                how.finish = abi::WINDOW_FINISH_SUM;
                how.empty_is_zero = semantics.empty_sum == EmptySum::Zero;
                if input.is_floating() {
                    how.add = abi::WINDOW_ADD_F64;
                } else if scale.is_some() || overflow_is_error {
                    how.add = abi::WINDOW_ADD_INT128;
                }
                if let Some((precision, _)) = decimal_parts(output) {
                    how.limit = 10i128.pow(u32::from(precision.min(38)));
                }
            }
            AggregateFunction::Mean => {
                how.finish = abi::WINDOW_FINISH_MEAN;
                how.add = match input.is_floating() {
                    true => abi::WINDOW_ADD_F64,
                    false => abi::WINDOW_ADD_INT128,
                };
                if let Some(scale) = scale.filter(|scale| *scale != 0) {
                    how.factor = format!("1e{scale}").parse().unwrap_or(1.0);
                }
            }
            AggregateFunction::Min | AggregateFunction::Max => {
                how.finish = abi::WINDOW_FINISH_MAX;
                how.smallest = function == AggregateFunction::Min;
                how.add = match operand {
                    PhysicalType::Int128 => abi::WINDOW_MAX_UINT128,
                    _ => abi::WINDOW_MAX_U64,
                };
            }
            _ => {} // a count; `WindowSpec::check` lets no others through
        }
        Ok(how)
    }
}

impl Fold for Window {
    fn init(&self, _: &Context) -> Result<FoldState> {
        Ok(Box::new(Rows {
            batches: Vec::new(),
        }))
    }

    fn next(&self, context: &Context, state: &mut FoldState, batch: Batch) -> Result<()> {
        let launch = self.shared.launch(context);
        let state = state_of::<Rows>("window", state)?;
        let kept = self.kept_of(&launch, CudaBatch::of(&batch)?)?;
        state.batches.push(kept);
        Ok(())
    }

    fn merge(&self, _: &Context, state: &mut FoldState, other: FoldState) -> Result<()> {
        let state = state_of::<Rows>("window", state)?;
        let other = own_state::<Rows>("window", other)?;
        state.batches.extend(other.batches);
        Ok(())
    }

    fn finish(&self, context: &Context, state: FoldState) -> Result<Vec<Batch>> {
        let launch = self.shared.launch(context);
        let state = own_state::<Rows>("window", state)?;
        self.shared.settle(&launch)?;
        let dictionary = append::dictionary(&self.shared, &state.batches);
        let sized = append::sized(&launch, state.batches)?;
        let rows = sized.iter().map(|(_, rows)| rows).sum();
        if rows > ROWS_PER_BATCH_MAX {
            return Err(too_many_window_rows(rows));
        }
        let needed = vec![true; self.kept.len()];
        let mut columns = append::whole(&launch, &sized, &self.schema, &needed)?;
        drop(sized);
        if rows > 0 && !self.keys.is_empty() {
            let sorting = Sorting {
                shared: &self.shared,
                launch,
                schema: &self.sorted_as,
                keys: &self.keys,
            };
            let parts = sorting.sorted(&columns, &dictionary, rows, (0, rows), rows)?;
            let whole = parts.into_iter().next();
            columns = whole.map(|(columns, _)| columns).unwrap_or_default();
        }
        let status = Status::new(&launch, "window")?;
        let computed = self.compute(&launch, &columns, &dictionary, rows, &status)?;
        self.shared.watch(context.stream, status);
        let passed = self.spec.projection.iter();
        let passed = passed.map(|&index| columns[self.place(index)].clone());
        let columns = passed.chain(computed).collect();
        let batch = CudaBatch::flat(columns, DeviceRows::known(rows), dictionary);
        Ok(vec![batch.into_batch(Arc::clone(&self.spec.output))])
    }
}
