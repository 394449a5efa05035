//! Every interleaving of a few threads at one batch, step by step, without threads.

#![forbid(unsafe_code)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::batch::Batch;
use super::host_parking::{park_host, unpark_host};
use super::reservation::Tier;
use super::residence::{Access, InFrom, Live, OnHost, OutFrom, Place, Residence};

/// A thread of the story; each has at most two steps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Spill,
    /// Whose copy fails.
    SpillFails,
    Get,
    Take,
    /// Who cannot bring the batch back.
    GetFails,
}

enum Step {
    First,
    SpillEnds {
        version: u64,
        place: Option<Place>,
        accesses: usize,
    },
    BringEnds(Option<Live>),
    Done,
}

struct Story {
    residence: Residence,
    roles: Vec<Role>,
    steps: Vec<Step>,
    accesses: usize,
    taken: usize,
    spills: usize,
}

fn live() -> Live {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9]));
    Live {
        batch: rows(column),
        held: None,
    }
}

fn rows(column: ArrayRef) -> Batch {
    match RecordBatch::try_from_iter([("a", column)]) {
        Ok(rows) => Batch::host(rows),
        Err(error) => panic!("{error}"),
    }
}

fn check_rows(batch: &Batch) {
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9]));
    assert_eq!(batch.as_host(), rows(expected).as_host());
}

fn place_of(batch: &Batch) -> Option<Place> {
    let parked = park_host(batch.as_host()?);
    Some(Place::Host(Arc::new(OnHost {
        parked,
        _held: Vec::new(),
    })))
}

impl Story {
    fn new(roles: &[Role]) -> Story {
        Story {
            residence: Residence::new(live()),
            roles: roles.to_vec(),
            steps: roles.iter().map(|_| Step::First).collect(),
            accesses: 0,
            taken: 0,
            spills: 0,
        }
    }

    fn over(&self, actor: usize) -> bool {
        matches!(self.steps[actor], Step::Done)
    }

    /// One step of one thread; false if it waits for another.
    fn step(&mut self, actor: usize) -> bool {
        let role = self.roles[actor];
        let step = std::mem::replace(&mut self.steps[actor], Step::Done);
        match step {
            Step::Done => false,
            Step::First if matches!(role, Role::Spill | Role::SpillFails) => {
                self.start_spill(actor, role);
                true
            }
            Step::First => self.access(actor, role),
            Step::SpillEnds {
                version,
                place,
                accesses,
            } => {
                let copied = place.is_some();
                let (moved, dropped) = self.residence.finish_out(version, place);
                assert_eq!(
                    moved,
                    copied && accesses == self.accesses,
                    "a move that nobody crossed"
                );
                assert_eq!(
                    dropped.is_some(),
                    copied,
                    "one of the two places is to be dropped"
                );
                self.spills += usize::from(moved);
                true
            }
            Step::BringEnds(brought) => {
                let some = brought.is_some();
                let (out, _) = self.residence.finish_in(brought, role == Role::Take);
                assert_eq!(out.is_some(), some);
                if let Some(live) = &out {
                    check_rows(&live.batch);
                    self.taken += usize::from(role == Role::Take);
                }
                true
            }
        }
    }

    fn start_spill(&mut self, actor: usize, role: Role) {
        let Some(out) = self.residence.start_out() else {
            return;
        };
        assert!(self.residence.start_out().is_none(), "one move at a time");
        let place = match &out.from {
            OutFrom::Live(batch) => place_of(batch),
            OutFrom::Host(on_host) => Some(Place::Host(Arc::clone(on_host))),
        };
        self.steps[actor] = Step::SpillEnds {
            version: out.version(),
            place: place.filter(|_| role == Role::Spill),
            accesses: self.accesses,
        };
    }

    fn access(&mut self, actor: usize, role: Role) -> bool {
        match self.residence.access(role == Role::Take) {
            Access::Ready(live) => {
                self.accesses += 1;
                self.taken += usize::from(role == Role::Take);
                check_rows(&live.batch);
            }
            Access::Bring(InFrom::Host(on_host)) => {
                self.accesses += 1;
                assert!(
                    self.residence.start_out().is_none(),
                    "it is being brought back"
                );
                let brought = unpark_host(&on_host.parked).ok().map(|rows| Live {
                    batch: Batch::host(rows),
                    held: None,
                });
                self.steps[actor] = Step::BringEnds(brought.filter(|_| role != Role::GetFails));
            }
            Access::Bring(InFrom::Disk(_)) => panic!("there is no disk"),
            Access::Wait => {
                self.steps[actor] = Step::First;
                return false;
            }
            Access::Gone => assert_eq!(self.taken, 1, "gone only if taken"),
        }
        true
    }

    fn check_end(&mut self) {
        let takers = self
            .roles
            .iter()
            .filter(|role| **role == Role::Take)
            .count();
        assert_eq!(self.taken, takers.min(1));
        assert_eq!(self.residence.tier(Tier::Device).is_none(), self.taken == 1);
        if self.taken == 0 {
            // Whatever happened, the batch is there, and can be spilled and had.
            if let Access::Bring(InFrom::Host(_)) = self.residence.access(false) {
                self.residence.finish_in(Some(live()), false);
            }
            assert!(self.residence.start_out().is_some());
        }
    }
}

/// Follows every order of steps; gives how many there were, and how many batches were spilled.
fn explore(roles: &[Role], order: &mut Vec<usize>) -> (usize, usize) {
    let mut totals = (0, 0);
    let mut any = false;
    for actor in 0..roles.len() {
        let mut story = Story::new(roles);
        for before in order.iter() {
            story.step(*before);
        }
        if story.over(actor) || !story.step(actor) {
            continue;
        }
        any = true;
        order.push(actor);
        let (stories, spills) = explore(roles, order);
        order.pop();
        totals = (totals.0 + stories, totals.1 + spills);
    }
    if any {
        return totals;
    }
    let mut story = Story::new(roles);
    for step in order.iter() {
        story.step(*step);
    }
    assert!(
        (0..roles.len()).all(|actor| story.over(actor)),
        "nobody waits for ever: {order:?}"
    );
    let spills = story.spills;
    story.check_end();
    (1, spills)
}

#[test]
fn no_order_of_steps_loses_a_batch_or_gives_it_out_twice() {
    use Role::{Get, GetFails, Spill, SpillFails, Take};
    let casts: [&[Role]; 7] = [
        &[Spill, Spill, Get, Get],
        &[Spill, Get, Take],
        &[Spill, Spill, Take, Take],
        &[Spill, SpillFails, Get, Take],
        &[Spill, GetFails, Get, Spill],
        &[Spill, GetFails, GetFails, Take],
        &[Spill, Spill, GetFails, SpillFails],
    ];
    for cast in casts {
        let (stories, spills) = explore(cast, &mut Vec::new());
        assert!(
            stories > 10 && spills > 0,
            "{cast:?}: {stories} stories, {spills} spills"
        );
    }
}
