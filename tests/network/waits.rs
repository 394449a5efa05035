//! Gates, throttles and the lineariser.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pelton::network::Lineariser;

use super::{on_pools, run, step_aside, text};

#[test]
fn a_gate_gives_its_first_value_to_all_who_wait() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let gate = scope.gate();
            let readers: Vec<_> = (0..5)
                .map(|_| {
                    let reader = gate.reader();
                    scope.spawn("reader", async move { reader.get().await })
                })
                .collect();
            step_aside().await;
            gate.set(1);
            gate.set(2);
            assert_eq!(gate.get().await?, 1);
            let late = gate.reader();
            drop(gate);
            assert_eq!(late.clone().get().await?, 1);
            for reader in readers {
                assert_eq!(reader.await?, 1);
            }
            Ok(())
        });
        assert_eq!(text(result), "no error");
    });
}

#[test]
fn a_gate_dropped_unset_is_an_error_at_those_who_wait() {
    on_pools(|pool| {
        let result = run(pool, |scope| async move {
            let gate = scope.gate::<u32>();
            let reader = gate.reader();
            let waiting = scope.spawn("reader", async move { reader.get().await });
            step_aside().await;
            drop(gate);
            waiting.await
        });
        assert_eq!(
            text(result),
            "reader: cancelled: an actor ended without setting its value"
        );
    });
}

#[test]
fn a_throttle_lets_so_many_pass_and_everybody_in_the_end() {
    on_pools(|pool| {
        let most = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&most);
        let result = run(pool, |scope| async move {
            let throttle = scope.throttle(3);
            let inside = Arc::new(AtomicUsize::new(0));
            for _ in 0..20 {
                let (throttle, inside, seen) =
                    (throttle.clone(), Arc::clone(&inside), Arc::clone(&seen));
                drop(scope.spawn("guest", async move {
                    for _ in 0..3 {
                        let permit = throttle.acquire().await?;
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        seen.fetch_max(now, Ordering::SeqCst);
                        step_aside().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                    Ok(())
                }));
            }
            Ok(())
        });
        assert_eq!(text(result), "no error");
        assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
        if pool.parallelism() == 1 {
            assert_eq!(most.load(Ordering::SeqCst), 3, "all permits are used");
        }
    });
}

#[test]
fn order_is_restored_within_a_bound() {
    let mut lineariser = Lineariser::new(3);
    let mut given = Vec::new();
    for sequence in [2, 0, 3, 1, 6, 5, 4, 7] {
        given.extend(
            lineariser
                .push(sequence, sequence)
                .expect("within the bound"),
        );
    }
    assert_eq!(given, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(lineariser.waiting_count(), 0);
    let twice = lineariser.push(3, 3).map(drop);
    assert_eq!(
        text(twice),
        "the order of messages: sequence 3 comes a second time"
    );
    for sequence in [9, 10, 11] {
        assert_eq!(
            lineariser.push(sequence, 0).map(Iterator::count).ok(),
            Some(0)
        );
    }
    assert_eq!(
        text(lineariser.push(12, 12).map(drop)),
        "the order of messages: 3 messages wait for sequence 8, and 12 comes; \
         hold back those who run ahead, or let more wait"
    );
    assert_eq!(
        text(lineariser.finish()),
        "the order of messages: the end has come, and 3 messages wait for sequence 8"
    );
    // What is not taken of a push comes with the next one.
    let mut lineariser = Lineariser::new(0);
    drop(lineariser.push(0, 'a'));
    assert_eq!(
        lineariser
            .push(1, 'b')
            .map(Iterator::collect::<String>)
            .ok(),
        Some("ab".into())
    );
    assert_eq!(text(lineariser.finish()), "no error");
}
