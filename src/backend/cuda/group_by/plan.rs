//! From aggregates to accumulators, and from these to columns.

use std::collections::HashMap;

use super::ordered::{Ordered, QuantileOf, Source};
use crate::backend::cuda::dictionary::CODE_BITS;
use crate::backend::cuda::evaluate::physical;
use crate::error::Result;
use crate::expr::{AggregateFunction, Interpolation, Probability};
use crate::kernels::abi;
use crate::kernels::group_by::{Emit, GroupKey, GroupLayout, GroupTuning};
use crate::kernels::quantile::Quantile;
use crate::operators::{AggregateSpec, GroupBySpec};
use crate::types::{DataType, EmptySum, Field, Overflow, PhysicalType, decimal_parts, is_text};

/// An accumulator and the input column it takes; none counts rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Accumulator {
    kind: u32,
    pub(super) input: Option<usize>,
    /// Fed by itself, such as from pairs at the end: it takes no column as it is.
    pub(super) late: bool,
}

/// A value that goes with a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carry {
    pub(super) row: u32,
    pub(super) accumulator: u32,
    pub(super) input: usize,
}

/// What the pairs of a table of (keys, value) are counted into.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// An accumulator that counts different values.
    Count(u32),
    /// An accumulator of the rank of a string, and one that tells whether there was one.
    Rank { extreme: u32, presence: u32 },
    /// Accumulators of a sketch: registers raised, and the sum of their weights.
    Sketch { raised: u32, weights: u32 },
}

/// A table of pairs: (keys, value), or (keys, register) of a sketch.
#[derive(Debug)]
pub(super) struct Pairs {
    pub(super) input: usize,
    pub(super) sketch: bool,
    pub(super) uses: Vec<Use>,
}

/// What becomes of an emitted column.
#[derive(Debug, Clone, Copy)]
pub(super) enum After {
    Nothing,
    /// Ranks of strings become codes.
    Coded,
    /// Registers raised, and the sum of weights in this accumulator, become an estimate.
    Estimated {
        weights: u32,
    },
    /// Numbers of lists become the lists of a value, by its place among those that are listed.
    Listed {
        ordered: usize,
        of: usize,
    },
    /// Numbers of lists become the sketches of the registers that are listed.
    Sketched {
        ordered: usize,
    },
}

/// A column of the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) emit: Emit,
    pub(super) after: After,
}

/// Accumulators, and what is done with them.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    spec: &'a GroupBySpec,
    known: HashMap<Accumulator, u32>,
    carried: HashMap<(AggregateFunction, usize), u32>,
    parts: Parts,
}

/// What is left of a plan.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) keys: Vec<GroupKey>,
    pub(super) accumulators: Vec<Accumulator>,
    pub(super) outputs: Vec<Output>,
    pub(super) carries: Vec<Carry>,
    pub(super) pairs: Vec<Pairs>,
    /// Accumulators of variances, and the columns that they take: of values, or the first of those
    /// of states.
    pub(super) variances: Vec<(u32, usize)>,
    /// What needs all values of a group beside one another, by where these come from.
    pub(super) ordered: Vec<Ordered>,
}

/// The key that a column is.
pub(super) fn key_of(field: &Field) -> Result<GroupKey> {
    let physical = physical(field.data_type())?;
    let bits = if is_text(field.data_type()) {
        CODE_BITS
    } else {
        physical.bits() as u32
    };
    Ok(GroupKey {
        physical,
        nullable: field.is_nullable(),
        bits,
    })
}

/// What a column has for an aggregate: its values, or the elements of a state that is lists.
pub(super) fn value_field(spec: &GroupBySpec, input: usize) -> &Field {
    let field = spec.input.field(input);
    match field.data_type() {
        DataType::List(item) if spec.phase.takes_states() => item,
        _ => field,
    }
}

/// The key of a string that is a view, not a code.
pub(super) fn viewed(key: GroupKey) -> GroupKey {
    GroupKey {
        physical: PhysicalType::View,
        bits: PhysicalType::View.bits() as u32,
        ..key
    }
}

fn is_float(physical: PhysicalType) -> bool {
    matches!(
        physical,
        PhysicalType::Float16 | PhysicalType::Float32 | PhysicalType::Float64
    )
}

