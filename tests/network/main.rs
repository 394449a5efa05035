//! The network of actors: how scopes, channels and waits behave, on threads and under seeds.

#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "tests may fail loudly, and actors of tests do"
)]

mod channels;
mod interleavings;
mod random;
mod scopes;
#[expect(dead_code, reason = "the tests use a part of the interface")]
mod simulated;
mod time;
mod waits;

/// What the room's sources call the errors, where a test includes them.
mod error {
    pub use pelton::error::*;
}

use std::sync::Arc;

use pelton::network::{ActorPool, Capacity, Scope};
use pelton::{Error, Result};

/// Runs a test on threads, on one thread, and under several seeds.
fn on_pools(test: impl Fn(&Arc<ActorPool>)) {
    test(&ActorPool::threads(4));
    test(&ActorPool::threads(1));
    (0..50).for_each(|seed| test(&ActorPool::seeded(seed)));
}

/// Runs one root actor in a scope of its own.
fn run<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    pool: &Arc<ActorPool>,
    root: impl FnOnce(Scope) -> F,
) -> Result<T> {
    let scope = Scope::new(pool, None);
    scope.run(root(scope.clone()))
}

fn messages(messages: usize) -> Capacity {
    Capacity {
        messages,
        bytes: u64::MAX,
    }
}

fn bytes(length: usize) -> Vec<u8> {
    vec![0; length]
}

fn failure() -> Error {
    Error::arithmetic("a / b", "division by zero")
}

/// What an error says; `no error` if there is none.
fn text<T>(result: Result<T>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "no error".to_string())
}

/// Lets others run.
async fn step_aside() {
    let mut before = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut before) {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}
