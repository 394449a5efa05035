//! Limits: which rows leave a pipeline that has one.

use std::sync::Arc;

use super::QueryRun;
use super::link::{Output, Rows};
use super::pipeline::{Stages, sole};
use super::source::Units;
use super::watch::{gave, took};
use super::worker::End;
use crate::error::Result;
use crate::memory::Batch;
use crate::metrics::{Meter, StepKind};
use crate::network::{Capacity, Delivery, Receiver};
use crate::pipeline::LimitSpec;

/// Takes rows until there are enough. Where it matters which, they come in order.
async fn take(limit: LimitSpec, incoming: Receiver<Rows>, meter: Arc<Meter>) -> Result<Vec<Rows>> {
    let enough = limit.skip.saturating_add(limit.rows);
    let (mut taken, mut count) = (Vec::new(), 0u64);
    while count < enough {
        let Some(rows) = incoming.receive().await? else {
            return Ok(cut(limit, taken));
        };
        count += rows.batch.num_rows() as u64;
        took(&meter, &Batch::host(rows.batch.clone()));
        taken.push(rows);
    }
    incoming.drain();
    Ok(cut(limit, taken))
}

/// The rows behind those to skip, no more than the limit, in the order of the input.
fn cut(limit: LimitSpec, mut taken: Vec<Rows>) -> Vec<Rows> {
    taken.sort_by_key(|rows| rows.sequence);
    let (mut skip, mut wanted) = (limit.skip, limit.rows);
    let mut kept = Vec::with_capacity(taken.len());
    for mut rows in taken {
        let all = rows.batch.num_rows() as u64;
        let start = skip.min(all);
        skip -= start;
        let count = wanted.min(all - start);
        wanted -= count;
        if count == 0 {
            continue;
        }
        if count < all {
            // Both are at most the batch's rows, which are a `usize`.
            rows.batch = rows.batch.slice(start as usize, count as usize);
        }
        kept.push(rows);
    }
    kept
}

/// Runs a pipeline's stages and hands on what a limit leaves of their rows.
///
/// # Errors
/// The first error of any worker.
pub(super) async fn limited(
    run: &Arc<QueryRun>,
    mut stages: Stages,
    units: Units,
    limit: LimitSpec,
    output: Output,
) -> Result<()> {
    let capacity = Capacity {
        messages: run.workers.max(1),
        bytes: u64::MAX,
    };
    let (sender, receiver) = run.scope.channel::<Rows>(capacity);
    let name = format!("pipeline {}, limit", stages.number);
    let step = stages.step_count();
    let meter = run.meter(
        (stages.number, step),
        (StepKind::Limit, "limit"),
        None,
        None,
    );
    let taking = take(limit, receiver, Arc::clone(&meter));
    let taking = run.scope.spawn_part(name, taking);
    let sender = Arc::new(sender);
    stages
        .all(units, || End::Counted(Arc::clone(&sender)))
        .await?;
    sole(sender)?.finish();
    let lane = run.lane(&stages.track)?;
    for rows in taking.await? {
        gave(&meter, &Batch::host(rows.batch.clone()));
        let sent = match &output {
            Output::Result(result) => result.send(rows).await?,
            Output::Links(_) | Output::Exchange(_) | Output::Kept(_) => {
                output
                    .send(run, &lane, rows.sequence, Batch::host(rows.batch))
                    .await?
            }
        };
        if sent == Delivery::Unwanted {
            break;
        }
    }
    output.finish(run, lane.track()).await
}