impl Parts {
    /// The parts of a specification.
    pub(super) fn of(spec: &GroupBySpec) -> Result<Parts> {
        use AggregateFunction::{AnyValue, Count, First, Last, Mean};
        let mut plan = Plan {
            spec,
            known: HashMap::new(),
            carried: HashMap::new(),
            parts: Parts::default(),
        };
        for index in &spec.group_keys {
            plan.parts.keys.push(key_of(spec.input.field(*index))?);
        }
        // Counts first: they also tell whether a group had values.
        for aggregate in &spec.aggregates {
            if matches!(aggregate.function, Count | Mean) && !spec.phase.takes_states() {
                plan.accumulator(abi::ACCUMULATE_COUNT, aggregate.input);
            }
        }
        // Values stand behind the row that they go with.
        for function in [First, Last, AnyValue] {
            plan.carry_all(function)?;
        }
        for aggregate in &spec.aggregates {
            plan.add(aggregate)?;
        }
        Ok(plan.parts)
    }

    pub(super) fn layout(&self, keys: &[GroupKey], tuning: &GroupTuning) -> Result<GroupLayout> {
        let kinds: Vec<u32> = self.accumulators.iter().map(|a| a.kind).collect();
        GroupLayout::new(keys, &kinds, tuning)
    }

    fn push(&mut self, accumulator: Accumulator) -> u32 {
        self.accumulators.push(accumulator);
        self.accumulators.len() as u32 - 1
    }

    fn late(&mut self, kind: u32) -> u32 {
        self.push(Accumulator {
            kind,
            input: None,
            late: true,
        })
    }

    /// What is ordered of rows from a source, by its place.
    fn ordered(&mut self, source: Source) -> usize {
        let known = self.ordered.iter().position(|known| known.source == source);
        known.unwrap_or_else(|| {
            let row = self.late(abi::ACCUMULATE_ROW_FIRST);
            self.ordered.push(Ordered {
                source,
                row,
                fields: Vec::new(),
                inputs: Vec::new(),
                quantiles: Vec::new(),
                lists: Vec::new(),
                list: None,
            });
            self.ordered.len() - 1
        })
    }

    /// The pairs of an input, which are shared, by their place.
    fn pairs(&mut self, input: usize, sketch: bool) -> usize {
        let same = |pairs: &Pairs| pairs.input == input && pairs.sketch == sketch;
        self.pairs.iter().position(same).unwrap_or_else(|| {
            self.pairs.push(Pairs {
                input,
                sketch,
                uses: Vec::new(),
            });
            self.pairs.len() - 1
        })
    }

    /// Adds a use of the pairs of an input.
    fn use_pairs(&mut self, input: usize, used: Use) {
        let pairs = self.pairs(input, matches!(used, Use::Sketch { .. }));
        self.pairs[pairs].uses.push(used);
    }

    /// Lists a value of ordered rows. Result: the accumulator of the list's number, and the value's
    /// place among those that are listed.
    fn list(&mut self, ordered: usize, value: usize) -> (u32, usize) {
        let list = match self.ordered[ordered].list {
            Some(list) => list,
            None => self.late(abi::ACCUMULATE_CARRY),
        };
        self.ordered[ordered].list = Some(list);
        let lists = &mut self.ordered[ordered].lists;
        let place = lists.iter().position(|listed| *listed == value);
        let place = place.unwrap_or_else(|| {
            lists.push(value);
            lists.len() - 1
        });
        (list, place)
    }
}

