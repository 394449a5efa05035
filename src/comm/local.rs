//! Several ranks in one process, each on threads of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;

use super::{Communicator, OperationId, Pending};
use crate::error::{Error, ErrorKind, Result};

/// Bytes that may wait in a mailbox before senders wait.
const MAILBOX_BYTES_MAX: usize = 64 << 20;

/// Messages of one operation to one rank.
#[derive(Default)]
struct Mailbox {
    messages: VecDeque<(u32, Bytes)>,
    bytes: usize,
}

#[derive(Default)]
struct State {
    mailboxes: HashMap<(u32, OperationId), Mailbox>,
    /// Why queries ended, until every rank has forgotten them.
    aborted: HashMap<u64, String>,
    /// Ranks that have ended a query, while others have not.
    ended: HashMap<u64, HashSet<u32>>,
    /// Ranks that are gone.
    lost: HashSet<u32>,
    waiting: Vec<Waker>,
}

impl State {
    fn check(&self, query: u64) -> Result<()> {
        if let Some(cause) = self.aborted.get(&query) {
            let cause = cause.clone();
            return Err(Error::new(ErrorKind::Cancelled { cause }));
        }
        Ok(())
    }
}

struct Shared {
    state: Mutex<State>,
    world: u32,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes everybody who waits for something.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits until an attempt has an answer.
    async fn until<T>(
        &self,
        mut attempt: impl FnMut(&mut State) -> Option<Result<T>>,
    ) -> Result<T> {
        poll_fn(|cx| {
            let mut state = self.lock();
            match attempt(&mut state) {
                Some(answer) => Poll::Ready(answer),
                None => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// The ranks of one process.
///
/// ```
/// use pelton::comm::{Communicator, LocalWorld};
/// let ranks = LocalWorld::ranks(3);
/// assert_eq!(ranks.iter().map(|rank| rank.rank()).collect::<Vec<_>>(), [0, 1, 2]);
/// ```
#[derive(Debug)]
pub struct LocalWorld;

impl LocalWorld {
    /// So many ranks that can talk to each other; at least one.
    pub fn ranks(world: u32) -> Vec<Arc<LocalRank>> {
        let world = world.max(1);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            world,
        });
        let rank = |rank| {
            Arc::new(LocalRank {
                shared: Arc::clone(&shared),
                rank,
            })
        };
        (0..world).map(rank).collect()
    }
}

/// One of several ranks in a process. Dropped, it is lost to the others.
pub struct LocalRank {
    shared: Arc<Shared>,
    rank: u32,
}

impl std::fmt::Debug for LocalRank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalRank({} of {})", self.rank, self.shared.world)
    }
}

impl LocalRank {
    async fn deliver(&self, operation: OperationId, to: u32, message: Bytes) -> Result<()> {
        let mut unsent = Some(message);
        self.shared
            .until(|state| {
                if let Err(error) = state.check(operation.query) {
                    return Some(Err(error));
                }
                if state.lost.contains(&to) {
                    return Some(Err(Error::new(ErrorKind::PeerLost { rank: to })));
                }
                let mailbox = state.mailboxes.entry((to, operation)).or_default();
                let bytes = unsent.as_ref().map_or(0, Bytes::len);
                let full = mailbox.bytes.saturating_add(bytes) > MAILBOX_BYTES_MAX;
                if full && !mailbox.messages.is_empty() {
                    return None;
                }
                mailbox.bytes += bytes;
                mailbox.messages.push_back((self.rank, unsent.take()?));
                Some(Ok(()))
            })
            .await?;
        self.shared.change(|_| {}); // whoever waits for a message looks again
        Ok(())
    }

    async fn take(&self, operation: OperationId) -> Result<(u32, Bytes)> {
        let taken = self
            .shared
            .until(|state| {
                if let Err(error) = state.check(operation.query) {
                    return Some(Err(error));
                }
                let place = (self.rank, operation);
                let mailbox = state.mailboxes.get_mut(&place);
                if let Some((from, message)) = mailbox.and_then(|mailbox| {
                    let (from, message) = mailbox.messages.pop_front()?;
                    mailbox.bytes -= message.len();
                    Some((from, message))
                }) {
                    return Some(Ok((from, message)));
                }
                // Who has ended the query before it left has sent all it had.
                let ended = state.ended.get(&operation.query);
                let left = |rank: &&u32| ended.is_none_or(|ended| !ended.contains(*rank));
                let rank = *state.lost.iter().filter(left).min()?;
                Some(Err(Error::new(ErrorKind::PeerLost { rank })))
            })
            .await?;
        self.shared.change(|_| {}); // whoever waits for room looks again
        Ok(taken)
    }
}

impl Communicator for LocalRank {
    fn rank(&self) -> u32 {
        self.rank
    }

    fn world(&self) -> u32 {
        self.shared.world
    }

    fn send(&self, operation: OperationId, to: u32, message: Bytes) -> Pending<'_, ()> {
        Box::pin(self.deliver(operation, to, message))
    }

    fn receive(&self, operation: OperationId) -> Pending<'_, (u32, Bytes)> {
        Box::pin(self.take(operation))
    }

    fn abort(&self, query: u64, cause: &str) {
        let cause = format!("rank {}: {cause}", self.rank);
        self.shared.change(|state| {
            state.aborted.entry(query).or_insert(cause);
        });
    }

    fn forget(&self, query: u64) {
        let (rank, world) = (self.rank, self.shared.world as usize);
        self.shared.change(|state| {
            let own =
                |(to, operation): &(u32, OperationId)| *to == rank && operation.query == query;
            state.mailboxes.retain(|place, _| !own(place));
            let ended = state.ended.entry(query).or_default();
            ended.insert(rank);
            if ended.len() + state.lost.len() >= world {
                state.ended.remove(&query);
                state.aborted.remove(&query);
                state
                    .mailboxes
                    .retain(|(_, operation), _| operation.query != query);
            }
        });
    }
}

impl Drop for LocalRank {
    fn drop(&mut self) {
        let rank = self.rank;
        self.shared.change(|state| {
            state.lost.insert(rank);
            state.mailboxes.retain(|(to, _), _| *to != rank);
        });
    }
}
