//! A bounded channel for many senders and many receivers, over a mutex and two condition variables.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Delivery;
use crate::error::{Error, ErrorKind, Result};

struct State<T> {
    queue: VecDeque<T>,
    senders: usize,
    receivers: usize,
    drained: bool,
    failure: Option<String>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    not_empty: Condvar,
    not_full: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of ours panics under this lock, and the state is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        self.not_empty.notify_all();
        self.not_full.notify_all();
    }

    /// Ends the channel for everybody; the first cause stands.
    fn shutdown(&self, cause: impl Into<String>) {
        let dropped = {
            let mut state = self.lock();
            state.failure.get_or_insert_with(|| cause.into());
            std::mem::take(&mut state.queue)
        };
        self.wake_all();
        drop(dropped); // outside of the lock: a message's drop may take long
    }
}

impl<T> State<T> {
    fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(cause) => Err(Error::new(ErrorKind::Cancelled {
                cause: cause.clone(),
            })),
        }
    }
}

/// A channel that holds at most `capacity` messages (at least one).
///
/// ```
/// use pelton::network::{Delivery, channel};
/// # fn main() -> pelton::Result<()> {
/// let (sender, receiver) = channel(2);
/// assert_eq!(sender.send("a")?, Delivery::Accepted);
/// sender.finish();
/// assert_eq!(receiver.receive()?, Some("a"));
/// assert_eq!(receiver.receive()?, None);
/// # Ok(())
/// # }
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            queue: VecDeque::new(),
            senders: 1,
            receivers: 1,
            drained: false,
            failure: None,
        }),
        capacity: capacity.max(1),
        not_empty: Condvar::new(),
        not_full: Condvar::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
        finished: false,
    };
    (sender, Receiver { shared })
}

/// The sending end. Every clone must [`finish`](Sender::finish); one that is dropped without it
/// shuts the channel down.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    finished: bool,
}

