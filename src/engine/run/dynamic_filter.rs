//! Filters that a query finds out while it runs: rows of a scan whose keys lie outside of what the
//! build side of a join has need not be read.
//!
//! The least and the greatest key of a build side become a predicate of the scan on the probe side,
//! which prunes by it as by any other. A build side without keys prunes all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, UInt64Type};

use super::QueryRun;
use super::fold::fold_batches;
use super::lane::Lane;
use super::steps::fold;
use crate::error::{Error, Result};
use crate::expr::{AggregateFunction, BinaryOp, JoinKind, TypedExpr, TypedKind};
use crate::memory::BatchStore;
use crate::metrics::Meter;
use crate::operators::{
    AggregateSpec, FloatSums, GroupByPhase, GroupBySpec, HashJoinSpec, OperatorSpec,
};
use crate::pipeline::{Pipeline, ScanSpec, Source};
use crate::storage::Dataset;
use crate::types::{Field, Literal, Schema, Semantics, decimal_parts};

/// Fewest rows of a scan for which bounds are looked for: below, reading is cheaper.
const SCAN_ROWS_MIN: u64 = 100_000;

/// The least and the greatest value of each key of a build side, where they are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bounds {
    keys: Vec<Option<(Literal, Literal)>>,
    /// Whether some key has no value at all, so that nothing matches.
    nothing: bool,
}

impl Bounds {
    /// The bounds of the rows in a store, which stay there; none if a backend cannot tell them.
    ///
    /// # Errors
    /// As bringing batches back, and as the operator `group_by`.
    pub(super) fn of(
        run: &QueryRun,
        number: usize,
        lane: &Lane,
        (spec, meter): (&HashJoinSpec, &Arc<Meter>),
        store: &BatchStore,
    ) -> Result<Option<Bounds>> {
        let types = spec
            .build_keys
            .iter()
            .map(|&key| spec.build.field(key).data_type());
        if spec.null_equals_null || !types.clone().all(is_bounded) {
            return Ok(None);
        }
        let mut aggregates = Vec::new();
        let mut fields = Vec::new();
        for (&key, data_type) in spec.build_keys.iter().zip(types) {
            for function in [AggregateFunction::Min, AggregateFunction::Max] {
                let name = format!("bound_{}", aggregates.len());
                fields.push(Field::new(name, data_type.clone(), true));
                aggregates.push(AggregateSpec {
                    function,
                    input: Some(key),
                });
            }
        }
        let bounds = OperatorSpec::GroupBy(GroupBySpec {
            input: spec.build.clone(),
            output: Arc::new(Schema::new(fields)),
            group_keys: Vec::new(),
            aggregates,
            semantics: Semantics::default(),
            float_sums: FloatSums::default(),
            phase: GroupByPhase::Complete,
        });
        if run.backend.instantiate(&bounds).is_err() {
            return Ok(None);
        }
        let step = fold(run, number, bounds, meter)?;
        let batches = fold_batches(run, lane, &step, store.batches())?;
        let Some(row) = batches.into_iter().next() else {
            return Ok(None);
        };
        Bounds::from_row(&lane.download(row)?).map(Some)
    }

    fn from_row(row: &RecordBatch) -> Result<Bounds> {
        let mut keys = Vec::with_capacity(row.num_columns() / 2);
        let mut nothing = false;
        for pair in row.columns().chunks(2) {
            let [low, high] = pair else {
                continue;
            };
            nothing |= low.is_empty() || low.is_null(0);
            keys.push(match nothing {
                true => None,
                false => literal(low)?.zip(literal(high)?),
            });
        }
        Ok(Bounds { keys, nothing })
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

impl QueryRun {
    /// True if the scan of some probe side is worth pruning by what a pipeline builds.
    pub(super) fn wants_bounds(&self, number: usize) -> bool {
        self.dynamic_filters
            && self.pipelines.iter().any(|pipeline| {
                let large = |scan: &ScanSpec| {
                    Dataset::open(&scan.files).is_ok_and(|data| data.rows() >= SCAN_ROWS_MIN)
                };
                !joins_that_drop(pipeline, Some(number - 1)).is_empty()
                    && matches!(&pipeline.source, Source::Scan(scan) if large(scan))
            })
    }

    /// A pipeline's scan with what the built sides of its joins say of its rows.
    pub(super) fn narrowed(&self, pipeline: &Pipeline, scan: &ScanSpec) -> ScanSpec {
        let mut narrowed = scan.clone();
        for (built, join, columns) in joins_that_drop(pipeline, None) {
            let Some(bounds) = self.bounds_of(built + 1) else {
                continue;
            };
            for (column, (key, bound)) in
                columns.iter().zip(join.probe_keys.iter().zip(&bounds.keys))
            {
                let data_type = join.probe.field(*key).data_type();
                let (Some(column), Some((low, high))) = (column, bound) else {
                    continue;
                };
                let of = |op, literal: &Literal| compare(op, *column, literal, data_type);
                narrowed.predicate = Some(and(
                    narrowed.predicate.take(),
                    and(
                        Some(of(BinaryOp::GreaterOrEqual, low)),
                        of(BinaryOp::LessOrEqual, high),
                    ),
                ));
            }
            if bounds.nothing {
                narrowed.predicate = Some(TypedExpr {
                    kind: TypedKind::Literal(Literal::Boolean(false)),
                    data_type: DataType::Boolean,
                });
            }
        }
        narrowed
    }
}

/// The joins of a pipeline that drop probe rows without a match, and can do so at the scan: the
/// pipeline that builds (that one alone, if it is given), the join, and the files' columns that its
/// probe keys are.
fn joins_that_drop(
    pipeline: &Pipeline,
    builder: Option<usize>,
) -> Vec<(usize, &HashJoinSpec, Vec<Option<usize>>)> {
    let mut joins = Vec::new();
    for (index, transform) in pipeline.transforms.iter().enumerate() {
        let (OperatorSpec::HashJoinProbe(join), Some(built)) = (&transform.spec, transform.built)
        else {
            if matches!(&transform.spec, OperatorSpec::NestedLoopJoinProbe(join) if join.kind.keeps_build_rows())
            {
                break;
            }
            continue;
        };
        let drops = matches!(
            join.kind,
            JoinKind::Inner | JoinKind::Semi | JoinKind::Right
        );
        if drops && builder.is_none_or(|builder| builder == built) {
            let columns = pipeline.scan_columns(index, &join.probe_keys);
            if columns.iter().any(Option::is_some) {
                joins.push((built, join, columns));
            }
        }
        // A row that is missing here would leave its build row without a match, which leaves then.
        if join.kind.keeps_build_rows() {
            break;
        }
    }
    joins
}

fn compare(op: BinaryOp, column: usize, literal: &Literal, data_type: &DataType) -> TypedExpr {
    TypedExpr {
        kind: TypedKind::Compare {
            op,
            left: Box::new(TypedExpr::column(column, data_type.clone())),
            right: Box::new(TypedExpr {
                kind: TypedKind::Literal(literal.clone()),
                data_type: data_type.clone(),
            }),
        },
        data_type: DataType::Boolean,
    }
}

fn and(left: Option<TypedExpr>, right: TypedExpr) -> TypedExpr {
    match left {
        None => right,
        Some(left) => TypedExpr {
            kind: TypedKind::And(Box::new(left), Box::new(right)),
            data_type: DataType::Boolean,
        },
    }
}
