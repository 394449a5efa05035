//! The room's own sources over simulated threads: what is handed over under every order that the
//! `shuttle` crate draws, at each lock, wait and wake-up. A lost wake-up is a deadlock there, and
//! a deadlock is a failure.

use std::future::poll_fn;
use std::task::Poll;

use pelton::Result;

use super::simulated::{ActorPool, Capacity, Delivery, Scope};
use super::{failure, text};

const ONE: Capacity = Capacity {
    messages: 1,
    bytes: 1,
};

/// Runs a root actor on two simulated threads under many orders, and compares what came of it.
fn in_every_order<F: Future<Output = Result<()>> + Send + 'static>(
    expected: &'static str,
    root: impl Fn(Scope) -> F + Send + Sync + Clone + 'static,
) {
    let round = move || {
        let pool = ActorPool::threads(2);
        let scope = Scope::new(&pool, None);
        assert_eq!(text(scope.run(root(scope.clone()))), expected);
    };
    shuttle::check_random(round.clone(), 500);
    shuttle::check_pct(round, 500, 3);
}

/// Polls a future once and drops it.
async fn give_up<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn messages_pass_from_senders_to_receivers() {
    in_every_order("no error", |scope| async move {
        let (sender, receiver) = scope.channel::<Vec<u8>>(ONE);
        let sending: Vec<_> = (0..2)
            .map(|byte| {
                let sender = sender.clone();
                scope.spawn("sender", async move {
                    for _ in 0..2 {
                        assert_eq!(sender.send(vec![byte]).await?, Delivery::Accepted);
                    }
                    sender.finish();
                    Ok(())
                })
            })
            .collect();
        sender.finish();
        let receiving: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                scope.spawn("receiver", async move {
                    let mut sum = 0;
                    while let Some(message) = receiver.receive().await? {
                        sum += 1 + 10 * u32::from(message[0]);
                    }
                    Ok(sum)
                })
            })
            .collect();
        let mut sum = 0;
        for receiver in receiving {
            sum += receiver.await?;
        }
        assert_eq!(sum, 24);
        for sender in sending {
            sender.await?;
        }
        Ok(())
    });
}

#[test]
fn a_wait_that_is_given_up_hands_its_turn_on() {
    in_every_order("no error", |scope| async move {
        let (sender, receiver) = scope.channel::<Vec<u8>>(ONE);
        let fickle = receiver.clone();
        let first = scope.spawn("fickle", async move {
            match give_up(fickle.receive()).await {
                Some(received) => received.map(|message| message.is_some()),
                None => Ok(false),
            }
        });
        let second = scope.spawn("patient", async move {
            let mut count = 0;
            while receiver.receive().await?.is_some() {
                count += 1;
            }
            Ok(count)
        });
        let sent_early = give_up(sender.send(vec![1])).await.is_some();
        let _ = sender.send(vec![2]).await?;
        sender.finish();
        let received = usize::from(first.await?) + second.await?;
        assert_eq!(received, 1 + usize::from(sent_early));
        Ok(())
    });
}

#[test]
fn a_drain_frees_senders() {
    in_every_order("no error", |scope| async move {
        let (sender, receiver) = scope.channel::<Vec<u8>>(ONE);
        for _ in 0..2 {
            let sender = sender.clone();
            drop(scope.spawn("sender", async move {
                while sender.send(vec![1]).await? == Delivery::Accepted {}
                Ok(())
            }));
        }
        sender.finish();
        receiver.receive().await?;
        receiver.drain();
        Ok(())
    });
}

#[test]
fn a_gate_reaches_all_who_wait() {
    in_every_order("no error", |scope| async move {
        let gate = scope.gate();
        for _ in 0..2 {
            let reader = gate.reader();
            drop(scope.spawn("reader", async move {
                assert_eq!(reader.get().await?, 7);
                Ok(())
            }));
        }
        drop(scope.spawn("setter", async move {
            gate.set(7);
            Ok(())
        }));
        Ok(())
    });
}

#[test]
fn permits_go_round() {
    in_every_order("no error", |scope| async move {
        let throttle = scope.throttle(1);
        for _ in 0..3 {
            let throttle = throttle.clone();
            drop(scope.spawn("guest", async move {
                let _given_up = give_up(throttle.acquire()).await;
                drop(_given_up);
                drop(throttle.acquire().await?);
                Ok(())
            }));
        }
        Ok(())
    });
}

#[test]
fn an_abort_reaches_every_wait_and_the_cause_is_told() {
    in_every_order("failing: a / b: division by zero", |scope| async move {
        let (sender, receiver) = scope.channel::<Vec<u8>>(ONE);
        let gate = scope.gate::<u32>();
        let reader = gate.reader();
        drop(scope.spawn("reading", async move { reader.get().await }));
        drop(scope.spawn("receiving", async move { receiver.receive().await }));
        drop(scope.spawn("foreign", std::future::pending::<Result<()>>()));
        drop(scope.spawn("failing", async move {
            let _sender = sender; // dropped unfinished: the receiver may be the first to complain
            Err::<(), _>(failure())
        }));
        std::future::pending::<()>().await;
        drop(gate);
        Ok(())
    });
}

#[test]
fn a_cancel_from_outside_meets_any_moment() {
    let round = || {
        let pool = ActorPool::threads(1);
        let scope = Scope::new(&pool, None);
        let canceller = scope.canceller();
        let cancelling = shuttle::thread::spawn(move || canceller.cancel("interrupted"));
        let inner = scope.clone();
        let result = scope.run(async move {
            let (sender, receiver) = inner.channel::<Vec<u8>>(ONE);
            let sending = inner.spawn("sender", async move {
                let _ = sender.send(vec![1]).await?;
                sender.finish();
                Ok(())
            });
            receiver.receive().await?;
            sending.await
        });
        let said = text(result);
        assert!(
            ["no error", "cancelled: interrupted"].contains(&&*said),
            "{said}"
        );
        cancelling.join().expect("no panic");
    };
    shuttle::check_random(round, 500);
    shuttle::check_pct(round, 500, 3);
}
