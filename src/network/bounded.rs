//! Bounded channels: many senders, many receivers, a budget of messages and of bytes.
//!
//! How a channel ends is explicit. A sender *finishes*; one that is dropped without it is an error
//! at the receivers, never an end. A receiver *drains* when it wants no more, which is no error and
//! frees the senders that wait. An abort of the scope ends every wait and drops what is queued.

#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use super::life::{Life, cancelled};
use super::scope::Scope;
use super::sync::locked;
use super::wait::{Line, Shared, Side, Wakes, Way, turn};
use crate::error::Result;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a sender whose messages are unwanted should stop making them"]
pub enum Delivery {
    /// It is queued.
    Accepted,
    /// The receivers want no more; it was dropped.
    Unwanted,
}

/// How much may wait in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Messages; at least one, whatever is said here.
    pub messages: usize,
    /// Bytes. A message that is heavier still passes, alone.
    pub bytes: u64,
}

/// What a message counts against a channel's [`Capacity`].
pub trait Weigh {
    /// The bytes that the message keeps in memory.
    fn bytes(&self) -> u64;
}

impl Weigh for () {
    fn bytes(&self) -> u64 {
        0
    }
}

impl Weigh for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// Anything that the receivers should know of all messages.
pub type Metadata = Arc<dyn Any + Send + Sync>;

struct State<T> {
    life: Arc<Life>,
    capacity: Capacity,
    /// Messages with their weights.
    queue: VecDeque<(T, u64)>,
    bytes: u64,
    senders: usize,
    receivers: usize,
    drained: bool,
    failure: Option<&'static str>,
    metadata: Option<Metadata>,
    sending: Line,
    receiving: Line,
    describing: Line,
}

impl<T> State<T> {
    fn check(&self) -> Result<()> {
        self.life.check()?;
        self.failure.map_or(Ok(()), |cause| Err(cancelled(cause)))
    }

    fn failed(&self) -> bool {
        self.failure.is_some() || self.life.aborted()
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.queue.is_empty()
            || self.queue.len() < self.capacity.messages
                && self.bytes.saturating_add(bytes) <= self.capacity.bytes
    }

    fn way_to_send(&self) -> Way {
        if self.drained || self.failed() {
            return Way::All;
        }
        // The lightest message may pass; a heavier one looks again.
        if self.has_room(0) {
            Way::One
        } else {
            Way::Shut
        }
    }

    fn way_to_receive(&self) -> Way {
        if self.drained || self.failed() || (self.senders == 0 && self.queue.is_empty()) {
            return Way::All;
        }
        if self.queue.is_empty() {
            Way::Shut
        } else {
            Way::One
        }
    }

    fn way_to_metadata(&self) -> Way {
        if self.metadata.is_some() || self.drained || self.failed() || self.senders == 0 {
            return Way::All;
        }
        Way::Shut
    }

    fn pop(&mut self, wakes: &mut Wakes) -> Option<T> {
        let (message, bytes) = self.queue.pop_front()?;
        self.bytes -= bytes;
        wakes.add(self.sending.first());
        if self.senders == 0 && self.queue.is_empty() {
            wakes.add(self.receiving.all()); // the end
        }
        Some(message)
    }