impl Plan<'_> {
    /// The accumulator of this kind and input, shared by all aggregates that need it.
    fn accumulator(&mut self, kind: u32, input: Option<usize>) -> u32 {
        let wanted = self.simplest(kind, input);
        if let Some(known) = self.known.get(&wanted) {
            return *known;
        }
        let index = self.parts.push(wanted);
        self.known.insert(wanted, index);
        index
    }

    /// Counting the values of a column that is never null is counting rows, whatever the column.
    fn simplest(&self, kind: u32, input: Option<usize>) -> Accumulator {
        let counts_rows = kind == abi::ACCUMULATE_COUNT
            && input.is_some_and(|input| !self.spec.input.field(input).is_nullable());
        Accumulator {
            kind,
            input: input.filter(|_| !counts_rows),
            late: false,
        }
    }

    /// Whether a group had values: the count if there is one, else a flag.
    fn presence(&mut self, input: usize) -> u32 {
        let count = self.simplest(abi::ACCUMULATE_COUNT, Some(input));
        match self.known.get(&count) {
            Some(index) => *index,
            None => self.accumulator(abi::ACCUMULATE_ANY, Some(input)),
        }
    }

    /// Row accumulators for one of `first`, `last` and `any_value`, each with its values.
    fn carry_all(&mut self, function: AggregateFunction) -> Result<()> {
        let mut shared_row = None;
        for aggregate in &self.spec.aggregates {
            let Some(input) = aggregate.input.filter(|_| aggregate.function == function) else {
                continue;
            };
            if self.carried.contains_key(&(function, input)) {
                continue;
            }
            // A value that is not null has a row of its own, all first values share one.
            let own_row = function == AggregateFunction::AnyValue;
            let row = match shared_row.filter(|_| !own_row) {
                Some(row) => row,
                None => self.parts.push(Accumulator {
                    kind: match function {
                        AggregateFunction::Last => abi::ACCUMULATE_ROW_LAST,
                        _ => abi::ACCUMULATE_ROW_FIRST,
                    },
                    input: own_row.then_some(input),
                    late: false,
                }),
            };
            let physical = physical(self.spec.input.field(input).data_type())?;
            let kind = match physical {
                PhysicalType::Int128 => abi::ACCUMULATE_CARRY_INT128,
                _ => abi::ACCUMULATE_CARRY,
            };
            let accumulator = self.parts.late(kind);
            self.parts.carries.push(Carry {
                row,
                accumulator,
                input,
            });
            self.carried.insert((function, input), accumulator);
            shared_row = Some(row);
        }
        Ok(())
    }

    /// Emits the next column of the output.
    fn emit(&mut self, emit: u32, accumulator: u32, count_accumulator: u32) -> Result<&mut Emit> {
        let field = self.spec.group_keys.len() + self.parts.outputs.len();
        let output = self.spec.output.field(field).data_type();
        self.parts.outputs.push(Output {
            emit: Emit {
                emit,
                accumulator,
                count_accumulator,
                physical: physical(output)?,
                limit: 0,
                factor: 1.0,
                empty_is_zero: false,
                overflow_is_error: self.spec.semantics.overflow == Overflow::Error,
                ddof: 0,
            },
            after: After::Nothing,
        });
        let last = self.parts.outputs.len() - 1;
        Ok(&mut self.parts.outputs[last].emit)
    }

    fn then(&mut self, after: After) {
        if let Some(last) = self.parts.outputs.last_mut() {
            last.after = after;
        }
    }

    fn add(&mut self, aggregate: &AggregateSpec) -> Result<()> {
        use AggregateFunction as Function;
        let AggregateSpec { function, input } = *aggregate;
        let states = self.spec.phase.takes_states();
        let Some(input) = input else {
            let count = self.accumulator(abi::ACCUMULATE_COUNT, None);
            self.emit(abi::EMIT_COUNT, count, count)?;
            return Ok(());
        };
        let gives_states = self.spec.phase.gives_states();
        let data_type = value_field(self.spec, input).data_type().clone();
        let wide = physical(&data_type)? == PhysicalType::Int128;
        match function {
            Function::Count => {
                let kind = if states {
                    abi::ACCUMULATE_ADD
                } else {
                    abi::ACCUMULATE_COUNT
                };
                let count = self.accumulator(kind, Some(input));
                self.emit(abi::EMIT_COUNT, count, count)?;
            }
            Function::Sum | Function::Mean => self.add_sum(function, input, &data_type)?,
            Function::Variance(_) | Function::StandardDeviation(_) => {
                self.add_variance(function, input, &data_type)?;
            }
            Function::Min | Function::Max if is_text(&data_type) => {
                let presence = self.parts.late(abi::ACCUMULATE_ANY);
                let extreme = self.parts.late(match function {
                    Function::Min => abi::ACCUMULATE_MIN,
                    _ => abi::ACCUMULATE_MAX,
                });
                self.parts.use_pairs(input, Use::Rank { extreme, presence });
                self.emit(abi::EMIT_EXTREME, extreme, presence)?;
                self.then(After::Coded);
            }
            Function::Min | Function::Max => {
                let kind = match (function, wide) {
                    (Function::Min, true) => abi::ACCUMULATE_MIN_INT128,
                    (Function::Min, false) => abi::ACCUMULATE_MIN,
                    (_, true) => abi::ACCUMULATE_MAX_INT128,
                    (_, false) => abi::ACCUMULATE_MAX,
                };
                let extreme = self.accumulator(kind, Some(input));
                let presence = self.presence(input);
                self.emit(abi::EMIT_EXTREME, extreme, presence)?;
            }
            Function::First | Function::Last | Function::AnyValue => {
                let carried = self.carried.get(&(function, input)).copied().unwrap_or(0);
                self.emit(abi::EMIT_CARRY, carried, carried)?;
            }
            Function::Any | Function::All => {
                let (kind, emit) = match function {
                    Function::Any => (abi::ACCUMULATE_TRUE, abi::EMIT_ANY),
                    _ => (abi::ACCUMULATE_FALSE, abi::EMIT_ALL),
                };
                let decided = self.accumulator(kind, Some(input));
                let unknown = self.accumulator(abi::ACCUMULATE_NULL, Some(input));
                self.emit(emit, decided, unknown)?;
            }
            Function::CountDistinct if gives_states => {
                let pairs = self.parts.pairs(input, false);
                self.add_list(Source::Pairs(pairs), input);
            }
            Function::CountDistinct => {
                let count = self.parts.late(abi::ACCUMULATE_COUNT);
                self.parts.use_pairs(input, Use::Count(count));
                self.emit(abi::EMIT_COUNT, count, count)?;
            }
            Function::ApproxCountDistinct if gives_states => self.add_sketch(input),
            Function::ApproxCountDistinct => {
                let raised = self.parts.late(abi::ACCUMULATE_COUNT);
                let weights = self.parts.late(abi::ACCUMULATE_ADD);
                self.parts.use_pairs(input, Use::Sketch { raised, weights });
                self.emit(abi::EMIT_COUNT, raised, raised)?;
                self.then(After::Estimated { weights });
            }
            Function::Quantile { .. } if gives_states => self.add_list(self.source(input), input),
            Function::Quantile { q, interpolation } => {
                let quantile = quantile_of(q, interpolation, &data_type);
                let kind = match wide && interpolation.picks_a_value() {
                    true => abi::ACCUMULATE_CARRY_INT128,
                    false => abi::ACCUMULATE_CARRY,
                };
                let (ordered, value) = self.ordered_value(self.source(input), input);
                let accumulator = self.parts.late(kind);
                self.parts.ordered[ordered].quantiles.push(QuantileOf {
                    value,
                    quantile,
                    accumulator,
                });
                self.emit(abi::EMIT_CARRY, accumulator, accumulator)?;
            }
            Function::Collect => self.add_list(self.source(input), input),
        }
        Ok(())
    }

    /// Where the values of a column come from that all are looked at.
    fn source(&self, input: usize) -> Source {
        match self.spec.phase.takes_states() {
            true => Source::Elements(input),
            false => Source::Rows,
        }
    }

    /// A column's values among the rows from a source: which rows, and the place of the values.
    fn ordered_value(&mut self, source: Source, input: usize) -> (usize, usize) {
        let ordered = self.parts.ordered(source);
        let rows = &mut self.parts.ordered[ordered];
        let known = rows.inputs.iter().position(|known| *known == input);
        let value = known.unwrap_or_else(|| {
            rows.inputs.push(input);
            rows.fields.push(value_field(self.spec, input).clone());
            rows.inputs.len() - 1
        });
        (ordered, value)
    }

    /// A list is emitted as its number.
    fn add_list(&mut self, source: Source, input: usize) {
        let (ordered, value) = self.ordered_value(source, input);
        let (list, of) = self.parts.list(ordered, value);
        self.push_listed(list, After::Listed { ordered, of });
    }

    /// A sketch is emitted as the number of the list of its registers, which have weights.
    fn add_sketch(&mut self, input: usize) {
        let pairs = self.parts.pairs(input, true);
        let ordered = self.parts.ordered(Source::Pairs(pairs));
        self.parts.ordered[ordered].fields = vec![
            Field::new("register", DataType::UInt32, true),
            Field::new("weight", DataType::Int64, true),
        ];
        let (list, _) = self.parts.list(ordered, 0);
        self.parts.list(ordered, 1);
        self.push_listed(list, After::Sketched { ordered });
    }

    fn push_listed(&mut self, list: u32, after: After) {
        self.parts.outputs.push(Output {
            emit: Emit {
                physical: PhysicalType::UInt32,
                ..word(abi::EMIT_CARRY, list, list)
            },
            after,
        });
    }

    fn add_sum(
        &mut self,
        function: AggregateFunction,
        input: usize,
        data_type: &DataType,
    ) -> Result<()> {
        let phase = self.spec.phase;
        let float = is_float(physical(data_type)?);
        let exact = self.spec.sums_exactly(function, data_type);
        let mean = function == AggregateFunction::Mean;
        let strict = self.spec.semantics.overflow == Overflow::Error;
        let decimal = decimal_parts(data_type);
        let kind = match (float, exact) {
            (true, true) => abi::ACCUMULATE_ADD_EXACT,
            (true, false) => abi::ACCUMULATE_ADD_FLOAT,
            _ if decimal.is_none() && !strict && !mean && !phase.gives_states() => {
                abi::ACCUMULATE_ADD
            }
            _ => abi::ACCUMULATE_ADD_INT128,
        };
        let sum = self.accumulator(kind, Some(input));
        let count = match (mean, phase.takes_states()) {
            (true, true) => self.accumulator(abi::ACCUMULATE_ADD, Some(input + 1)),
            (true, false) => self.accumulator(abi::ACCUMULATE_COUNT, Some(input)),
            (false, _) => self.presence(input),
        };
        let show = match (float, exact) {
            (true, true) => abi::EMIT_EXACT,
            (true, false) => abi::EMIT_SUM_FLOAT,
            _ => abi::EMIT_SUM,
        };
        if phase.gives_states() {
            self.emit(show, sum, count)?;
            if mean {
                self.emit(abi::EMIT_COUNT, count, count)?;
            }
            return Ok(());
        }
        if mean {
            let show = if exact {
                abi::EMIT_EXACT_MEAN
            } else {
                abi::EMIT_MEAN
            };
            self.emit(show, sum, count)?.factor = power_of_ten(data_type);
            return Ok(());
        }
        let field = self.spec.group_keys.len() + self.parts.outputs.len();
        let precision = decimal_parts(self.spec.output.field(field).data_type());
        let empty_is_zero = self.spec.semantics.empty_sum == EmptySum::Zero;
        let emit = self.emit(show, sum, count)?;
        emit.empty_is_zero = empty_is_zero;
        if let Some((precision, _)) = precision {
            emit.limit = 10i128.pow(u32::from(precision.min(38)));
        }
        Ok(())
    }

    fn add_variance(
        &mut self,
        function: AggregateFunction,
        input: usize,
        data_type: &DataType,
    ) -> Result<()> {
        // The moments of a state are of numbers, whatever the values were.
        let factor = match self.spec.phase.takes_states() {
            true => 1.0,
            false => power_of_ten(data_type),
        };
        let known = self
            .parts
            .variances
            .iter()
            .find(|(_, known)| *known == input);
        let variance = match known {
            Some((accumulator, _)) => *accumulator,
            None => {
                let kind = abi::ACCUMULATE_VARIANCE;
                let accumulator = match self.spec.phase.takes_states() {
                    true => self.parts.late(kind),
                    false => self.accumulator(kind, Some(input)),
                };
                self.parts.variances.push((accumulator, input));
                accumulator
            }
        };
        if self.spec.phase.gives_states() {
            self.emit(abi::EMIT_COUNT, variance, variance)?;
            self.emit(abi::EMIT_VARIANCE_MEAN, variance, variance)?
                .factor = factor;
            self.emit(abi::EMIT_VARIANCE_M2, variance, variance)?.factor = factor;
            return Ok(());
        }
        let (show, ddof) = match function {
            AggregateFunction::StandardDeviation(ddof) => (abi::EMIT_DEVIATION, ddof),
            AggregateFunction::Variance(ddof) => (abi::EMIT_VARIANCE, ddof),
            _ => return Ok(()),
        };
        let emit = self.emit(show, variance, variance)?;
        emit.factor = factor;
        emit.ddof = ddof.count() as u32;
        Ok(())
    }
}

