//! Runs actors on one thread, in an order that a seed draws: the same seed, the same order.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::clock::{Clock, SimulatedClock};
use super::life::{Life, Weight, cancelled};
use super::ready::{Pick, Ready};
use super::sync::{Mutex, locked};

pub(super) struct Seeded {
    random: Mutex<u64>,
    clock: Arc<SimulatedClock>,
}

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Seeded {
            random: Mutex::new(seed),
            clock: Arc::default(),
        }
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::<SimulatedClock>::clone(&self.clock)
    }

    /// Polls actors until none of this life is left.
    pub fn drive(&self, ready: &Ready, life: &Life) {
        while life.lives() {
            match ready.pick(|count| self.index_below(count)) {
                Pick::Actor(actor) => actor.step(),
                Pick::Outside => {}
                Pick::Nothing if self.clock.advance() => {}
                Pick::Nothing => {
                    let waiting = life.names().join(", ");
                    let cause = format!("deadlock: every actor waits: {waiting}");
                    life.fail(cancelled(cause), Weight::Cause);
                }
            }
        }
    }

    /// SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
    fn index_below(&self, count: usize) -> usize {
        let mut state = locked(&self.random);
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = *state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^= word >> 31;
        usize::try_from(word % count as u64).unwrap_or(0)
    }
}
