//! Channels and fanout: order, budgets, ends, drains.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pelton::Result;
use pelton::network::{Capacity, Delivery, Receiver, fanout};

use super::{bytes, failure, messages, on_pools, run, step_aside, text};

async fn all<T>(receiver: &Receiver<T>) -> Result<Vec<T>> {
    let mut received = Vec::new();
    while let Some(message) = receiver.receive().await? {
        received.push(message);
    }
    Ok(received)
}

#[test]
fn order_is_kept_and_the_end_comes_when_all_senders_have_finished() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(8));
            let second = sender.clone();
            for length in 0..3 {
                assert_eq!(sender.send(bytes(length)).await?, Delivery::Accepted);
            }
            sender.finish();
            assert_eq!(second.send(bytes(3)).await?, Delivery::Accepted);
            assert_eq!(receiver.try_receive()?, Some(bytes(0)));
            second.finish();
            let lengths: Vec<usize> = all(&receiver).await?.iter().map(Vec::len).collect();
            assert_eq!(lengths, [1, 2, 3]);
            assert_eq!(receiver.receive().await?, None);
            assert_eq!(receiver.try_receive()?, None);
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn no_more_messages_than_the_capacity_wait() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(3));
            let sent = Arc::new(AtomicUsize::new(0));
            for _ in 0..2 {
                let (sender, sent) = (sender.clone(), Arc::clone(&sent));
                drop(scope.spawn("sender", async move {
                    for length in 0..12 {
                        let _ = sender.send(bytes(length)).await?;
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                    sender.finish();
                    Ok(())
                }));
            }
            sender.finish();
            for received in 0..24 {
                for _ in 0..20 {
                    step_aside().await; // let the channel fill
                }
                let sent = sent.load(Ordering::SeqCst);
                assert!(sent <= received + 3, "{sent} sent, {received} received");
                assert!(receiver.receive().await?.is_some());
            }
            assert_eq!(receiver.receive().await?, None);
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn a_byte_budget_holds_back_and_a_heavy_message_passes_alone() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let capacity = Capacity {
                messages: 100,
                bytes: 10,
            };
            let (sender, receiver) = scope.channel(capacity);
            let sent = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&sent);
            let sending = scope.spawn("sender", async move {
                for length in [6, 4, 1, 50, 1] {
                    let _ = sender.send(bytes(length)).await?;
                    count.fetch_add(1, Ordering::SeqCst);
                }
                sender.finish();
                Ok(())
            });
            // After each receive: how many sends have ended once the network is quiet.
            for (length, ended) in [(6, 2), (4, 3), (1, 3), (50, 4), (1, 5)] {
                scope.sleep(std::time::Duration::from_millis(1)).await?;
                let before = sent.load(Ordering::SeqCst);
                assert!(before <= ended, "{before} of {ended} before {length}");
                assert_eq!(receiver.receive().await?.map(|m| m.len()), Some(length));
            }
            sending.await?;
            assert_eq!(receiver.receive().await?, None);
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn a_sender_dropped_without_finishing_is_an_error() {
    const UNFINISHED: &str = "cancelled: a sender ended without finishing its stream";
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(4));
            let second = sender.clone();
            let _ = sender.send(bytes(1)).await?;
            drop(sender);
            assert_eq!(text(receiver.receive().await), UNFINISHED);
            assert_eq!(text(receiver.try_receive()), UNFINISHED);
            assert_eq!(text(second.send(bytes(1)).await), UNFINISHED);
            assert_eq!(text(receiver.metadata().await), UNFINISHED);
            second.finish();
            let (sender, receiver) = scope.channel::<Vec<u8>>(messages(4));
            let waiting = scope.spawn("receiver", async move { receiver.receive().await });
            step_aside().await;
            drop(sender);
            waiting.await.map(drop)
        });
        assert_eq!(text(result), format!("receiver: {UNFINISHED}"));
    });
}

