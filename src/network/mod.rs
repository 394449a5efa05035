//! The network of a query: actors that exchange messages over bounded channels.
//!
//! A [`Scope`] is the life of one query: it starts actors on an [`ActorPool`] and ends with the
//! last of them, or aborts them all at the first error. A [channel](Scope::channel) holds at most
//! its [`Capacity`], so that a fast sender waits for a slow receiver (backpressure); a [`Gate`]
//! holds one value for many; a [`Throttle`] lets only some pass at a time; [`fanout`] repeats
//! messages; a [`Lineariser`] restores their order. Every wait is for work, an abort or a deadline.
//!
//! An actor is a future on a thread of the pool, so it may compute between two waits for as long as
//! it likes, and it must not block on another actor. A [seeded](ActorPool::seeded) pool runs the
//! same actors on one thread, in an order that a seed draws and with time that jumps: a failure
//! that depends on the order is one number.
//!
//! This room knows no column and no device. `scope` is where to read first, `wait` is where
//! wake-ups are, `ready` and `actor` are the executor.

#![forbid(unsafe_code)]

mod actor;
mod bounded;
mod clock;
mod fanout;
mod gate;
mod handle;
mod life;
mod lineariser;
mod pool;
mod ready;
mod scope;
mod seeded;
mod sync;
mod throttle;
mod wait;

pub use bounded::{Capacity, Delivery, Metadata, Receiver, Sender, Weigh};
pub use clock::{Clock, SimulatedClock, SystemClock, TimerKey};
pub use fanout::fanout;
pub use gate::{Gate, GateReader};
pub use handle::Handle;
pub use lineariser::Lineariser;
pub use pool::ActorPool;
pub use scope::{Canceller, Outside, Registration, Scope};
pub use throttle::{Permit, Throttle};
