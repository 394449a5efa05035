//! `nested_loop_join` by kernels; the contract is [`NestedLoopJoinSpec`].
//!
//! The build side is that of `hash_join`, without a table. Where the condition compares what the probe
//! side has with what the build side has, each side's operands are evaluated once per row, and one
//! kernel compares all pairs. Else pairs of row numbers are made a tile at a time, the condition's
//! columns gathered by them and the condition evaluated; only the row numbers of matches are kept.
//! What becomes of matches is as in `hash_join`.

use std::sync::Arc;

use super::Shared;
use super::append::absent;
use super::batch::CudaBatch;
use super::evaluate::Evaluator;
use super::hash_join::{HashJoinProbe, Join, JoinBuilt, Pairs, invert};
use crate::error::Result;
use crate::expr::{BinaryOp, TypedExpr, TypedKind};
use crate::kernels::append::append_rows;
use crate::kernels::filter::filter_compact;
use crate::kernels::hash_join::JoinMarks;
use crate::kernels::nested_loop_join::{Comparison, Comparisons, nested_loop_join_pairs};
use crate::kernels::{DeviceColumn, DeviceRows, Status, abi};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::operators::{
    Context, HashJoinSpec, JoinKind, NestedLoopJoinSpec, Transform, too_many_output_rows,
};
use crate::types::{DataType, PhysicalType, is_text};

pub(super) struct NestedLoopJoinProbe {
    shared: Arc<Shared>,
    spec: HashJoinSpec,
    join: HashJoinProbe,
}

impl NestedLoopJoinProbe {
    pub(super) fn new(shared: Arc<Shared>, spec: &NestedLoopJoinSpec) -> Self {
        let spec = spec.without_keys();
        NestedLoopJoinProbe {
            join: HashJoinProbe::new(Arc::clone(&shared), &spec),
            shared,
            spec,
        }
    }
}

fn check_rows(rows: u64) -> Result<()> {
    match rows > ROWS_PER_BATCH_MAX {
        true => Err(too_many_output_rows(
            "nested_loop_join",
            rows,
            ROWS_PER_BATCH_MAX,
        )),
        false => Ok(()),
    }
}

/// How the left operand may compare with the right one.
fn accepts(op: BinaryOp) -> u32 {
    match op {
        BinaryOp::NotEqual => abi::NESTED_LOOP_JOIN_BELOW | abi::NESTED_LOOP_JOIN_ABOVE,
        BinaryOp::Less => abi::NESTED_LOOP_JOIN_BELOW,
        BinaryOp::LessOrEqual => abi::NESTED_LOOP_JOIN_BELOW | abi::NESTED_LOOP_JOIN_EQUAL,
        BinaryOp::Greater => abi::NESTED_LOOP_JOIN_ABOVE,
        BinaryOp::GreaterOrEqual => abi::NESTED_LOOP_JOIN_ABOVE | abi::NESTED_LOOP_JOIN_EQUAL,
        _ => abi::NESTED_LOOP_JOIN_EQUAL,
    }
}

/// The same with the operands changed round.
fn turned(accepts: u32) -> u32 {
    let mut turned = accepts & abi::NESTED_LOOP_JOIN_EQUAL;
    if accepts & abi::NESTED_LOOP_JOIN_BELOW != 0 {
        turned |= abi::NESTED_LOOP_JOIN_ABOVE;
    }
    if accepts & abi::NESTED_LOOP_JOIN_ABOVE != 0 {
        turned |= abi::NESTED_LOOP_JOIN_BELOW;
    }
    turned
}

/// Whether all columns that an expression reads are allowed.
fn reads_only(expr: &TypedExpr, allowed: &dyn Fn(usize) -> bool) -> bool {
    let own = match expr.kind {
        TypedKind::Column(index) => allowed(index),
        _ => true,
    };
    let mut operands = expr.children().into_iter();
    own && operands.all(|operand| reads_only(operand, allowed))
}

/// Operands of a comparison: of the probe side, of the build side, and how they may compare.
type Operands<'e> = (&'e TypedExpr, &'e TypedExpr, u32);