impl<T> Sender<T> {
    /// Queues a message, and waits while the channel is full.
    ///
    /// # Errors
    /// `Cancelled` if the channel was shut down.
    pub fn send(&self, message: T) -> Result<Delivery> {
        let mut state = self.shared.lock();
        loop {
            state.check()?;
            if state.drained {
                return Ok(Delivery::Unwanted);
            }
            if state.queue.len() < self.shared.capacity {
                break;
            }
            state = self
                .shared
                .not_full
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.queue.push_back(message);
        drop(state);
        self.shared.not_empty.notify_one();
        Ok(Delivery::Accepted)
    }

    /// Says that this sender has sent all it had. When all senders have finished, the receivers
    /// get what is queued and then the end.
    pub fn finish(mut self) {
        self.finished = true;
    }

    /// Ends the channel with an error for everybody.
    pub fn shutdown(&self, cause: impl Into<String>) {
        self.shared.shutdown(cause);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Sender {
            shared: Arc::clone(&self.shared),
            finished: false,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if !self.finished && !self.shared.lock().drained {
            self.shared
                .shutdown("a sender ended without finishing its stream");
        }
        self.shared.lock().senders -= 1;
        self.shared.wake_all();
    }
}

/// The receiving end. Clones share one queue: each message goes to one of them.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// The next message, waiting for it; `None` once all senders have finished and the queue is
    /// empty.
    ///
    /// # Errors
    /// `Cancelled` if the channel was shut down, or a sender ended without finishing.
    pub fn receive(&self) -> Result<Option<T>> {
        let mut state = self.shared.lock();
        loop {
            state.check()?;
            if let Some(message) = state.queue.pop_front() {
                drop(state);
                self.shared.not_full.notify_one();
                return Ok(Some(message));
            }
            if state.senders == 0 || state.drained {
                return Ok(None);
            }
            state = self
                .shared
                .not_empty
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that no more messages are wanted. What is queued is dropped, and senders learn it by
    /// [`Delivery::Unwanted`]; this is no error.
    pub fn drain(&self) {
        let dropped = {
            let mut state = self.shared.lock();
            state.drained = true;
            std::mem::take(&mut state.queue)
        };
        self.shared.wake_all();
        drop(dropped);
    }

    /// Ends the channel with an error for everybody.
    pub fn shutdown(&self, cause: impl Into<String>) {
        self.shared.shutdown(cause);
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lock().receivers += 1;
        Receiver {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.receivers -= 1;
        let gone = state.receivers == 0 && state.senders > 0 && !state.drained;
        drop(state);
        if gone {
            self.shared.shutdown("every receiver is gone");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    fn cause_of<T>(result: Result<T>) -> String {
        match result {
            Ok(_) => "no error".to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn keeps_order_and_ends_when_all_senders_finished() -> Result<()> {
        let (sender, receiver) = channel(8);
        let second = sender.clone();
        for message in 0..3 {
            assert_eq!(sender.send(message)?, Delivery::Accepted);
        }
        sender.finish();
        assert_eq!(second.send(3)?, Delivery::Accepted);
        second.finish();
        for message in 0..4 {
            assert_eq!(receiver.receive()?, Some(message));
        }
        assert_eq!(receiver.receive()?, None);
        assert_eq!(receiver.receive()?, None);
        Ok(())
    }

    #[test]
    fn a_full_channel_makes_the_sender_wait() -> Result<()> {
        let (sender, receiver) = channel(1);
        thread::scope(|scope| {
            let sent = scope.spawn(move || {
                for message in 0..100 {
                    let _ = sender.send(message)?;
                }
                sender.finish();
                Ok::<(), Error>(())
            });
            let mut seen = Vec::new();
            while let Some(message) = receiver.receive()? {
                assert!(receiver.shared.lock().queue.len() <= 1);
                seen.push(message);
            }
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
            sent.join().unwrap_or(Ok(()))
        })
    }

    #[test]
    fn many_senders_and_receivers_lose_and_double_nothing() -> Result<()> {
        let (sender, receiver) = channel(3);
        let mut seen = thread::scope(|scope| {
            for start in 0..4 {
                let sender = sender.clone();
                scope.spawn(move || {
                    for message in 0..250 {
                        if sender.send(start * 250 + message).is_err() {
                            return;
                        }
                    }
                    sender.finish();
                });
            }
            sender.finish();
            let handles: Vec<_> = (0..3)
                .map(|_| {
                    let receiver = receiver.clone();
                    scope.spawn(move || {
                        let mut seen = Vec::new();
                        while let Ok(Some(message)) = receiver.receive() {
                            seen.push(message);
                        }
                        seen
                    })
                })
                .collect();
            handles
                .into_iter()
                .flat_map(|handle| handle.join().unwrap_or_default())
                .collect::<Vec<i32>>()
        });
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        Ok(())
    }

    #[test]
    fn a_sender_dropped_without_finishing_is_an_error() -> Result<()> {
        let (sender, receiver) = channel(4);
        let second = sender.clone();
        let _ = sender.send(1)?;
        drop(sender);
        assert_eq!(
            cause_of(receiver.receive()),
            "cancelled: a sender ended without finishing its stream"
        );
        assert_eq!(
            cause_of(second.send(2)),
            "cancelled: a sender ended without finishing its stream"
        );
        second.finish();
        Ok(())
    }

    #[test]
    fn draining_is_no_error_and_frees_a_waiting_sender() -> Result<()> {
        let (sender, receiver) = channel(1);
        thread::scope(|scope| {
            let sent = scope.spawn(move || {
                let mut accepted = 0;
                while sender.send(accepted)? == Delivery::Accepted {
                    accepted += 1;
                }
                Ok::<_, Error>(accepted) // dropped without finish: fine once drained
            });
            assert_eq!(receiver.receive()?, Some(0));
            receiver.drain();
            assert!(sent.join().is_ok_and(|sent| sent.is_ok()));
            assert_eq!(receiver.receive()?, None);
            Ok(())
        })
    }

    #[test]
    fn shutdown_wakes_everyone_and_the_first_cause_stands() {
        let (full, full_receiver) = channel(1);
        let (idle_sender, idle) = channel::<i32>(1);
        assert!(full.send(0).is_ok());
        thread::scope(|scope| {
            let sending = scope.spawn(|| cause_of(full.send(1)));
            let receiving = scope.spawn(|| cause_of(idle.receive()));
            thread::sleep(Duration::from_millis(20));
            full_receiver.shutdown("the disk is full");
            full_receiver.shutdown("later");
            idle_sender.shutdown("the disk is full");
            for handle in [sending, receiving] {
                assert_eq!(
                    handle.join().unwrap_or_default(),
                    "cancelled: the disk is full"
                );
            }
        });
    }

    #[test]
    fn a_sender_learns_that_every_receiver_is_gone() {
        let (sender, receiver) = channel(1);
        drop(receiver);
        assert_eq!(
            cause_of(sender.send(1)),
            "cancelled: every receiver is gone"
        );
    }
}
