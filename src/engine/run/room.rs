//! What is done where memory is short in the midst of the work: one waits for what others give back,
//! or does it in halves.

use std::time::Duration;

use super::QueryRun;
use super::lane::Lane;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::Batch;
use crate::operators::is_too_many_output_rows;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// Rows that are not worth halving before it is known that others give nothing back.
pub(super) const FEW_ROWS: u64 = 64;

fn is_short(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Reservation { .. })
}

/// Whether half of a batch may go where all of it did not.
pub(super) fn goes_in_halves(error: &Error) -> bool {
    is_short(error) || is_too_many_output_rows(error)
}

impl QueryRun {
    /// Tries again while memory is short, as long as a reservation waits. Other actors go on
    /// meanwhile.
    ///
    /// # Errors
    /// Those of the last attempt; `Cancelled`.
    pub(super) async fn when_there_is_room<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        let until = self.scope.clock().now() + self.read.reserve_timeout;
        loop {
            match attempt() {
                Err(error) if is_short(&error) && self.scope.clock().now() < until => {
                    self.scope.sleep(PAUSE).await?;
                }
                other => return other,
            }
        }
    }
}

/// A batch in two, on the host; none if it has too few rows.
///
/// # Errors
/// What failed on the stream before, or the copy.
pub(super) fn halves(lane: &Lane, batch: Batch) -> Result<Option<[Batch; 2]>> {
    let rows = lane.download(batch)?;
    let (count, half) = (rows.num_rows(), rows.num_rows() / 2);
    if half == 0 {
        return Ok(None);
    }
    let halves = [rows.slice(0, half), rows.slice(half, count - half)];
    Ok(Some(halves.map(Batch::host)))
}