#[test]
fn draining_is_no_error_and_frees_waiting_senders() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(1));
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let sender = sender.clone();
                    scope.spawn("sender", async move {
                        while sender.send(bytes(1)).await? == Delivery::Accepted {}
                        Ok(()) // dropped without finish: fine once drained
                    })
                })
                .collect();
            assert_eq!(receiver.receive().await?, Some(bytes(1)));
            receiver.drain();
            for sender in senders {
                sender.await?;
            }
            assert!(sender.is_drained());
            assert_eq!(receiver.receive().await?, None);
            assert!(receiver.metadata().await?.is_none());
            drop(receiver);
            assert_eq!(sender.send(bytes(1)).await?, Delivery::Unwanted);
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn a_sender_learns_that_every_receiver_is_gone() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(1));
            drop(receiver.clone());
            assert_eq!(sender.send(bytes(1)).await?, Delivery::Accepted);
            let waiting = scope.spawn("sender", async move {
                let sent = text(sender.send(bytes(1)).await);
                assert_eq!(sent, "cancelled: every receiver is gone");
                Ok(())
            });
            step_aside().await;
            drop(receiver);
            waiting.await
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn metadata_comes_before_messages_after_them_or_never() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel::<Vec<u8>>(messages(1));
            let reader = receiver.clone();
            let said = scope.spawn("reader", async move { reader.metadata().await });
            step_aside().await;
            sender.set_metadata(Arc::new("unique keys"));
            sender.set_metadata(Arc::new("later"));
            let said = said.await?.expect("it was said");
            assert_eq!(said.downcast_ref(), Some(&"unique keys"));
            sender.finish();
            assert!(receiver.metadata().await?.is_some());
            let (sender, receiver) = scope.channel::<Vec<u8>>(messages(1));
            let waiting = scope.spawn("reader", async move { receiver.metadata().await });
            step_aside().await;
            sender.finish();
            assert!(waiting.await?.is_none());
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn a_wait_that_is_dropped_loses_neither_a_message_nor_a_turn() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(1));
            let mut doomed = Box::pin(receiver.receive());
            let waiting = poll_once(doomed.as_mut()).await;
            assert!(waiting.is_none());
            let second = receiver.clone();
            let second = scope.spawn("second", async move { second.receive().await });
            for _ in 0..5 {
                step_aside().await;
            }
            let _ = sender.send(bytes(7)).await?; // wakes the first in line
            drop(doomed);
            assert_eq!(second.await?, Some(bytes(7)));
            // The same for senders.
            let _ = sender.send(bytes(1)).await?;
            let mut doomed = Box::pin(sender.send(bytes(2)));
            assert!(poll_once(doomed.as_mut()).await.is_none());
            let third = sender.clone();
            let third = scope.spawn("third", async move {
                let sent = third.send(bytes(3)).await?;
                third.finish();
                Ok(sent)
            });
            for _ in 0..5 {
                step_aside().await;
            }
            assert_eq!(receiver.receive().await?, Some(bytes(1)));
            drop(doomed);
            assert_eq!(third.await?, Delivery::Accepted);
            sender.finish();
            assert_eq!(all(&receiver).await?, [bytes(3)]);
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

/// Polls once.
async fn poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn senders_take_turns() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(1));
            for actor in 0..4 {
                let sender = sender.clone();
                drop(scope.spawn(format!("sender {actor}"), async move {
                    for _ in 0..50 {
                        let _ = sender.send(bytes(actor)).await?;
                    }
                    sender.finish();
                    Ok(())
                }));
            }
            sender.finish();
            let mut counts = [0_usize; 4];
            for _ in 0..200 {
                for _ in 0..8 {
                    step_aside().await; // everybody stands in line again
                }
                let message = receiver.receive().await?.expect("200 were sent");
                counts[message.len()] += 1;
            }
            assert_eq!(counts, [50; 4]);
            assert_eq!(receiver.receive().await?, None);
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn fanout_repeats_messages_and_metadata_and_leaves_out_who_drains() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let (sender, source) = scope.channel(messages(1));
            let mut targets = Vec::new();
            let mut ends = Vec::new();
            for target in 0..3 {
                let (sender, receiver) = scope.channel::<Vec<u8>>(messages(1));
                targets.push(sender);
                ends.push(scope.spawn(format!("target {target}"), async move {
                    let said = receiver.metadata().await?.expect("it was said");
                    assert_eq!(said.downcast_ref(), Some(&"all about it"));
                    if target == 2 {
                        receiver.receive().await?;
                        receiver.drain();
                        return Ok(1);
                    }
                    Ok(all(&receiver).await?.len())
                }));
            }
            let repeating = scope.spawn("fanout", fanout(source, targets));
            sender.set_metadata(Arc::new("all about it"));
            step_aside().await;
            for length in 0..10 {
                assert_eq!(sender.send(bytes(length)).await?, Delivery::Accepted);
            }
            sender.finish();
            repeating.await?;
            for (end, count) in ends.into_iter().zip([10, 10, 1]) {
                assert_eq!(end.await?, count);
            }
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn fanout_drains_its_source_when_all_targets_drain_and_fails_with_it() {
    on_pools(|pool| {
        let drained = run(pool, |scope| async move {
            let (sender, source) = scope.channel(messages(1));
            let (target, end) = scope.channel::<Vec<u8>>(messages(1));
            let repeating = scope.spawn("fanout", fanout(source, vec![target]));
            end.drain();
            while sender.send(bytes(1)).await? == Delivery::Accepted {}
            repeating.await
        });
        assert_eq!(text(drained), "no error");
        let failed: Result<()> = run(pool, |scope| async move {
            let (sender, source) = scope.channel::<Vec<u8>>(messages(1));
            let (target, end) = scope.channel(messages(1));
            drop(scope.spawn("fanout", fanout(source, vec![target])));
            drop(scope.spawn("source", async move {
                let _sender = sender;
                Err::<(), _>(failure())
            }));
            end.receive().await.map(drop)
        });
        assert_eq!(text(failed), "source: a / b: division by zero");
    });
}
