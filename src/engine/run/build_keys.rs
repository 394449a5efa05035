//! What is known of the keys of a join's build side once all its rows are there: the least and the
//! greatest of each, a Bloom filter where one pays, and the keys themselves where they are few.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, UInt64Type};

use super::QueryRun;
use super::dynamic_filter::Filtered;
use super::fold::fold_batches;
use super::lane::Lane;
use super::steps::{FoldStep, fold};
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{AggregateFunction, TypedExpr};
use crate::memory::{Batch, BatchStore, Tier};
use crate::metrics::BloomChoice;
use crate::operators::{
    AggregateSpec, FloatSums, GroupByPhase, GroupBySpec, HashJoinSpec, Operator, OperatorSpec,
    ProjectSpec,
};
use crate::storage::{FEW_KEYS_MAX, KeyBits, KeySet};
use crate::types::{Field, Literal, Schema, Semantics, decimal_parts};

/// What is known of one key.
#[derive(Debug)]
pub(super) struct BuildKey {
    /// The least and the greatest value.
    pub(super) bounds: Option<(Literal, Literal)>,
    /// The values.
    pub(super) set: Option<Arc<KeySet>>,
    /// Whether there is a Bloom filter of them.
    pub(super) bloom: BloomChoice,
}

/// What is known of the keys of a build side.
#[derive(Debug)]
pub(super) struct BuildKeys {
    pub(super) keys: Vec<BuildKey>,
    /// Whether some key has no value at all, so that nothing matches.
    pub(super) nothing: bool,
}

/// The least and the greatest value of each key, and how many rows there are.
struct Bounds {
    keys: Vec<Option<(Literal, Literal)>>,
    nothing: bool,
    rows: u64,
}

/// The build side, while its rows wait in a store.
struct Side<'a> {
    run: &'a QueryRun,
    number: usize,
    lane: &'a Lane,
    spec: &'a HashJoinSpec,
    step: &'a FoldStep,
    store: &'a BatchStore,
}

impl BuildKeys {
    /// What is known of the rows in a store, which stay there.
    ///
    /// # Errors
    /// As bringing batches back, and as the operators `group_by` and `project`.
    pub(super) fn of(
        run: &QueryRun,
        number: usize,
        lane: &Lane,
        (spec, step): (&HashJoinSpec, &FoldStep),
        store: &BatchStore,
        filtered: &Filtered,
    ) -> Result<BuildKeys> {
        let side = Side {
            run,
            number,
            lane,
            spec,
            step,
            store,
        };
        let Bounds {
            keys,
            nothing,
            rows,
        } = side.bounds(&side.bounded())?;
        let mut known = Vec::with_capacity(keys.len());
        for (place, (key, bounds)) in spec.build_keys.iter().zip(keys).enumerate() {
            let mut of_key = BuildKey {
                bounds,
                set: None,
                bloom: BloomChoice::Type,
            };
            if !nothing && filtered.keys.get(place).copied().unwrap_or(false) {
                let (bits, bloom) = side.bloom(*key, rows, filtered.scan_rows)?;
                let values = match of_key.bounds.is_some() && rows <= FEW_KEYS_MAX as u64 {
                    true => Some(side.values(*key)?),
                    false => None,
                };
                of_key.set = Some(Arc::new(KeySet::new(bits, values.as_ref())));
                of_key.bloom = bloom;
            }
            known.push(of_key);
        }
        Ok(BuildKeys {
            keys: known,
            nothing,
        })
    }
}

/// The rows in the store of a build side; more, if its backend cannot count them.
///
/// # Errors
/// As bringing batches back, and as the operator `group_by`.
pub(super) fn count_rows(
    run: &QueryRun,
    number: usize,
    lane: &Lane,
    (spec, step): (&HashJoinSpec, &FoldStep),
    store: &BatchStore,
) -> Result<u64> {
    let side = Side {
        run,
        number,
        lane,
        spec,
        step,
        store,
    };
    let none = vec![false; spec.build_keys.len()];
    side.bounds(&none).map(|bounds| bounds.rows)
}

