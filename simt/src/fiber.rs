//! Stacks: one fiber per CUDA thread, kept by the OS thread for the launches to come.
//!
//! A fiber runs one kernel thread after another. It holds no Rust values across a suspension, only frames
//! of the kernel, so one that will never be resumed is reset without unwinding.

use std::cell::Cell;
use std::io;
use std::ptr;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, Yielder};

/// Ample for a kernel, which cannot recurse; a guard page follows.
const STACK_BYTES: usize = 64 << 10;
/// By how much neighbouring stacks are offset against each other, and after how many that repeats.
const STAGGER_BYTES: usize = 192;
const STAGGER_STEPS: usize = 21;
/// Fibers that an OS thread keeps.
const KEPT_MAX: usize = 4096;

thread_local! {
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(ptr::null()) };
}

/// Leaves the running fiber; returns when it is resumed. Does nothing outside a fiber.
pub(crate) fn suspend() {
    let yielder = YIELDER.get();
    if yielder.is_null() {
        return;
    }
    // SAFETY: YIELDER is that of the running fiber, whose frame below us holds it.
    let yielder_ref = unsafe { &*yielder };
    yielder_ref.suspend(());
    YIELDER.set(yielder);
}

/// A stack whose use starts somewhat below its top: the hot ends of many stacks would otherwise share the
/// few cache lines that page-aligned addresses map to.
struct StaggeredStack {
    stack: DefaultStack,
    offset: usize,
}

impl StaggeredStack {
    fn new(index: usize) -> io::Result<StaggeredStack> {
        let stack = DefaultStack::new(STACK_BYTES)?;
        Ok(StaggeredStack {
            stack,
            offset: index % STAGGER_STEPS * STAGGER_BYTES,
        })
    }
}

// SAFETY: base and limit are those of a `DefaultStack`, guard page included, with the base lowered by less
// than a page of its at least 16, and by a multiple of the stack alignment.
unsafe impl Stack for StaggeredStack {
    fn base(&self) -> StackPointer {
        let base = self.stack.base();
        StackPointer::new(base.get() - self.offset).unwrap_or(base)
    }

    fn limit(&self) -> StackPointer {
        self.stack.limit()
    }
}

struct Fiber {
    coroutine: Coroutine<(), (), (), StaggeredStack>,
    stack_low: usize,
    stack_bytes: usize,
}

impl Fiber {
    fn new(stack: StaggeredStack, body: fn()) -> Fiber {
        let stack_low = stack.limit().get();
        let stack_bytes = stack.base().get() - stack_low;
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            YIELDER.set(yielder);
            loop {
                body();
                suspend();
            }
        });
        Fiber {
            coroutine,
            stack_low,
            stack_bytes,
        }
    }

    /// Gives up what the fiber was doing and takes its stack.
    fn abandon(mut self) -> StaggeredStack {
        // SAFETY: the frames given up are those of a kernel and of hooks, which hold nothing to drop
        // across a suspension (see the module's text); the closure itself owns nothing either.
        unsafe { self.coroutine.force_reset() };
        self.coroutine.into_stack()
    }
}

/// The fibers of one OS thread.
pub(crate) struct Fibers {
    fibers: Vec<Option<Fiber>>,
    body: fn(),
}

impl Fibers {
    /// Each fiber runs `body` once per resumption that finds it idle.
    pub(crate) fn new(body: fn()) -> Fibers {
        Fibers {
            fibers: Vec::new(),
            body,
        }
    }

    /// Makes sure that fibers `0..count` exist.
    pub(crate) fn ensure(&mut self, count: usize) -> io::Result<()> {
        while self.fibers.len() < count {
            let stack = StaggeredStack::new(self.fibers.len())?;
            self.fibers.push(Some(Fiber::new(stack, self.body)));
        }
        Ok(())
    }

    /// Lowest address and size of a fiber's stack.
    pub(crate) fn stack(&self, index: usize) -> (usize, usize) {
        self.fibers[index]
            .as_ref()
            .map_or((0, 0), |fiber| (fiber.stack_low, fiber.stack_bytes))
    }

    pub(crate) fn resume(&mut self, index: usize) {
        if let Some(fiber) = &mut self.fibers[index] {
            let outer = YIELDER.replace(ptr::null());
            fiber.coroutine.resume(());
            YIELDER.set(outer);
        }
    }

    /// Resets the fibers that are in the middle of a thread.
    pub(crate) fn abandon(&mut self, in_use: impl Iterator<Item = usize>) {
        for index in in_use {
            if let Some(fiber) = self.fibers[index].take() {
                let stack = fiber.abandon();
                self.fibers[index] = Some(Fiber::new(stack, self.body));
            }
        }
    }

    /// Gives back the fibers beyond what a thread keeps.
    pub(crate) fn trim(&mut self) {
        while self.fibers.len() > KEPT_MAX {
            if let Some(Some(fiber)) = self.fibers.pop() {
                drop(fiber.abandon());
            }
        }
    }
}

impl Drop for Fibers {
    fn drop(&mut self) {
        for fiber in self.fibers.drain(..).flatten() {
            drop(fiber.abandon());
        }
    }
}
