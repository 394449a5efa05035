//! Ranks and how they talk: one rank is one process with one device.
//!
//! A [`Communicator`] moves messages and computes nothing. Every message belongs to an operation of a
//! query ([`OperationId`]), which all ranks number alike, since they run the same plans in the same
//! order; the first operation of a query compares the plans ([`agree`]). [`Single`] is the world of one
//! rank, [`LocalWorld`] has several in one process; communicators over TCP and NCCL come later and
//! stand beside them. Collectives are made of messages: [`all_gather`], [`barrier`].

#![forbid(unsafe_code)]

mod collectives;
mod local;
mod single;

pub use collectives::{agree, all_gather, barrier};
pub use local::{LocalRank, LocalWorld};
pub use single::Single;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::error::Result;

/// What a communicator promises to have done later.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// An operation of a query in which all ranks take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId {
    /// The query, by its number among those that the ranks run together.
    pub query: u64,
    /// The operation, by its number in the query.
    pub number: u32,
}

/// The ranks of a query, and the messages between them.
pub trait Communicator: Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> u32;

    /// How many ranks there are.
    fn world(&self) -> u32;

    /// Sends a message to a rank; waits while that one is far behind. Messages of one operation from
    /// one rank to another arrive in order.
    ///
    /// # Errors
    /// `PeerLost` if the rank is gone, `Cancelled` after an abort of the query.
    fn send(&self, operation: OperationId, to: u32, message: Bytes) -> Pending<'_, ()>;

    /// The next message of an operation, and who sent it; waits for it.
    ///
    /// # Errors
    /// `PeerLost` if a rank is gone, `Cancelled` after an abort of the query.
    fn receive(&self, operation: OperationId) -> Pending<'_, (u32, Bytes)>;

    /// Ends all operations of a query, here and on all other ranks, with this cause.
    fn abort(&self, query: u64, cause: &str);

    /// Says that this rank has ended a query: what is left of its messages goes.
    fn forget(&self, query: u64);
}

/// What of `items` is this rank's: every `world`-th, from its own number on (round robin).
pub fn share_of_rank<T>(comm: &dyn Communicator, items: Vec<T>) -> Vec<T> {
    let (rank, world) = (comm.rank() as usize, comm.world().max(1) as usize);
    items.into_iter().skip(rank).step_by(world).collect()
}

/// What of `items` is this rank's: a stretch of them, rank after rank in their order.
pub fn stretch_of_rank<T>(comm: &dyn Communicator, items: Vec<T>) -> Vec<T> {
    let (rank, world) = (comm.rank() as usize, comm.world().max(1) as usize);
    let start_of = |rank: usize| items.len() * rank / world;
    let (start, end) = (start_of(rank), start_of(rank + 1));
    items.into_iter().skip(start).take(end - start).collect()
}

#[cfg(test)]
mod tests;
