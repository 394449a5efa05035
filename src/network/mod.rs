//! Bounded channels between the actors of a query.
//!
//! A [`channel`] holds at most its capacity, so that a fast sender waits for a slow receiver
//! (backpressure). How a channel ends is explicit: a sender *finishes*, a receiver *drains*, and
//! anybody *shuts down* on an error. A sender that is dropped without finishing is an error at
//! the receiver, never an end of the stream. This room knows no column and no device; threads
//! wait here, async actors are to come.

#![forbid(unsafe_code)]

mod channel;

pub use channel::{Delivery, Receiver, Sender, channel};