/// Splits a condition into comparisons of operands of the probe side (columns below `width`) with
/// operands of the build side; false if it is anything else. Strings are left out, whose codes have
/// no order and depend on the batch.
fn split_condition<'e>(
    condition: &'e TypedExpr,
    width: usize,
    into: &mut Vec<Operands<'e>>,
) -> bool {
    match &condition.kind {
        TypedKind::And(left, right) => {
            split_condition(left, width, into) && split_condition(right, width, into)
        }
        TypedKind::Compare { op, left, right } => {
            let is_value =
                |expr: &TypedExpr| !is_text(&expr.data_type) && expr.data_type != DataType::Null;
            let of_probe = |expr: &TypedExpr| reads_only(expr, &|column| column < width);
            let of_build = |expr: &TypedExpr| reads_only(expr, &|column| column >= width);
            if !is_value(left) || !is_value(right) || into.len() == Comparisons::COUNT_MAX {
                return false;
            }
            if of_probe(left) && of_build(right) {
                into.push((left, right, accepts(*op)));
            } else if of_build(left) && of_probe(right) {
                into.push((right, left, turned(accepts(*op))));
            } else {
                return false;
            }
            true
        }
        _ => false,
    }
}

/// The condition as comparisons, each operand evaluated; none if it is no such condition.
fn comparisons(join: &Join, probe_rows: u64, build_rows: u64) -> Result<Option<Comparisons>> {
    let mut operands = Vec::new();
    let width = join.spec.probe.fields().len();
    match &join.spec.residual {
        Some(condition) if split_condition(condition, width, &mut operands) => {}
        _ => return Ok(None),
    }
    let (probe, build) = (&join.batch.columns, &join.built.batch.columns);
    // Each side as pairs of which the other side's half is absent.
    let none_of_build = build.iter().map(|column| absent(column, probe_rows));
    let none_of_probe = probe.iter().map(|column| absent(column, build_rows));
    let of_probe = probe.iter().cloned().chain(none_of_build).collect();
    let of_build = none_of_probe.chain(build.iter().cloned()).collect();
    let flat = |columns: Vec<DeviceColumn>, rows: u64| {
        let dictionary = Arc::clone(&join.batch.dictionary);
        CudaBatch::flat(columns, DeviceRows::known(rows), dictionary)
    };
    let sides = (flat(of_probe, probe_rows), flat(of_build, build_rows));
    let status = Status::new(&join.launch, "nested_loop_join")?;
    let evaluate = |batch: &CudaBatch, operand: &TypedExpr| {
        Evaluator::new(join.launch, batch, join.spec.semantics, &status).evaluate(operand)
    };
    let mut all = Vec::with_capacity(operands.len());
    for (of_probe, of_build, accepts) in operands {
        let (probe, build) = (evaluate(&sides.0, of_probe)?, evaluate(&sides.1, of_build)?);
        if probe.physical() != build.physical() || !Comparisons::takes(probe.physical()) {
            return Ok(None);
        }
        all.push(Comparison {
            probe,
            build,
            accepts,
        });
    }
    join.shared.watch(join.context.stream, status);
    Comparisons::new(all, probe_rows, build_rows).map(Some)
}

/// All pairs of the rows of two sides.
struct AllPairs {
    count: u64,
    build_rows: u64,
    per_tile: u64,
    /// The condition, if it is such a one and there are pairs.
    comparisons: Option<Comparisons>,
}

impl AllPairs {
    /// The pairs, tile by tile.
    fn tiles<'a>(&'a self, join: &'a Join) -> impl Iterator<Item = Result<Pairs>> + 'a {
        let firsts = (0..self.count).step_by(usize::try_from(self.per_tile).unwrap_or(usize::MAX));
        firsts.map(|first| self.tile(join, first, self.per_tile.min(self.count - first)))
    }

    fn tile(&self, join: &Join, first: u64, count: u64) -> Result<Pairs> {
        let (probe_rows, build_rows) =
            nested_loop_join_pairs(&join.launch, first, count, self.build_rows)?;
        Ok(Pairs {
            probe_rows: Some(probe_rows),
            build_rows,
            rows: DeviceRows::known(count),
        })
    }

