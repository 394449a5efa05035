//! Ranks and how they talk: one rank is one process with one device.
//!
//! A [`Communicator`] moves bytes and computes nothing. [`Single`] is the world of one rank; the
//! communicators over TCP and NCCL come later and stand beside it.

#![forbid(unsafe_code)]

use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// The ranks of a query, and the collectives that they enter together.
pub trait Communicator: Send + Sync {
    /// This process's number, from 0.
    fn rank(&self) -> u32;

    /// How many ranks there are.
    fn world(&self) -> u32;

    /// Returns once every rank has called it.
    ///
    /// # Errors
    /// `PeerLost` if a rank is gone, `Cancelled` after an abort.
    fn barrier(&self) -> Result<()>;

    /// Every rank's bytes, in the order of the ranks.
    ///
    /// # Errors
    /// As [`barrier`](Communicator::barrier).
    fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>>;

    /// Ends every collective, here and on all other ranks, with this cause.
    fn abort(&self, cause: &str);
}

/// The world of one rank.
///
/// ```
/// use pelton::comm::{Communicator, Single};
/// let comm = Single::default();
/// assert_eq!((comm.rank(), comm.world()), (0, 1));
/// assert_eq!(comm.all_gather(b"mine").unwrap(), vec![b"mine".to_vec()]);
/// ```
#[derive(Debug, Default)]
pub struct Single {
    aborted: Mutex<Option<String>>,
}

impl Single {
    fn check(&self) -> Result<()> {
        let aborted = self.aborted.lock().unwrap_or_else(PoisonError::into_inner);
        match aborted.as_ref() {
            None => Ok(()),
            Some(cause) => Err(Error::new(ErrorKind::Cancelled {
                cause: cause.clone(),
            })),
        }
    }
}

impl Communicator for Single {
    fn rank(&self) -> u32 {
        0
    }

    fn world(&self) -> u32 {
        1
    }

    fn barrier(&self) -> Result<()> {
        self.check()
    }

    fn all_gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.check()?;
        Ok(vec![bytes.to_vec()])
    }

    fn abort(&self, cause: &str) {
        let mut aborted = self.aborted.lock().unwrap_or_else(PoisonError::into_inner);
        aborted.get_or_insert_with(|| cause.to_string());
    }
}

/// What of `items` is this rank's: every `world`-th, from its own number on (round robin).
pub fn share_of_rank<T>(comm: &dyn Communicator, items: Vec<T>) -> Vec<T> {
    let (rank, world) = (comm.rank() as usize, comm.world().max(1) as usize);
    items.into_iter().skip(rank).step_by(world).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Third;

    impl Communicator for Third {
        fn rank(&self) -> u32 {
            2
        }
        fn world(&self) -> u32 {
            3
        }
        fn barrier(&self) -> Result<()> {
            Ok(())
        }
        fn all_gather(&self, _: &[u8]) -> Result<Vec<Vec<u8>>> {
            Ok(Vec::new())
        }
        fn abort(&self, _: &str) {}
    }

    #[test]
    fn shares_go_round() {
        assert_eq!(share_of_rank(&Third, (0..8).collect()), [2, 5]);
        assert_eq!(share_of_rank(&Single::default(), vec![1, 2]), [1, 2]);
    }

    #[test]
    fn an_abort_ends_every_later_collective() {
        let comm = Single::default();
        assert!(comm.barrier().is_ok());
        comm.abort("the query failed");
        comm.abort("later");
        let error = comm.barrier().err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("cancelled: the query failed"));
        assert!(comm.all_gather(b"x").is_err());
    }
}