impl Side<'_> {
    /// Whether each key has a least and a greatest value.
    fn bounded(&self) -> Vec<bool> {
        let keys = self.spec.build_keys.iter();
        let bounded = keys.map(|&key| is_bounded(self.spec.build.field(key).data_type()));
        bounded.collect()
    }

    /// Those of these keys, where they are known; a backend may not be able to tell them.
    fn bounds(&self, bounded: &[bool]) -> Result<Bounds> {
        let data_type = |key: usize| self.spec.build.field(key).data_type();
        let mut aggregates = vec![AggregateSpec {
            function: AggregateFunction::Count,
            input: None,
        }];
        for (&key, _) in self
            .spec
            .build_keys
            .iter()
            .zip(bounded)
            .filter(|(_, b)| **b)
        {
            for function in [AggregateFunction::Min, AggregateFunction::Max] {
                let input = Some(key);
                aggregates.push(AggregateSpec { function, input });
            }
        }
        let typed = |(index, aggregate): (usize, &AggregateSpec)| {
            let data_type = aggregate.input.map_or(&DataType::Int64, data_type);
            Field::new(format!("bound_{index}"), data_type.clone(), true)
        };
        let fields: Vec<Field> = aggregates.iter().enumerate().map(typed).collect();
        let spec = OperatorSpec::GroupBy(GroupBySpec {
            input: Arc::clone(&self.spec.build),
            output: Arc::new(Schema::new(fields)),
            group_keys: Vec::new(),
            aggregates,
            semantics: Semantics::default(),
            float_sums: FloatSums::default(),
            phase: GroupByPhase::Complete,
        });
        let row = match self.run.backend.instantiate(&spec) {
            Ok(_) => {
                let step = fold(self.run, self.number, spec, &self.step.meter)?;
                let batches = fold_batches(self.run, self.lane, &step, self.store.batches())?;
                batches.into_iter().next()
            }
            Err(_) => None,
        };
        match row {
            Some(row) => Bounds::from_row(&self.lane.download(row)?, bounded),
            None => Ok(Bounds {
                keys: vec![None; bounded.len()],
                nothing: false,
                rows: self.store.rows(),
            }),
        }
    }

    /// A Bloom filter of a key that drops rows of a scan of so many rows, where it pays.
    fn bloom(
        &self,
        key: usize,
        rows: u64,
        scan_rows: u64,
    ) -> Result<(Option<KeyBits>, BloomChoice)> {
        let options = &self.run.filters;
        let data_type = self.spec.build.field(key).data_type();
        let bytes = KeyBits::bytes_for(rows);
        if options.bloom_bytes_max == 0 {
            return Ok((None, BloomChoice::Off));
        }
        if !KeyBits::takes(data_type) {
            return Ok((None, BloomChoice::Type));
        }
        if rows as f64 > scan_rows as f64 * options.threshold {
            let (build, scan) = (rows, scan_rows);
            return Ok((None, BloomChoice::Rows { build, scan }));
        }
        if bytes > options.bloom_bytes_max {
            return Ok((None, BloomChoice::Size { bytes }));
        }
        match self.fill(key, bytes) {
            Ok(bits) => Ok((bits, BloomChoice::Made { bytes })),
            // The query goes on without it.
            Err(error) if matches!(error.kind(), ErrorKind::Reservation { .. }) => {
                Ok((None, BloomChoice::Memory))
            }
            Err(error) => Err(error),
        }
    }

    fn fill(&self, key: usize, bytes: u64) -> Result<Option<KeyBits>> {
        let data_type = self.spec.build.field(key).data_type();
        let held = self.run.memory.reserve(Tier::Host, bytes)?;
        let Some(bits) = KeyBits::empty(data_type, bytes, Some(held)) else {
            return Ok(None);
        };
        let (lane, place) = (self.lane, self.step.place);
        let batches = self.store.batches().into_iter().map(|(_, stored)| {
            self.run.scope.check()?;
            lane.bring(stored.get()?, place)
        });
        let (backend, context) = (lane.backend(place), lane.context(place));
        let bits = backend.key_bits(context, key, bits, Box::new(batches));
        bits.map(Some)
    }

    /// All values of a key.
    fn values(&self, key: usize) -> Result<ArrayRef> {
        let field = self.spec.build.field(key).clone();
        let expr = TypedExpr::column(key, field.data_type().clone());
        let alone = OperatorSpec::Project(ProjectSpec {
            input: Arc::clone(&self.spec.build),
            output: Arc::new(Schema::new(vec![field.clone()])),
            exprs: vec![expr],
            semantics: Semantics::default(),
        });
        let (place, operator, _) = self.run.backends().instantiate(&alone)?;
        let Operator::Transform(project) = operator else {
            return Err(Error::invalid("project", "is no transform", ""));
        };
        let mut values = vec![arrow::array::new_empty_array(field.data_type())];
        for (_, stored) in self.store.batches() {
            let batch: Batch = self.lane.bring(stored.get()?, place)?;
            if let Some(alone) = project.next(self.lane.context(place), None, batch)? {
                values.push(Arc::clone(self.lane.download(alone)?.column(0)));
            }
        }
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        concat(&values).map_err(|cause| Error::invalid("key", cause.to_string(), ""))
    }
}

