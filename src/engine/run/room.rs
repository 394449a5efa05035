//! What is done where memory is short in the midst of the work: one waits for what others give back,
//! works while nobody else does, or does it in halves.

use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// Who works for a query just now, so that one for whom there is no room can work while nobody else
/// does: two that try at one time may take from each other what each of them would need.
#[derive(Debug, Default)]
pub(in crate::engine) struct Turns(Mutex<AtWork>);

#[derive(Debug, Default)]
struct AtWork {
    count: usize,
    /// Somebody wants to work alone, or does.
    alone: bool,
    /// Turns that came to a good end.
    done: u64,
}

/// Who has it is at work.
struct Turn<'a> {
    turns: &'a Turns,
    alone: bool,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, AtWork> {
        // No code of others runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, unless somebody works alone.
    fn begin(&self) -> Option<Turn<'_>> {
        let mut at_work = self.lock();
        if at_work.alone {
            return None;
        }
        at_work.count += 1;
        Some(Turn {
            turns: self,
            alone: false,
        })
    }

    /// A turn during which nobody else begins one, unless somebody has such a turn. Those under way
    /// go on.
    fn begin_alone(&self) -> Option<Turn<'_>> {
        let mut at_work = self.lock();
        if at_work.alone {
            return None;
        }
        at_work.alone = true;
        Some(Turn {
            turns: self,
            alone: true,
        })
    }

    fn are_over(&self) -> bool {
        self.lock().count == 0
    }

    fn done(&self) -> u64 {
        self.lock().done
    }
}

impl Turn<'_> {
    fn work<T>(self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let outcome = work();
        if outcome.is_ok() {
            self.turns.lock().done += 1;
        }
        outcome
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut at_work = self.turns.lock();
        match self.alone {
            true => at_work.alone = false,
            false => at_work.count -= 1,
        }
    }
}

impl QueryRun {
    /// Does some of the query's work, once nobody works alone. What takes memory of the query's tiers
    /// and gives it back is done in turns; none begins within another.
    ///
    /// # Errors
    /// The work's; `Cancelled`.
    pub(super) async fn at_work<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        loop {
            if let Some(turn) = self.turns.begin() {
                return turn.work(work);
            }
            self.scope.sleep(PAUSE).await?;
        }
    }

    /// As [`QueryRun::at_work`], while nobody else of the query is.
    async fn alone_at_work<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let turn = loop {
            match self.turns.begin_alone() {
                Some(turn) => break turn,
                None => self.scope.sleep(PAUSE).await?,
            }
        };
        while !self.turns.are_over() {
            self.scope.sleep(PAUSE).await?;
        }
        turn.work(work)
    }

    /// Works in a turn, and tries again while memory is short: as long as a reservation waits beside
    /// others, then alone, and from the start if others came to a good end since it last was alone.
    ///
    /// # Errors
    /// Those of the last attempt; `Cancelled`.
    pub(super) async fn when_there_is_room<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        let mut seen = None;
        loop {
            let until = self.scope.clock().now() + self.read.reserve_timeout;
            while self.scope.clock().now() < until {
                match self.at_work(&attempt).await {
                    Err(error) if is_short(&error) => self.scope.sleep(PAUSE).await?,
                    other => return other,
                }
            }
            match self.alone_at_work(&attempt).await {
                Err(error) if is_short(&error) => {
                    let done = self.turns.done();
                    if seen.replace(done) == Some(done) {
                        return Err(error);
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_works_alone_lets_nobody_begin_and_others_end() {
        let turns = Turns::default();
        let (one, other) = (turns.begin(), turns.begin());
        assert!(one.is_some() && other.is_some());
        let alone = turns.begin_alone().expect("nobody else is alone");
        assert!(turns.begin().is_none() && turns.begin_alone().is_none());
        assert!(!turns.are_over());
        drop((one, other));
        assert!(turns.are_over());
        drop(alone);
        assert!(turns.begin().is_some());
    }

    #[test]
    fn only_what_came_to_a_good_end_is_done() {
        let turns = Turns::default();
        let work = |outcome: Result<()>| {
            let turn = turns.begin().expect("nobody is alone");
            let _outcome = turn.work(|| outcome);
            turns.done()
        };
        assert_eq!(work(Ok(())), 1);
        assert_eq!(work(Err(Error::invalid("work", "it failed", ""))), 1);
        assert!(turns.are_over());
    }
}
