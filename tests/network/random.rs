//! Random networks: messages are neither lost nor doubled, and everything ends.
//!
//! A seed draws sources, stages of actors that share channels, fanouts, budgets, throttles, waits
//! that are given up in the middle, and at most one fault. The law: without a fault every sink gets
//! every message once; with drains none twice; with a failure the run ends with that very failure.
//! In each case every message has been dropped when the run returns.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pelton::Result;
use pelton::network::{
    ActorPool, Capacity, Delivery, Receiver, Scope, Sender, Throttle, Weigh, fanout,
};

use super::{failure, step_aside, text};

/// SplitMix64.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (word ^ (word >> 31)) % count
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// One that draws on its own.
    fn split(&mut self) -> Random {
        Random(self.below(u64::MAX))
    }
}

#[derive(Clone)]
struct Message {
    id: u64,
    _alive: Arc<()>,
}

impl Weigh for Message {
    fn bytes(&self) -> u64 {
        self.id % 7
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Sinks want no more after some messages.
    Drain,
    /// An actor of a stage fails at its n-th message.
    Error(u64),
    Panic(u64),
    /// It ends without finishing its stream.
    Unfinished(u64),
    /// The scope is cancelled.
    Cancel(u64),
}

impl Fault {
    fn strikes_at(self, count: u64) -> bool {
        match self {
            Fault::None | Fault::Drain => false,
            Fault::Error(at) | Fault::Panic(at) | Fault::Unfinished(at) | Fault::Cancel(at) => {
                at == count
            }
        }
    }
}

/// What the actors of one network share.
#[derive(Clone)]
struct Net {
    scope: Scope,
    throttle: Throttle,
    fault: Fault,
    struck: Arc<AtomicBool>,
    sinks: Arc<Mutex<Vec<Vec<u64>>>>,
}

impl Net {
    /// Time passes, in one way or another.
    async fn dawdle(&self, random: &mut Random) -> Result<()> {
        match random.below(6) {
            0 => step_aside().await,
            1 => {
                let micros = random.below(50);
                self.scope.sleep(Duration::from_micros(micros)).await?;
            }
            2 => {
                let permit = self.throttle.acquire().await?;
                step_aside().await;
                drop(permit);
            }
            _ => {}
        }
        Ok(())
    }

    /// Receives; now and then a wait is given up and begun again.
    async fn receive(
        &self,
        source: &Receiver<Message>,
        random: &mut Random,
    ) -> Result<Option<Message>> {
        loop {
            if !random.one_in(4) {
                return source.receive().await;
            }
            let patience = Duration::from_micros(random.below(20));
            if let Some(received) = self.scope.timeout(patience, source.receive()).await? {
                return received;
            }
        }
    }

    async fn send_all(
        self,
        target: Sender<Message>,
        ids: std::ops::Range<u64>,
        alive: Arc<()>,
        mut random: Random,
    ) -> Result<()> {
        for id in ids {
            self.dawdle(&mut random).await?;
            let _alive = Arc::clone(&alive);
            if target.send(Message { id, _alive }).await? == Delivery::Unwanted {
                break;
            }
        }
        target.finish();
        Ok(())
    }

    async fn pass_on(
        self,
        source: Receiver<Message>,
        target: Sender<Message>,
        faulty: bool,
        mut random: Random,
    ) -> Result<()> {
        let mut count = 0;
        while let Some(message) = self.receive(&source, &mut random).await? {
            self.dawdle(&mut random).await?;
            count += 1;
            if faulty && self.fault.strikes_at(count) {
                self.struck.store(true, Ordering::SeqCst);
                match self.fault {
                    Fault::Error(_) => return Err(failure()),
                    Fault::Panic(_) => std::panic::panic_any("planned"),
                    Fault::Unfinished(_) => return Ok(()),
                    _ => self.scope.canceller().cancel("planned"),
                }
            }
            if target.send(message).await? == Delivery::Unwanted {
                source.drain();
                break;
            }
        }
        target.finish();
        Ok(())
    }

    async fn collect(
        self,
        sink: usize,
        source: Receiver<Message>,
        mut random: Random,
    ) -> Result<()> {
        let wanted = if self.fault == Fault::Drain {
            random.below(10)
        } else {
            u64::MAX
        };
        let mut count = 0;
        while count < wanted {
            let Some(message) = self.receive(&source, &mut random).await? else {
                return Ok(());
            };
            self.dawdle(&mut random).await?;
            self.sinks.lock().expect("no panic")[sink].push(message.id);
            count += 1;
        }
        source.drain();
        Ok(())
    }