impl Bounds {
    /// From the number of rows, and the least and the greatest value of each bounded key.
    fn from_row(row: &RecordBatch, bounded: &[bool]) -> Result<Bounds> {
        let rows = row.column(0).as_primitive::<Int64Type>();
        let rows = rows
            .iter()
            .next()
            .flatten()
            .unwrap_or(0)
            .max(0)
            .unsigned_abs();
        let mut pairs = row.columns().get(1..).unwrap_or_default().chunks(2);
        let mut nothing = rows == 0;
        let mut keys = Vec::with_capacity(bounded.len());
        for is_bounded in bounded {
            let pair = is_bounded.then(|| pairs.next()).flatten();
            keys.push(match pair {
                Some([low, high]) if low.is_valid(0) => literal(low)?.zip(literal(high)?),
                Some(_) => {
                    nothing = true;
                    None
                }
                None => None,
            });
        }
        Ok(Bounds {
            keys,
            nothing,
            rows,
        })
    }
}

/// Types whose values have literals.
fn is_bounded(data_type: &DataType) -> bool {
    data_type.is_integer()
        || *data_type == DataType::Date32
        || *data_type == DataType::Utf8
        || decimal_parts(data_type).is_some()
}

fn literal(value: &ArrayRef) -> Result<Option<Literal>> {
    let as_type = |to: &DataType| {
        cast(value, to).map_err(|cause| Error::invalid("bound", cause.to_string(), ""))
    };
    Ok(match value.data_type() {
        DataType::UInt64 => Some(Literal::UInt64(value.as_primitive::<UInt64Type>().value(0))),
        integer if integer.is_integer() => {
            let wide = as_type(&DataType::Int64)?;
            Some(Literal::Int64(wide.as_primitive::<Int64Type>().value(0)))
        }
        DataType::Date32 => Some(Literal::Date32(value.as_primitive::<Date32Type>().value(0))),
        DataType::Utf8 => Some(Literal::Utf8(value.as_string::<i32>().value(0).to_string())),
        other => match decimal_parts(other) {
            Some((precision, scale)) => {
                let wide = as_type(&DataType::Decimal128(precision, scale))?;
                Some(Literal::Decimal {
                    value: wide.as_primitive::<Decimal128Type>().value(0),
                    precision,
                    scale,
                })
            }
            None => None,
        },
    })
}
