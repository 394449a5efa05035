//! Collectives made of messages.

use bytes::Bytes;

use super::{Communicator, OperationId};
use crate::error::{Error, Result};

/// Every rank's bytes, in the order of the ranks.
///
/// # Errors
/// As [`Communicator::send`] and [`Communicator::receive`].
pub async fn all_gather(
    comm: &dyn Communicator,
    operation: OperationId,
    own: Bytes,
) -> Result<Vec<Bytes>> {
    let (rank, world) = (comm.rank(), comm.world());
    let mut all = vec![None; world as usize];
    for other in (0..world).filter(|other| *other != rank) {
        comm.send(operation, other, own.clone()).await?;
    }
    for _ in 1..world {
        let (from, bytes) = comm.receive(operation).await?;
        let place = all.get_mut(from as usize).filter(|place| place.is_none());
        match place {
            Some(place) => *place = Some(bytes),
            None => {
                return Err(Error::invalid(
                    "all-gather",
                    format!("rank {from} spoke twice"),
                    "",
                ));
            }
        }
    }
    if let Some(place) = all.get_mut(rank as usize) {
        *place = Some(own);
    }
    let missing = || Error::invalid("all-gather", "a rank is missing", "");
    all.into_iter()
        .map(|bytes| bytes.ok_or_else(missing))
        .collect()
}

/// Returns once every rank has called it.
///
/// # Errors
/// As [`all_gather`].
pub async fn barrier(comm: &dyn Communicator, operation: OperationId) -> Result<()> {
    all_gather(comm, operation, Bytes::new()).await.map(drop)
}

/// Checks that all ranks are about to do the same, as this text says it.
///
/// # Errors
/// `InvalidInput` naming both texts if another rank has another one; as [`all_gather`].
pub async fn agree(comm: &dyn Communicator, operation: OperationId, text: &str) -> Result<()> {
    let all = all_gather(comm, operation, Bytes::from(text.to_string())).await?;
    let other = all
        .iter()
        .zip(0..)
        .find(|(bytes, _)| bytes.as_ref() != text.as_bytes());
    let Some((bytes, rank)) = other else {
        return Ok(());
    };
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cause = format!(
        "rank {} runs `{}`, and rank {rank} runs `{}`",
        comm.rank(),
        line(text),
        line(&String::from_utf8_lossy(bytes))
    );
    let remedy = "run the same queries in the same order on every rank";
    Err(Error::invalid("ranks", cause, remedy))
}
