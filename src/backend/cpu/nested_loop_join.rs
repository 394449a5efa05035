//! `nested_loop_join` on host batches; the contract is [`NestedLoopJoinSpec`].
//!
//! Every pair of rows is asked, as many at a time as fit a tile; what becomes of the matches is as
//! in a hash join whose keys are all equal.

use super::hash_join::{HashJoinBuild, HashJoinProbe, JoinTable};
use super::host_batch;
use crate::error::Result;
use crate::limits::ROWS_PER_BATCH_MAX;
use crate::memory::Batch;
use crate::operators::{Context, NestedLoopJoinSpec, Transform, too_many_output_rows};

/// Pairs that are evaluated at a time.
const TILE_PAIRS: usize = 1 << 16;

pub(super) struct NestedLoopJoinProbe {
    kind_gives_build_rows: bool,
    has_condition: bool,
    join: HashJoinProbe,
}

/// The fold of the build side.
///
/// # Errors
/// As the contract says.
pub(super) fn build(spec: &NestedLoopJoinSpec) -> Result<HashJoinBuild> {
    spec.check()?;
    Ok(HashJoinBuild::of(spec.without_keys()))
}

impl NestedLoopJoinProbe {
    /// # Errors
    /// As the contract says.
    pub(super) fn new(spec: &NestedLoopJoinSpec) -> Result<Self> {
        spec.check()?;
        Ok(NestedLoopJoinProbe {
            kind_gives_build_rows: spec.kind.gives_build_rows(),
            has_condition: spec.condition.is_some(),
            join: HashJoinProbe::of(spec.without_keys()),
        })
    }
}

impl Transform for NestedLoopJoinProbe {
    fn next(
        &self,
        context: &Context,
        built: Option<&Batch>,
        batch: Batch,
    ) -> Result<Option<Batch>> {
        let table = JoinTable::of(built)?;
        let batch = host_batch("nested_loop_join", &batch)?;
        let build_rows = table.batch.num_rows();
        let pairs = batch.num_rows() as u64 * build_rows as u64;
        let too_many = |rows: u64| match rows > ROWS_PER_BATCH_MAX && self.kind_gives_build_rows {
            true => Err(too_many_output_rows(
                "nested_loop_join",
                rows,
                ROWS_PER_BATCH_MAX,
            )),
            false => Ok(()),
        };
        if !self.has_condition {
            too_many(pairs)?; // all of them are matches
        }
        let mut matches = (Vec::new(), Vec::new());
        let mut first = 0;
        while first < pairs {
            context.check()?; // there may be any number of tiles, and no row to show for them
            let tile = first..pairs.min(first + TILE_PAIRS as u64);
            first = tile.end;
            let pair = |pair: u64| {
                let row = |row: u64| u32::try_from(row).unwrap_or(u32::MAX);
                (row(pair / build_rows as u64), row(pair % build_rows as u64))
            };
            let kept = self.join.kept(table, batch, tile.map(pair).unzip())?;
            matches.0.extend(kept.0);
            matches.1.extend(kept.1);
            if !self.kind_gives_build_rows {
                matches.1.clear(); // whether a probe row has a match is all that is asked
                matches.0.dedup();
            }
            too_many(matches.0.len() as u64)?;
        }
        self.join.joined(table, batch, matches).map(Some)
    }

    fn finish(&self, context: &Context, built: Option<&Batch>) -> Result<Option<Batch>> {
        self.join.finish(context, built)
    }
}
