//! How a query ends on several ranks: well on all of them, anew on all, or with an error on all.
//!
//! A rank whose backend refuses something in the midst of a query starts it anew, and cannot do that
//! alone. So, when a query has ended on a rank, that rank says how, hears how it ended on the others,
//! and all come to one verdict. A rank whose rows somebody has seen already cannot start anew; it says
//! so and does not wait.

use std::sync::Arc;

use bytes::Bytes;

use super::run::{QueryRun, Refusals};
use super::{Engine, threads};
use crate::comm::OperationId;
use crate::error::{Error, ErrorKind, Result};
use crate::network::Scope;

/// Of the query numbers in which ranks vote: those of queries, with this bit.
const VOTES: u64 = 1 << 63;

/// How a query ended on a rank.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Vote {
    /// Well; it can start anew.
    Done,
    /// Well, and somebody has its rows.
    Given,
    /// Its backend refused these pipelines, which the CPU's can run.
    Refused(Refusals),
    /// Before its end, since somebody wanted no more, or another rank said so.
    Ended,
    /// With an error.
    Failed(String),
}

impl Vote {
    /// Of a rank that may start the query anew.
    fn of<T>(outcome: &Result<T>, refused: Option<Refusals>) -> Vote {
        match (outcome, refused) {
            (Ok(_), _) => Vote::Done,
            (Err(_), Some(refused)) => Vote::Refused(refused),
            (Err(error), None) if matches!(error.kind(), ErrorKind::Cancelled { .. }) => {
                Vote::Ended
            }
            (Err(error), None) => Vote::Failed(error.to_string()),
        }
    }

    /// Of a rank that will not.
    fn last<T>(outcome: &Result<T>) -> Vote {
        match outcome {
            Ok(_) => Vote::Given,
            Err(error) => Vote::Failed(error.to_string()),
        }
    }
}

/// What all ranks do about a query.
pub(super) enum Verdict<T> {
    /// It ended well.
    Done(T),
    /// It starts anew, these pipelines on the CPU.
    Anew(Refusals),
}

/// Why a query fails on all ranks: a rank, and what it says.
type Failure = (usize, String);

/// The verdict upon votes: pipelines that were refused, if the query starts anew.
fn judge(votes: &[Vote]) -> Result<Option<Refusals>, Failure> {
    let mut refusals = Refusals::new();
    for (rank, vote) in votes.iter().enumerate() {
        match vote {
            Vote::Failed(cause) => return Err((rank, cause.clone())),
            Vote::Refused(refused) => refusals.extend(refused.clone()),
            Vote::Done | Vote::Given | Vote::Ended => {}
        }
    }
    let anew = !refusals.is_empty();
    let hinders = |vote: &Vote| match anew {
        true => *vote == Vote::Given,
        false => *vote == Vote::Ended,
    };
    let cause = match anew {
        true => "it has given rows, and cannot start anew",
        false => "the query was ended there",
    };
    match votes.iter().position(hinders) {
        Some(rank) => Err((rank, cause.to_string())),
        None => Ok(anew.then_some(refusals)),
    }
}

impl Engine {
    /// What all ranks do after a query ended here as it did.
    ///
    /// # Errors
    /// Its own, or that of another rank.
    pub(super) fn verdict<T>(&self, run: &QueryRun, outcome: Result<T>) -> Result<Verdict<T>> {
        let refused = outcome.as_ref().err().and_then(|_| run.refused());
        let own = Vote::of(&outcome, refused);
        let ended = own == Vote::Ended;
        let votes = self.votes(run, own);
        // What ends a rank early is often but a channel whose other end is gone: the reason is elsewhere.
        let is_failed = |vote: &Vote| matches!(vote, Vote::Failed(_));
        let led = ended
            && votes
                .as_ref()
                .is_ok_and(|votes| votes.iter().any(is_failed));
        let judged = votes.and_then(|votes| {
            judge(&votes).map_err(|(rank, cause)| {
                let cause = format!("rank {rank}: {cause}");
                Error::new(ErrorKind::Cancelled { cause })
            })
        });
        match (judged, outcome) {
            (Ok(Some(refusals)), _) => Ok(Verdict::Anew(refusals)),
            (Ok(None), Ok(done)) => Ok(Verdict::Done(done)),
            (Err(other), Err(_)) if led => Err(other),
            (_, Err(own)) => Err(own),
            (Err(other), Ok(_)) => Err(other),
        }
    }

