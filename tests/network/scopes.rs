//! The life of a scope: values, first errors, panics, aborts, deadlines, overhead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pelton::error::ErrorKind;
use pelton::network::{ActorPool, Delivery, Scope};
use pelton::{Error, Result};

use super::{bytes, failure, messages, on_pools, run, step_aside, text};

#[test]
fn a_run_gives_the_value_of_its_root_after_all_actors_have_ended() {
    on_pools(|pool| {
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        let value = run(pool, |scope| async move {
            for actor in 0..10 {
                let (inner, count) = (scope.clone(), Arc::clone(&count));
                drop(scope.spawn(format!("outer {actor}"), async move {
                    let value = inner.spawn("inner", async move {
                        step_aside().await;
                        Ok(actor)
                    });
                    assert_eq!(value.await?, actor);
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }));
            }
            Ok("value")
        });
        assert_eq!(value.map_err(|e| e.to_string()), Ok("value"));
        assert_eq!(ended.load(Ordering::SeqCst), 10);
    });
}

#[test]
fn the_first_error_keeps_its_kind_and_names_its_actor() {
    on_pools(|pool| {
        let result: Result<()> = run(pool, |scope| async move {
            let (sender, receiver) = scope.channel(messages(1));
            drop(scope.spawn("divide", async move {
                let _ = sender.send(bytes(1)).await?;
                step_aside().await;
                Err::<(), _>(failure()) // its sender goes first, and the receiver complains
            }));
            while receiver.receive().await?.is_some() {}
            Ok(())
        });
        let error = result.expect_err("an actor failed");
        assert!(
            matches!(error.kind(), ErrorKind::Arithmetic { .. }),
            "{error}"
        );
        assert_eq!(error.to_string(), "divide: a / b: division by zero");
    });
}

#[test]
fn the_error_of_the_root_stands_alone() {
    on_pools(|pool| {
        let result: Result<()> = run(pool, |_| async { Err(failure()) });
        assert_eq!(text(result), "a / b: division by zero");
    });
}

#[test]
fn a_panic_is_an_error_that_names_the_actor() {
    on_pools(|pool| {
        let result: Result<()> = run(pool, |scope| async move {
            let doomed = scope.spawn::<()>("doomed", async {
                step_aside().await;
                std::panic::panic_any("the sky falls".to_string())
            });
            let awaited = doomed.await;
            assert!(text(awaited).contains("the sky falls"));
            std::future::pending().await
        });
        assert_eq!(
            text(result),
            "doomed: panicked: the sky falls; this is a defect, please report it"
        );
        assert_eq!(
            text(run(pool, |_| async { Ok(()) })),
            "no error",
            "the pool goes on"
        );
    });
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::panic_any("dropped badly");
        }
    }
}

#[test]
fn a_destructor_that_panics_is_an_error_too() {
    on_pools(|pool| {
        let in_actor: Result<()> = run(pool, |scope| async move {
            let held = PanicsWhenDropped;
            let actor = scope.spawn("holder", async move {
                let _held = held;
                Ok(())
            });
            actor.await
        });
        assert_eq!(
            text(in_actor),
            "holder: panicked: dropped badly; this is a defect, please report it"
        );
        let in_value: Result<()> = run(pool, |scope| async move {
            let gate = scope.gate();
            let unwanted = gate.reader();
            drop(scope.spawn("giver", async move {
                unwanted.get().await?;
                Ok(PanicsWhenDropped)
            }));
            gate.set(());
            Ok(())
        });
        assert!(text(in_value).contains("giver: panicked"));
    });
}

#[test]
fn every_wait_ends_after_an_abort() {
    on_pools(|pool| {
        let ended = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ended);
        let result: Result<()> = run(pool, |scope| async move {
            let (full, full_end) = scope.channel(messages(1));
            let _ = full.send(bytes(1)).await?;
            let (empty_end, empty) = scope.channel::<Vec<u8>>(messages(1));
            let gate = scope.gate::<u32>();
            let throttle = scope.throttle(1);
            let permit = throttle.acquire().await?;
            let never = scope.spawn::<()>("never", std::future::pending());
            let describing = empty.clone();
            let sleeper = scope.clone();
            let reader = gate.reader();
            let cancelled = move |result: String| {
                assert_eq!(result, "cancelled: a / b: division by zero");
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            macro_rules! waits {
                ($($wait:expr),*) => {$(
                    let end = cancelled.clone();
                    drop(scope.spawn(stringify!($wait), async move { end(text($wait.await)) }));
                )*};
            }
            waits!(
                full.send(bytes(1)),
                empty.receive(),
                describing.metadata(),
                reader.get(),
                throttle.acquire(),
                sleeper.sleep(Duration::from_secs(3600)),
                never
            );
            for _ in 0..20 {
                step_aside().await;
            }
            scope.abort(failure());
            scope.abort(Error::invalid("later", "does not count", ""));
            assert!(scope.check().is_err());
            drop((full_end, empty_end, gate, permit));
            Ok(())
        });
        assert_eq!(text(result), "a / b: division by zero");
        assert_eq!(ended.load(Ordering::SeqCst), 7);
    });
}