    fn add_sink(&self, source: &Receiver<Message>, random: &mut Random) {
        let sink = {
            let mut sinks = self.sinks.lock().expect("no panic");
            sinks.push(Vec::new());
            sinks.len() - 1
        };
        for _ in 0..=random.below(2) {
            let collecting = self.clone().collect(sink, source.clone(), random.split());
            drop(self.scope.spawn("sink", collecting));
        }
    }

    /// Starts everything; the messages are 0 to the returned count.
    fn start(&self, alive: &Arc<()>, random: &mut Random) -> u64 {
        let capacity = |random: &mut Random| Capacity {
            messages: random.below(4) as usize,
            bytes: random.below(20),
        };
        let (first, mut source) = self.scope.channel(capacity(random));
        let mut id = 0;
        for _ in 0..=random.below(3) {
            let ids = id..id + random.below(20);
            id = ids.end;
            let alive = Arc::clone(alive);
            let sending = self
                .clone()
                .send_all(first.clone(), ids, alive, random.split());
            drop(self.scope.spawn("source", sending));
        }
        first.finish();
        let faulty_stage = random.below(3);
        for stage in 0..3 {
            let (target, end) = self.scope.channel(capacity(random));
            for actor in 0..=random.below(3) {
                let faulty = stage == faulty_stage && actor == 0;
                let (source, target) = (source.clone(), target.clone());
                let passing = self.clone().pass_on(source, target, faulty, random.split());
                drop(self.scope.spawn("stage", passing));
            }
            target.finish();
            source = end;
            if random.one_in(2) {
                let (left, left_end) = self.scope.channel(capacity(random));
                let (right, right_end) = self.scope.channel(capacity(random));
                drop(
                    self.scope
                        .spawn("fanout", fanout(source, vec![left, right])),
                );
                self.add_sink(&left_end, random);
                source = right_end;
            }
        }
        self.add_sink(&source, random);
        id
    }
}

fn check(pool: &Arc<ActorPool>, seed: u64) {
    let mut random = Random(seed);
    let at = 1 + random.below(12);
    let fault = match random.below(10) {
        0 => Fault::Error(at),
        1 => Fault::Panic(at),
        2 => Fault::Unfinished(at),
        3 => Fault::Cancel(at),
        4 | 5 => Fault::Drain,
        _ => Fault::None,
    };
    let scope = Scope::new(pool, None);
    let net = Net {
        throttle: scope.throttle(1 + random.below(3) as usize),
        scope: scope.clone(),
        fault,
        struck: Arc::default(),
        sinks: Arc::default(),
    };
    let alive = Arc::new(());
    let (inner, held) = (net.clone(), Arc::clone(&alive));
    let result: Result<u64> = scope.run(async move { Ok(inner.start(&held, &mut random)) });
    assert_eq!(
        Arc::strong_count(&alive),
        1,
        "seed {seed}: a message is alive"
    );
    let sinks = net.sinks.lock().expect("no panic");
    for ids in sinks.iter() {
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            ids.len(),
            "seed {seed}: a message came twice"
        );
        if let (Ok(count), Fault::None) = (&result, fault) {
            assert!(
                distinct.into_iter().eq(0..*count),
                "seed {seed}: a message is lost"
            );
        }
    }
    let struck = net.struck.load(Ordering::SeqCst);
    let said = text(result);
    assert_eq!(said != "no error", struck, "seed {seed}: {fault:?}: {said}");
    let expected: &[&str] = match fault {
        _ if !struck => &["no error"],
        Fault::None | Fault::Drain => &[],
        Fault::Error(_) => &["stage: a / b: division by zero"],
        Fault::Panic(_) => &["stage: panicked: planned; this is a defect, please report it"],
        Fault::Cancel(_) => &["cancelled: planned"],
        Fault::Unfinished(_) => &["without finishing its stream", "every receiver is gone"],
    };
    let planned = expected.iter().any(|expected| said.ends_with(expected));
    assert!(planned, "seed {seed}: {fault:?}: {said}");
}

#[test]
fn networks_of_a_thousand_seeds_lose_and_double_nothing() {
    (0..1000).for_each(|seed| check(&ActorPool::seeded(seed), seed));
}

#[test]
fn networks_on_threads_lose_and_double_nothing() {
    let pool = ActorPool::threads(4);
    (0..200).for_each(|seed| check(&pool, seed));
}
