//! Ranks in one process: messages, collectives, aborts and losses.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use bytes::Bytes;

use super::*;
use crate::error::{Error, ErrorKind};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

const FIRST: OperationId = OperationId {
    query: 0,
    number: 0,
};

/// Runs the same on every rank of a world; dropped ranks count as lost only at the end.
fn on_ranks<T: Send>(world: u32, work: impl Fn(&LocalRank) -> T + Sync) -> Vec<T> {
    let ranks = LocalWorld::ranks(world);
    thread::scope(|scope| {
        let work = &work;
        let start = |rank: &Arc<LocalRank>| {
            let rank = Arc::clone(rank);
            scope.spawn(move || work(&rank))
        };
        let handles: Vec<_> = ranks.iter().map(start).collect();
        handles
            .into_iter()
            .filter_map(|handle| handle.join().ok())
            .collect()
    })
}

#[test]
fn shares_go_round() {
    let ranks = LocalWorld::ranks(3);
    let shares: Vec<Vec<i32>> = ranks
        .iter()
        .map(|rank| share_of_rank(rank.as_ref(), (0..8).collect()))
        .collect();
    assert_eq!(shares, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    assert_eq!(share_of_rank(&Single, vec![1, 2]), [1, 2]);
}

#[test]
fn everybody_gets_everybody_s_bytes_in_order() {
    for world in [1, 2, 5] {
        let gathered = on_ranks(world, |rank| {
            let own = Bytes::from(format!("from {}", rank.rank()));
            wait(all_gather(rank, FIRST, own)).map_err(|error| error.to_string())
        });
        let expected: Vec<Bytes> = (0..world)
            .map(|r| Bytes::from(format!("from {r}")))
            .collect();
        assert_eq!(gathered, vec![Ok(expected); world as usize]);
    }
}

#[test]
fn operations_do_not_mix_and_order_is_kept() {
    let second = OperationId {
        query: 0,
        number: 1,
    };
    let received = on_ranks(2, |rank| -> Result<Vec<Bytes>> {
        let other = 1 - rank.rank();
        for index in 0..50u8 {
            wait(rank.send(second, other, Bytes::from(vec![index])))?;
            wait(rank.send(FIRST, other, Bytes::from(vec![100 + index])))?;
        }
        let mut all = Vec::new();
        for operation in [FIRST, second] {
            for _ in 0..50 {
                all.push(wait(rank.receive(operation))?.1);
            }
        }
        Ok(all)
    });
    let expected: Vec<Bytes> = (100..150u8)
        .chain(0..50)
        .map(|i| Bytes::from(vec![i]))
        .collect();
    for all in received {
        assert_eq!(all.ok(), Some(expected.clone()));
    }
}

#[test]
fn a_full_mailbox_makes_the_sender_wait() {
    let large = Bytes::from(vec![0; 40 << 20]);
    let counts = on_ranks(2, |rank| -> Result<usize> {
        if rank.rank() == 0 {
            for _ in 0..4 {
                wait(rank.send(FIRST, 1, large.clone()))?;
            }
            return Ok(4);
        }
        let mut count = 0;
        for _ in 0..4 {
            count += usize::from(wait(rank.receive(FIRST))?.1.len() == large.len());
        }
        Ok(count)
    });
    assert!(counts.iter().all(|count| matches!(count, Ok(4))));
}

#[test]
fn an_abort_ends_the_query_everywhere_and_no_other() {
    let next = OperationId {
        query: 1,
        number: 0,
    };
    let outcomes = on_ranks(3, |rank| {
        let ended = match rank.rank() {
            2 => {
                rank.abort(0, "its disk is full");
                wait(rank.receive(FIRST)).map(drop)
            }
            _ => wait(rank.receive(FIRST)).map(drop),
        };
        rank.forget(0);
        (
            ended.err().map(|error| error.to_string()),
            wait(barrier(rank, next)).is_ok(),
        )
    });
    let cause = Some("cancelled: rank 2: its disk is full".to_string());
    assert_eq!(outcomes, vec![(cause, true); 3]);
}

#[test]
fn a_rank_that_is_gone_is_an_error_to_those_who_wait_for_it() {
    let mut ranks = LocalWorld::ranks(2);
    let gone = ranks.pop();
    drop(gone);
    let lost = |error: Option<Error>| error.map(|error| error.kind().clone());
    let kind = ErrorKind::PeerLost { rank: 1 };
    assert_eq!(
        lost(wait(ranks[0].receive(FIRST)).err()),
        Some(kind.clone())
    );
    assert_eq!(
        lost(wait(ranks[0].send(FIRST, 1, Bytes::new())).err()),
        Some(kind)
    );
}

#[test]
fn ranks_that_run_other_plans_are_told_both() {
    let answers = on_ranks(2, |rank| {
        let plan = format!("scan\n  table {}", rank.rank());
        wait(agree(rank, FIRST, &plan))
            .err()
            .map(|error| error.to_string())
    });
    assert_eq!(
        answers[0].as_deref(),
        Some(
            "ranks: rank 0 runs `scan table 0`, and rank 1 runs `scan table 1`; \
             run the same queries in the same order on every rank"
        )
    );
    assert!(answers[1].is_some());
    assert!(
        on_ranks(4, |rank| wait(agree(rank, FIRST, "same")).is_ok())
            .into_iter()
            .all(|ok| ok)
    );
}