    /// The pairs for which the condition is true. Waits once per tile.
    fn matches(&self, join: &Join) -> Result<Pairs> {
        if join.spec.residual.is_none() {
            check_rows(self.count)?;
            return self.tile(join, 0, self.count);
        }
        let launch = &join.launch;
        if let Some(comparisons) = &self.comparisons {
            let count = comparisons.count(launch)?;
            check_rows(count)?;
            let (probe_rows, build_rows) = comparisons.matches(launch, count)?;
            return Ok(Pairs {
                probe_rows: Some(probe_rows),
                build_rows,
                rows: DeviceRows::known(count),
            });
        }
        let (mut parts, mut total) = (Vec::new(), 0);
        for pairs in self.tiles(join) {
            join.context.check()?;
            let pairs = pairs?;
            let (Some(keep), Some(probe_rows)) = (join.residual(&pairs)?, &pairs.probe_rows) else {
                continue;
            };
            let both = [probe_rows, &pairs.build_rows];
            let (kept, rows) = filter_compact(launch, &keep, &both, &pairs.rows)?;
            let rows = rows.resolve(launch)?;
            join.shared.settle(launch)?; // the condition's status words do not pile up
            total += rows;
            check_rows(total)?;
            if rows > 0 {
                // Copied, so that what is kept has the size of the matches, not of the tile.
                parts.push((append_rows(launch, &[(&kept, rows)])?, rows));
            }
        }
        let parts: Vec<_> = parts
            .iter()
            .map(|(columns, rows)| (columns.as_slice(), *rows))
            .collect();
        let mut columns = append_rows(launch, &parts)?.into_iter();
        let none = || DeviceColumn::scalar(PhysicalType::UInt32, Some(0), 0); // of no null either
        Ok(Pairs {
            probe_rows: Some(columns.next().unwrap_or_else(none)),
            build_rows: columns.next().unwrap_or_else(none),
            rows: DeviceRows::known(total),
        })
    }

    /// Whether each probe row has a match: a Boolean column.
    fn found(&self, join: &Join) -> Result<DeviceColumn> {
        let (launch, rows) = (&join.launch, join.batch.rows.max());
        if join.spec.residual.is_none() {
            let any = Some(u128::from(self.build_rows > 0));
            return Ok(DeviceColumn::scalar(PhysicalType::Boolean, any, rows));
        }
        let marks = JoinMarks::new(launch, rows)?;
        if let Some(comparisons) = &self.comparisons {
            comparisons.mark(launch, &marks)?;
            return marks.column(launch);
        }
        for pairs in self.tiles(join) {
            join.context.check()?;
            let pairs = pairs?;
            let keep = join.residual(&pairs)?;
            if let Some(probe_rows) = &pairs.probe_rows {
                marks.mark(launch, probe_rows, keep.as_ref(), &pairs.rows)?;
            }
            join.shared.settle(launch)?;
        }
        marks.column(launch)
    }
}

impl Transform for NestedLoopJoinProbe {
    fn next(
        &self,
        context: &Context,
        built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let batch = CudaBatch::of(&batch)?;
        let join = Join {
            launch: self.shared.launch(context),
            context,
            spec: &self.spec,
            shared: &self.shared,
            built: JoinBuilt::of(built)?,
            batch,
        };
        let probe_rows = batch.rows.resolve(&join.launch)?;
        let build_rows = join.built.batch.rows.max();
        let count = probe_rows * build_rows;
        let tuning = &self.shared.join_tuning;
        let compares = count > 0 && !tuning.force_pairs;
        let pairs = AllPairs {
            count,
            build_rows,
            per_tile: tuning.pairs_per_tile.max(1),
            comparisons: match compares {
                true => comparisons(&join, probe_rows, build_rows)?,
                false => None,
            },
        };
        let (columns, rows) = if self.spec.kind.gives_build_rows() {
            let matches = pairs.matches(&join)?;
            join.mark_build_rows(&matches)?;
            match self.spec.kind.keeps_probe_rows() {
                true => join.with_unmatched(&matches)?,
                false => (join.gather(&matches, &self.spec.projection)?, matches.rows),
            }
        } else {
            let found = pairs.found(&join)?;
            let found = match self.spec.kind {
                JoinKind::Anti => invert(&join.launch, &found, &batch.rows)?,
                _ => found,
            };
            join.select(&found)?
        };
        Ok(Some(self.join.batch_of(columns, rows, batch)))
    }

    fn finish(&self, context: &Context, built: Option<&Batch>) -> Result<Option<Batch>> {
        self.join.finish(context, built)
    }
}