#[test]
fn a_cancel_from_another_thread_ends_waits_within_milliseconds() {
    let pool = ActorPool::threads(2);
    let scope = Scope::new(&pool, None);
    let canceller = scope.canceller();
    let (begun, begins) = mpsc::channel();
    let cancelling = thread::spawn(move || {
        begins.recv().expect("the root begins");
        thread::sleep(Duration::from_millis(20));
        canceller.cancel("interrupted");
        Instant::now()
    });
    let inner = scope.clone();
    let result: Result<()> = scope.run(async move {
        let (_sender, receiver) = inner.channel::<Vec<u8>>(messages(1));
        begun.send(()).expect("somebody listens");
        receiver.receive().await.map(drop)
    });
    let ended = Instant::now();
    assert_eq!(text(result), "cancelled: interrupted");
    let cancelled = cancelling.join().expect("no panic");
    assert!(ended.saturating_duration_since(cancelled) < Duration::from_millis(500));
}

#[test]
fn foreign_waits_and_late_actors_end_with_an_abort_as_well() {
    on_pools(|pool| {
        let polled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&polled);
        let result: Result<()> = run(pool, |scope| async move {
            drop(scope.spawn::<()>("foreign", std::future::pending()));
            scope.abort(failure());
            let late = scope.spawn("late", async move {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            late.await
        });
        assert_eq!(text(result), "a / b: division by zero");
        assert_eq!(polled.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn watchers_are_told_once_and_dropped_ones_never() {
    on_pools(|pool| {
        let scope = Scope::new(pool, None);
        let told = Arc::new(AtomicUsize::new(0));
        let watch = |scope: &Scope| {
            let told = Arc::clone(&told);
            scope.on_abort(move || {
                told.fetch_add(1, Ordering::SeqCst);
            })
        };
        let kept = watch(&scope);
        drop(watch(&scope));
        let _panics = scope.on_abort(|| std::panic::panic_any("a bad watcher"));
        let after = watch(&scope);
        scope.abort(failure());
        scope.abort(failure());
        assert_eq!(told.load(Ordering::SeqCst), 2);
        let _late = watch(&scope);
        assert_eq!(told.load(Ordering::SeqCst), 3);
        drop((kept, after));
    });
}

#[test]
fn a_deadlock_names_those_who_wait() {
    let result: Result<()> = run(&ActorPool::seeded(5), |scope| async move {
        let (left, left_end) = scope.channel::<Vec<u8>>(messages(1));
        let (right, right_end) = scope.channel::<Vec<u8>>(messages(1));
        drop(scope.spawn("left", async move {
            right_end.receive().await?;
            left.send(bytes(1)).await.map(drop)
        }));
        drop(scope.spawn("right", async move {
            left_end.receive().await?;
            right.send(bytes(1)).await.map(drop)
        }));
        Ok(())
    });
    assert_eq!(
        text(result),
        "cancelled: deadlock: every actor waits: left, right"
    );
}

#[test]
fn a_seeded_pool_waits_for_threads_that_it_is_told_of() {
    let answer = run(&ActorPool::seeded(1), |scope| async move {
        let gate = scope.gate();
        let reader = gate.reader();
        let outside = scope.outside();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            gate.set(42);
            drop(outside);
        });
        reader.get().await
    });
    assert_eq!(answer.map_err(|e| e.to_string()), Ok(42));
}

#[test]
fn a_seed_fixes_the_order() {
    let order = |seed| {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let written = Arc::clone(&log);
        let result = run(&ActorPool::seeded(seed), |scope| async move {
            for actor in 0..8 {
                let log = Arc::clone(&written);
                drop(scope.spawn("actor", async move {
                    for _ in 0..3 {
                        log.lock().expect("no panic").push(actor);
                        step_aside().await;
                    }
                    Ok(())
                }));
            }
            Ok(())
        });
        assert_eq!(text(result), "no error");
        log.lock().expect("no panic").clone()
    };
    assert_eq!(order(3), order(3));
    let orders: std::collections::BTreeSet<Vec<i32>> = (0..20).map(order).collect();
    assert!(orders.len() > 15, "{} orders", orders.len());
}

#[test]
fn threads_have_names_and_end_with_their_pool() {
    let pool = ActorPool::threads(3);
    assert_eq!(pool.parallelism(), 3);
    assert_eq!(ActorPool::seeded(0).parallelism(), 1);
    let name = run(&pool, |_| async {
        Ok(thread::current().name().map(str::to_string))
    });
    let name = name.expect("no error").expect("a name");
    assert!(name.starts_with("pelton-actor-"), "{name}");
    let weak = Arc::downgrade(&pool);
    drop(pool);
    assert!(weak.upgrade().is_none());
}

#[test]
fn scopes_of_one_pool_do_not_touch_each_other() {
    let pool = ActorPool::threads(2);
    thread::scope(|threads| {
        for query in 0..8 {
            let pool = &pool;
            threads.spawn(move || {
                let result = run(pool, |scope| async move {
                    let (sender, receiver) = scope.channel(messages(1));
                    let reader = scope.spawn("reader", async move {
                        let mut count = 0;
                        while receiver.receive().await?.is_some() {
                            count += 1;
                        }
                        Ok(count)
                    });
                    for _ in 0..100 {
                        assert_eq!(sender.send(bytes(1)).await?, Delivery::Accepted);
                    }
                    if query % 2 == 1 {
                        return Err(failure());
                    }
                    sender.finish();
                    reader.await
                });
                assert_eq!(result.is_err(), query % 2 == 1);
            });
        }
    });
}