/// A word of an accumulator as it is, or decoded, where the other one says that there is one.
pub(super) fn word(emit: u32, accumulator: u32, count_accumulator: u32) -> Emit {
    Emit {
        emit,
        accumulator,
        count_accumulator,
        physical: PhysicalType::Int64,
        limit: 0,
        factor: 1.0,
        empty_is_zero: false,
        overflow_is_error: false,
        ddof: 0,
    }
}

/// A quantile of values of a type.
fn quantile_of(q: Probability, interpolation: Interpolation, data_type: &DataType) -> Quantile {
    let scale = decimal_parts(data_type).map_or(0, |(_, scale)| scale);
    let power = format!("1e{}", scale.unsigned_abs()).parse().unwrap_or(1.0);
    Quantile {
        q: q.get(),
        interpolation: match interpolation {
            Interpolation::Linear => abi::QUANTILE_LINEAR,
            Interpolation::Midpoint => abi::QUANTILE_MIDPOINT,
            Interpolation::Lower => abi::QUANTILE_LOWER,
            Interpolation::Higher => abi::QUANTILE_HIGHER,
            Interpolation::Nearest => abi::QUANTILE_NEAREST,
        },
        divisor: if scale > 0 { power } else { 1.0 },
        multiplier: if scale < 0 { power } else { 1.0 },
    }
}

/// 10^scale of a decimal type, else 1.
fn power_of_ten(data_type: &DataType) -> f64 {
    let scale = decimal_parts(data_type).map_or(0, |(_, scale)| scale);
    format!("1e{scale}").parse().unwrap_or(1.0)
}
