//! Restores the order of what comes out of order.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Gives items back in the order of their sequences, which count from 0 without gaps. At most
/// `waiting_max` items wait for an earlier one: a sender that could run further ahead must be
/// held back, by a [`Throttle`](super::Throttle) for instance.
///
/// ```
/// use pelton::network::Lineariser;
/// # fn main() -> pelton::Result<()> {
/// let mut lineariser = Lineariser::new(2);
/// assert!(lineariser.push(1, 'b')?.next().is_none());
/// assert_eq!(lineariser.push(0, 'a')?.collect::<String>(), "ab");
/// lineariser.finish()
/// # }
/// ```
pub struct Lineariser<T> {
    sequence_next: u64,
    waiting: BTreeMap<u64, T>,
    waiting_max: usize,
}

impl<T> Lineariser<T> {
    /// One that begins at sequence 0.
    pub fn new(waiting_max: usize) -> Self {
        Lineariser {
            sequence_next: 0,
            waiting: BTreeMap::new(),
            waiting_max,
        }
    }

    /// Takes an item, and gives those whose turn has come; what is not taken of them comes with
    /// the next push.
    ///
    /// # Errors
    /// `InvalidInput` if the sequence was given before, or if too many items wait for an earlier
    /// one.
    pub fn push(&mut self, sequence: u64, item: T) -> Result<impl Iterator<Item = T> + '_> {
        if sequence < self.sequence_next || self.waiting.contains_key(&sequence) {
            let cause = format!("sequence {sequence} comes a second time");
            return Err(Error::invalid("the order of messages", cause, ""));
        }
        let early =
            sequence > self.sequence_next && !self.waiting.contains_key(&self.sequence_next);
        if early && self.waiting.len() >= self.waiting_max {
            let cause = format!(
                "{} messages wait for sequence {}, and {sequence} comes",
                self.waiting.len(),
                self.sequence_next
            );
            let remedy = "hold back those who run ahead, or let more wait";
            return Err(Error::invalid("the order of messages", cause, remedy));
        }
        self.waiting.insert(sequence, item);
        Ok(std::iter::from_fn(|| {
            let item = self.waiting.remove(&self.sequence_next)?;
            self.sequence_next += 1;
            Some(item)
        }))
    }

    /// How many items wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// The end: every sequence up to the greatest must have come.
    ///
    /// # Errors
    /// `InvalidInput` if items still wait for an earlier one.
    pub fn finish(self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let cause = format!(
            "the end has come, and {} messages wait for sequence {}",
            self.waiting.len(),
            self.sequence_next
        );
        Err(Error::invalid("the order of messages", cause, ""))
    }
}
