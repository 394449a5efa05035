//! Which values a column holds at all: sources that answer it, and evidence with their answers.

use super::{Bounds, Comparison, Evidence};
use crate::storage::interval::Outcome;

/// A source of answers that cost a read.
pub(super) trait Membership {
    /// Whether there is something to read for the comparison.
    fn can_tell(&self, comparison: &Comparison) -> bool;

    /// What the comparison may give by the values that its column holds, besides null.
    fn tell(&self, comparison: &Comparison) -> Option<Outcome>;
}

/// Evidence with the answers of a source added.
pub(super) struct WithMembership<'e> {
    pub(super) known: &'e dyn Evidence,
    pub(super) source: &'e dyn Membership,
}

impl Evidence for WithMembership<'_> {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        self.known.bounds(column)
    }

    fn membership(&self, comparison: &Comparison) -> Option<Outcome> {
        match self.known.membership(comparison) {
            Some(told) if !(told.can_be_true && told.can_be_false) => Some(told),
            told => self.source.tell(comparison).or(told),
        }
    }
}

/// The most that the source's answers could exclude. What survives this survives them all, so
/// that nothing need be read.
pub(super) struct AtBest<'e> {
    pub(super) known: &'e dyn Evidence,
    pub(super) source: &'e dyn Membership,
}

impl Evidence for AtBest<'_> {
    fn bounds(&self, column: usize) -> Option<Bounds> {
        self.known.bounds(column)
    }

    fn membership(&self, comparison: &Comparison) -> Option<Outcome> {
        if self.source.can_tell(comparison) {
            return Some(Outcome::NEVER);
        }
        self.known.membership(comparison)
    }
}
