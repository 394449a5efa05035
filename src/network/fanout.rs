//! One receiver to several senders: each gets every message.

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::bounded::{Delivery, Receiver, Sender, Weigh};
use crate::error::{Error, Result};

/// Sends every message, and the metadata, to all `targets`, and finishes them at the end. A message
/// is taken once all targets have room for the last one: the slowest decides. A target whose
/// receivers drain is left out; when all are, the source is drained.
///
/// # Errors
/// Those of the channels.
///
/// ```
/// use pelton::network::{ActorPool, Capacity, Scope, fanout};
/// # fn main() -> pelton::Result<()> {
/// let scope = Scope::new(&ActorPool::seeded(1), None);
/// let capacity = Capacity { messages: 1, bytes: 1 << 20 };
/// let (sender, source) = scope.channel::<Vec<u8>>(capacity);
/// let (left, left_end) = scope.channel(capacity);
/// let (right, right_end) = scope.channel(capacity);
/// scope.spawn("fanout", fanout(source, vec![left, right]));
/// scope.run(async move {
///     let _ = sender.send(vec![7]).await?;
///     sender.finish();
///     assert_eq!(left_end.receive().await?, Some(vec![7]));
///     assert_eq!(right_end.receive().await?, Some(vec![7]));
///     assert_eq!(left_end.receive().await?, None);
///     Ok(())
/// })
/// # }
/// ```
pub async fn fanout<T: Weigh + Clone + Send>(
    source: Receiver<T>,
    mut targets: Vec<Sender<T>>,
) -> Result<()> {
    let mut metadata: Option<Pin<Box<_>>> = Some(Box::pin(source.metadata()));
    loop {
        let mut next = Box::pin(source.receive());
        // The metadata may come before, between or after messages.
        let message = poll_fn(|cx| {
            if let Some(waiting) = &mut metadata
                && let Poll::Ready(said) = waiting.as_mut().poll(cx)?
            {
                for target in &targets {
                    said.iter()
                        .for_each(|said| target.set_metadata(said.clone()));
                }
                metadata = None;
            }
            next.as_mut().poll(cx)
        })
        .await?;
        let Some(message) = message else { break };
        let wanted = send_to_all(&targets, message).await?;
        let mut wanted = wanted.into_iter();
        targets.retain_mut(|_| wanted.next().unwrap_or(false));
        if targets.is_empty() {
            source.drain();
            return Ok(());
        }
    }
    targets.into_iter().for_each(Sender::finish);
    Ok(())
}

/// Sends clones of a message at the same time, so that no target waits for another's room; says
/// which targets wanted it.
async fn send_to_all<T: Weigh + Clone>(targets: &[Sender<T>], message: T) -> Result<Vec<bool>> {
    let mut sends: Vec<_> = (targets.iter())
        .map(|target| Some(Box::pin(target.send(message.clone()))))
        .collect();
    drop(message);
    let mut wanted = vec![false; sends.len()];
    poll_fn(|cx| {
        for (send, wanted) in sends.iter_mut().zip(&mut wanted) {
            let Some(sending) = send else { continue };
            if let Poll::Ready(delivery) = sending.as_mut().poll(cx)? {
                *wanted = delivery == Delivery::Accepted;
                *send = None;
            }
        }
        if sends.iter().any(Option::is_some) {
            return Poll::Pending;
        }
        Poll::Ready(Ok::<_, Error>(()))
    })
    .await?;
    Ok(wanted)
}
