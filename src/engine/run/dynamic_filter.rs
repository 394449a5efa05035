//! Filters that a query finds out while it runs: rows of a scan whose keys no build side has need not
//! be read.
//!
//! The least and the greatest key of a build side become a predicate of the scan on the probe side,
//! which prunes by it as by any other, and by each key where they are few. A Bloom filter of the keys
//! drops rows as soon as their key is decoded. A build side without keys prunes all. What is known of
//! the keys is in `build_keys`.

use std::sync::Arc;

use super::QueryRun;
use crate::expr::{BinaryOp, JoinKind, TypedExpr, TypedKind};
use crate::metrics::{Choice, KeyFilterRecord};
use crate::operators::{HashJoinSpec, OperatorSpec};
use crate::pipeline::{Pipeline, ScanSpec, Source};
use crate::storage::{Dataset, KeyFilter};
use crate::types::{DataType, Literal};

/// When and how build sides filter scans.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct FilterOptions {
    /// Whether they do.
    pub(in crate::engine) on: bool,
    /// Fewest rows of a scan for which keys are looked at.
    pub(in crate::engine) scan_rows_min: u64,
    /// Most bytes of a Bloom filter; 0: there is none.
    pub(in crate::engine) bloom_bytes_max: u64,
    /// Most rows of a build side for one, as a share of the scan's rows.
    pub(in crate::engine) threshold: f64,
    /// Batches of a scan that tell whether one pays; 0: it is taken for granted.
    pub(in crate::engine) sample_batches: u64,
}

impl FilterOptions {
    /// Fewest rows of a scan for which keys are looked at: below, reading is cheaper.
    pub(in crate::engine) const SCAN_ROWS_MIN: u64 = 100_000;
}

/// The scans that the keys of a build side may filter.
pub(super) struct Filtered {
    /// Rows of the largest one.
    pub(super) scan_rows: u64,
    /// Whether each key is a column of one.
    pub(super) keys: Vec<bool>,
}

/// What a scan reads, with what build sides say of its rows.
pub(super) struct Narrowed {
    pub(super) scan: ScanSpec,
    pub(super) filters: Vec<Arc<KeyFilter>>,
}

impl QueryRun {
    /// The scans that are worth filtering by what a pipeline builds, if there are any.
    pub(super) fn filtered_by(&self, number: usize) -> Option<Filtered> {
        let mut found: Option<Filtered> = None;
        for pipeline in self.pipelines.iter().filter(|_| self.filters.on) {
            let Source::Scan(scan) = &pipeline.source else {
                continue;
            };
            let rows = || Dataset::open(&scan.files).map_or(0, |data| data.rows());
            for (_, _, columns) in joins_that_drop(pipeline, Some(number - 1)) {
                let scan_rows = rows();
                if scan_rows < self.filters.scan_rows_min {
                    continue;
                }
                let keys = columns.iter().map(Option::is_some);
                found = Some(match found {
                    None => Filtered {
                        scan_rows,
                        keys: keys.collect(),
                    },
                    Some(before) => Filtered {
                        scan_rows: before.scan_rows.max(scan_rows),
                        keys: before.keys.iter().zip(keys).map(|(a, b)| *a || b).collect(),
                    },
                });
            }
        }
        found
    }

    /// A pipeline's scan with what the built sides of its joins say of its rows.
    pub(super) fn narrowed(&self, number: usize, pipeline: &Pipeline, scan: &ScanSpec) -> Narrowed {
        let mut scan = scan.clone();
        let mut filters = Vec::new();
        for (built, join, columns) in joins_that_drop(pipeline, None) {
            let builder = built + 1;
            let Some(known) = self.keys_of(builder) else {
                continue;
            };
            if known.nothing {
                self.decide(number, Choice::NoKeys { builder });
                scan.predicate = Some(TypedExpr {
                    kind: TypedKind::Literal(Literal::Boolean(false)),
                    data_type: DataType::Boolean,
                });
                continue;
            }
            for (column, (key, known)) in
                columns.iter().zip(join.probe_keys.iter().zip(&known.keys))
            {
                let Some(column) = *column else {
                    continue;
                };
                let data_type = join.probe.field(*key).data_type();
                if let Some((low, high)) = &known.bounds {
                    let of = |op, literal: &Literal| compare(op, column, literal, data_type);
                    scan.predicate = Some(and(
                        scan.predicate.take(),
                        and(
                            Some(of(BinaryOp::GreaterOrEqual, low)),
                            of(BinaryOp::LessOrEqual, high),
                        ),
                    ));
                }
                if let Some(set) = &known.set {
                    let sample = self.filters.sample_batches;
                    filters.push(Arc::new(KeyFilter::new(column, Arc::clone(set), sample)));
                }
                let record = KeyFilterRecord {
                    column: scan.file_schema.field(column).name().clone(),
                    builder,
                    bounds: known.bounds.is_some(),
                    keys: known.set.as_ref().and_then(|set| set.count()),
                    bloom: known.bloom.clone(),
                };
                self.decide(number, Choice::KeyFilter(record));
            }
        }
        Narrowed { scan, filters }
    }

    /// Says what the first batches of a scan said of its filters.
    pub(super) fn decide_sampled(&self, number: usize, filters: &[Arc<KeyFilter>]) {
        let Some(Source::Scan(scan)) = self.pipelines.get(number - 1).map(|p| &p.source) else {
            return;
        };
        for filter in filters {
            let (rows, passed) = filter.sampled();
            if rows > 0 {
                let choice = Choice::KeyFilterSampled {
                    column: scan.file_schema.field(filter.column()).name().clone(),
                    rows,
                    passed,
                    pays: filter.pays(),
                };
                self.decide(number, choice);
            }
        }
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
        // Where a null equals a null, a row without a key may have a match.
        let drops = drops && !join.null_equals_null;
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