    /// Tells everybody of an end; what was queued is for the caller to drop once the lock is free.
    fn end(&mut self, wakes: &mut Wakes) -> VecDeque<(T, u64)> {
        wakes.add(self.sending.all());
        wakes.add(self.receiving.all());
        wakes.add(self.describing.all());
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

/// Changes a state to an end.
fn end<T>(shared: &Shared<State<T>>, change: impl FnOnce(&mut State<T>)) {
    let mut wakes = Wakes::default();
    let _dropped; // after the lock is free: a message's drop may take long
    let mut state = locked(&shared.state);
    change(&mut state);
    _dropped = state.end(&mut wakes);
}

impl Scope {
    /// A channel that holds at most `capacity`.
    ///
    /// ```
    /// use pelton::network::{ActorPool, Capacity, Delivery, Scope};
    /// # fn main() -> pelton::Result<()> {
    /// let scope = Scope::new(&ActorPool::seeded(0), None);
    /// let capacity = Capacity { messages: 2, bytes: 1 << 20 };
    /// let (sender, receiver) = scope.channel::<Vec<u8>>(capacity);
    /// scope.run(async move {
    ///     assert_eq!(sender.send(vec![1]).await?, Delivery::Accepted);
    ///     sender.finish();
    ///     assert_eq!(receiver.receive().await?, Some(vec![1]));
    ///     assert_eq!(receiver.receive().await?, None);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn channel<T: Weigh + Send + 'static>(
        &self,
        capacity: Capacity,
    ) -> (Sender<T>, Receiver<T>) {
        let state = State {
            life: Arc::clone(self.life()),
            capacity,
            queue: VecDeque::new(),
            bytes: 0,
            senders: 1,
            receivers: 1,
            drained: false,
            failure: None,
            metadata: None,
            sending: Line::default(),
            receiving: Line::default(),
            describing: Line::default(),
        };
        let shared = Shared::new(self, state, |shared| end(shared, |_| {}));
        let sender = Sender {
            shared: Arc::clone(&shared),
            finished: false,
        };
        (sender, Receiver { shared })
    }
}

/// The sending end. Every clone must [`finish`](Sender::finish); one that is dropped without it
/// is an error at the receivers.
pub struct Sender<T> {
    shared: Arc<Shared<State<T>>>,
    finished: bool,
}

impl<T: Weigh> Sender<T> {
    /// Queues a message, waiting while there is no room for it. A send that is dropped while it
    /// waits has not sent.
    ///
    /// # Errors
    /// `Cancelled` after an abort, if another sender was dropped without finishing, or if every
    /// receiver is gone without having drained.
    pub async fn send(&self, message: T) -> Result<Delivery> {
        let bytes = message.bytes();
        let mut unsent = Some(message);
        let side = Side {
            line: |state: &mut State<T>| &mut state.sending,
            way: State::way_to_send,
        };
        turn(&self.shared.state, side, |state, wakes| {
            if let Err(error) = state.check() {
                return Some(Err(error));
            }
            if state.drained {
                return Some(Ok(Delivery::Unwanted));
            }
            if !state.has_room(bytes) {
                return None;
            }
            state.queue.push_back((unsent.take()?, bytes));
            state.bytes = state.bytes.saturating_add(bytes);
            wakes.add(state.receiving.first());
            Some(Ok(Delivery::Accepted))
        })
        .await
    }
}

impl<T> Sender<T> {
    /// Says that this sender has sent all it had. When all senders have finished, the receivers
    /// get what is queued and then the end.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// Says something about all messages; what is said first stands.
    pub fn set_metadata(&self, metadata: Metadata) {
        let mut wakes = Wakes::default();
        let mut state = locked(&self.shared.state);
        if state.metadata.is_none() {
            state.metadata = Some(metadata);
            wakes.add(state.describing.all());
        }
    }

    /// Whether the receivers want no more, so that there is no use in making another message.
    pub fn is_drained(&self) -> bool {
        locked(&self.shared.state).drained
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        locked(&self.shared.state).senders += 1;
        Sender {
            shared: Arc::clone(&self.shared),
            finished: false,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let _dropped;
        let mut state = locked(&self.shared.state);
        state.senders -= 1;
        if !self.finished && !state.drained {
            (state.failure).get_or_insert("a sender ended without finishing its stream");
            _dropped = state.end(&mut wakes);
        } else if state.senders == 0 {
            wakes.add(state.receiving.all());
            wakes.add(state.describing.all());
        }
    }
}

/// The receiving end. Clones share one queue: each message goes to one of them.
pub struct Receiver<T> {
    shared: Arc<Shared<State<T>>>,
}

impl<T> Receiver<T> {
    /// The next message, waiting for it; `None` once all senders have finished and the queue is
    /// empty, or after a drain. A receive that is dropped while it waits has taken nothing.
    ///
    /// # Errors
    /// `Cancelled` after an abort, or if a sender was dropped without finishing.
    pub async fn receive(&self) -> Result<Option<T>> {
        let side = Side {
            line: |state: &mut State<T>| &mut state.receiving,
            way: State::way_to_receive,
        };
        turn(&self.shared.state, side, |state, wakes| {
            if let Err(error) = state.check() {
                return Some(Err(error));
            }
            match state.pop(wakes) {
                None if state.senders > 0 && !state.drained => None,
                message => Some(Ok(message)),
            }
        })
        .await
    }

    /// The next message if one is queued; it does not stand in line.
    ///
    /// # Errors
    /// As of [`receive`](Receiver::receive).
    pub fn try_receive(&self) -> Result<Option<T>> {
        let mut wakes = Wakes::default();
        let mut state = locked(&self.shared.state);
        state.check()?;
        Ok(state.pop(&mut wakes))
    }

    /// Says that no more messages are wanted. What is queued is dropped, and senders learn it by
    /// [`Delivery::Unwanted`]; this is no error.
    pub fn drain(&self) {
        end(&self.shared, |state| state.drained = true);
    }

    /// What a sender has said about all messages, waiting for it; `None` if the channel ends
    /// without.
    ///
    /// # Errors
    /// As of [`receive`](Receiver::receive).
    pub async fn metadata(&self) -> Result<Option<Metadata>> {
        let side = Side {
            line: |state: &mut State<T>| &mut state.describing,
            way: State::way_to_metadata,
        };
        turn(&self.shared.state, side, |state, _| {
            Some(state.check().map(|()| state.metadata.clone()))
        })
        .await
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        locked(&self.shared.state).receivers += 1;
        Receiver {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        let _dropped;
        let mut state = locked(&self.shared.state);
        state.receivers -= 1;
        if state.receivers == 0 {
            if state.senders > 0 && !state.drained {
                state.failure.get_or_insert("every receiver is gone");
            }
            _dropped = state.end(&mut wakes);
        }
    }
}