    /// The votes of all ranks, in their order, or the own one where it decides.
    fn votes(&self, run: &QueryRun, own: Vote) -> Result<Vec<Vote>> {
        self.say(run.query, &own);
        let operation = operation(run.query);
        let failed = matches!(own, Vote::Failed(_));
        let mut votes = vec![(self.comm.rank(), own)];
        if failed {
            self.comm.forget(operation.query);
        } else if !self.is_alone() {
            let scope = Scope::new(&self.pool, run.watched.deadline());
            run.watched.follow(&scope, &run.read.metrics);
            let (comm, within) = (Arc::clone(&self.comm), scope.clone());
            let others = scope.run(async move {
                let _outside = within.outside();
                let mut votes = Vec::new();
                for _ in 1..comm.world() {
                    let (from, message) = comm.receive(operation).await?;
                    votes.push((from, decode(&message)));
                }
                Ok(votes)
            });
            self.comm.forget(operation.query);
            votes.extend(others?);
        }
        votes.sort_by_key(|(rank, _)| *rank);
        Ok(votes.into_iter().map(|(_, vote)| vote).collect())
    }

    /// Says how a query ended here, without waiting for the others: it does not start anew.
    pub(super) fn tell<T>(&self, query: u64, outcome: &Result<T>) {
        self.say(query, &Vote::last(outcome));
        self.comm.forget(operation(query).query);
    }

    /// Sends a vote to all other ranks.
    fn say(&self, query: u64, vote: &Vote) {
        let (rank, world) = (self.comm.rank(), self.comm.world());
        let operation = operation(query);
        if let Ok(vote) = encode(vote) {
            for other in (0..world).filter(|other| *other != rank) {
                // Who is gone needs no telling.
                let _gone = threads::block_on(self.comm.send(operation, other, vote.clone()));
            }
        }
    }

    /// What is ready to run; if it is not, the other ranks need not wait.
    ///
    /// # Errors
    /// That which came in.
    pub(super) fn ready<T>(&self, query: u64, prepared: Result<T>) -> Result<T> {
        if prepared.is_err() {
            self.ended(query, &prepared);
            self.tell(query, &prepared);
        }
        prepared
    }

    /// Whether it is the only rank.
    pub(super) fn is_alone(&self) -> bool {
        self.comm.world() == 1
    }
}

fn operation(query: u64) -> OperationId {
    OperationId {
        query: query | VOTES,
        number: 0,
    }
}

fn encode(vote: &Vote) -> Result<Bytes> {
    let encoded = serde_json::to_vec(vote).map(Bytes::from);
    encoded.map_err(|cause| Error::invalid("vote", cause.to_string(), ""))
}

fn decode(message: &Bytes) -> Vote {
    let vote = serde_json::from_slice(message);
    vote.unwrap_or_else(|cause| Vote::Failed(format!("its vote cannot be read: {cause}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pipeline: usize) -> Vote {
        Vote::Refused(Refusals::from([(pipeline, "no kernel".to_string())]))
    }

    #[test]
    fn all_start_anew_with_what_any_was_refused() {
        let votes = [refused(1), Vote::Done, Vote::Ended, refused(3)];
        let anew = judge(&votes).map(|refusals| refusals.map(|all| all.into_keys().collect()));
        assert_eq!(anew, Ok(Some(vec![1, 3])));
    }

    #[test]
    fn a_failure_is_everybodys() {
        let failed = Vote::Failed("no file".to_string());
        let votes = [refused(1), failed, Vote::Done];
        assert_eq!(judge(&votes), Err((1, "no file".to_string())));
        assert_eq!(judge(&[Vote::Done, Vote::Given]), Ok(None));
        assert!(judge(&[Vote::Done, Vote::Ended]).is_err());
        assert!(judge(&[refused(1), Vote::Given]).is_err());
    }

    #[test]
    fn votes_come_back_as_they_were() {
        for vote in [Vote::Done, Vote::Ended, refused(2)] {
            let back = encode(&vote).map(|message| decode(&message));
            assert_eq!(back.ok(), Some(vote));
        }
        assert!(matches!(decode(&Bytes::from_static(b"{")), Vote::Failed(_)));
    }
}
