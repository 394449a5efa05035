//! `nested_loop_join` by kernels; the contract is [`NestedLoopJoinSpec`].
//!
//! The build side is that of `hash_join`, without a table. Pairs of row numbers are made a tile at a
//! time, the condition's columns gathered by them and the condition evaluated; only the row numbers
//! of matches are kept. What becomes of matches is as in `hash_join`.

use std::sync::Arc;

use super::Shared;
use super::batch::CudaBatch;
use super::hash_join::{HashJoinProbe, Join, JoinBuilt, Pairs, invert};
use crate::error::Result;
use crate::kernels::filter::filter_compact;
use crate::kernels::hash_join::{JoinMarks, append};
use crate::kernels::nested_loop_join::nested_loop_join_pairs;
use crate::kernels::{DeviceColumn, DeviceRows};
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::operators::{
    Context, HashJoinSpec, JoinKind, NestedLoopJoinSpec, Transform, too_many_output_rows,
};
use crate::types::PhysicalType;

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

/// All pairs of the rows of two sides.
struct AllPairs {
    count: u64,
    build_rows: u64,
    per_tile: u64,
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
        let (mut parts, mut total) = (Vec::new(), 0);
        for pairs in self.tiles(join) {
            let pairs = pairs?;
            let (Some(keep), Some(probe_rows)) = (join.residual(&pairs)?, &pairs.probe_rows) else {
                continue;
            };
            let both = [probe_rows, &pairs.build_rows];
            let (kept, rows) = filter_compact(launch, &keep, &both, &pairs.rows)?;
            let rows = rows.resolve(launch)?;
            total += rows;
            check_rows(total)?;
            if rows > 0 {
                // Copied, so that what is kept has the size of the matches, not of the tile.
                parts.push((append(launch, &[(&kept, rows)])?, rows));
            }
        }
        let parts: Vec<_> = parts
            .iter()
            .map(|(columns, rows)| (columns.as_slice(), *rows))
            .collect();
        let mut columns = append(launch, &parts)?.into_iter();
        let none = || DeviceColumn::scalar(PhysicalType::UInt32, None, 0);
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
        for pairs in self.tiles(join) {
            let pairs = pairs?;
            let keep = join.residual(&pairs)?;
            if let Some(probe_rows) = &pairs.probe_rows {
                marks.mark(launch, probe_rows, keep.as_ref(), &pairs.rows)?;
            }
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
        let build_rows = join.built.batch.rows.max();
        let pairs = AllPairs {
            count: batch.rows.resolve(&join.launch)? * build_rows,
            build_rows,
            per_tile: self.shared.join_tuning.pairs_per_tile.max(1),
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
