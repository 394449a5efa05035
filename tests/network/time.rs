//! Deadlines, sleeps and time-outs; what a scope costs.

use std::time::{Duration, Instant};

use pelton::Result;
use pelton::error::ErrorKind;
use pelton::network::{ActorPool, Scope};

use super::{bytes, messages, on_pools, run, text};

#[test]
fn a_deadline_is_a_typed_error_that_says_the_time() {
    on_pools(|pool| {
        let allowed = Duration::from_millis(5);
        let deadline = pool.clock().now() + allowed;
        let scope = Scope::new(pool, Some(deadline));
        let result: Result<()> = scope.run(std::future::pending());
        let error = result.expect_err("time is up");
        let ErrorKind::DeadlinePassed { allowed: said } = error.kind() else {
            unreachable!("{error}")
        };
        assert!(*said <= allowed && *said > Duration::ZERO);
        assert!(pool.clock().now() >= deadline);
        let late = Scope::new(pool, Some(pool.clock().now()));
        assert!(text(late.run(async { Ok(()) })).starts_with("the deadline of 0"));
        let early = Scope::new(pool, Some(pool.clock().now() + Duration::from_secs(60)));
        assert_eq!(text(early.run(async { Ok(()) })), "no error");
    });
}

#[test]
fn sleeps_take_their_time_and_time_outs_drop_what_is_late() {
    on_pools(|pool| {
        let times = run(pool, |scope| async move {
            let begin = scope.clock().now();
            let short = scope.spawn("short", {
                let scope = scope.clone();
                async move { scope.sleep(Duration::from_millis(2)).await }
            });
            scope.sleep(Duration::from_millis(8)).await?;
            short.await?;
            let late = scope.timeout(Duration::from_millis(1), std::future::pending::<()>());
            assert_eq!(late.await?, None);
            let soon = scope.timeout(Duration::from_secs(3600), async { 7 });
            assert_eq!(soon.await?, Some(7));
            Ok(scope.clock().now() - begin)
        });
        assert!(times.is_ok_and(|passed| passed >= Duration::from_millis(9)));
    });
}

/// The cost of a scope of ten actors that pass messages on; printed, and far below what the
/// smallest query takes.
#[test]
fn a_scope_costs_little() {
    const ROUNDS: u32 = 2000;
    for threads in [1, 2, 4] {
        let pool = ActorPool::threads(threads);
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let begin = Instant::now();
            for _ in 0..ROUNDS / 5 {
                let result = run(&pool, |scope| async move {
                    let (first, mut end) = scope.channel(messages(1));
                    for _ in 0..9 {
                        let (sender, receiver) = scope.channel(messages(1));
                        let source = std::mem::replace(&mut end, receiver);
                        drop(scope.spawn("stage", async move {
                            while let Some(message) = source.receive().await? {
                                let _ = sender.send(message).await?;
                            }
                            sender.finish();
                            Ok(())
                        }));
                    }
                    for _ in 0..3 {
                        let _ = first.send(bytes(0)).await?;
                    }
                    first.finish();
                    let mut count = 0;
                    while end.receive().await?.is_some() {
                        count += 1;
                    }
                    Ok(count)
                });
                assert_eq!(result.map_err(|e| e.to_string()), Ok(3));
            }
            best = best.min(begin.elapsed() / (ROUNDS / 5));
        }
        println!("{threads} threads: {best:?} for a scope of 10 actors and 30 messages");
        assert!(best < Duration::from_millis(5), "{best:?}");
    }
}
