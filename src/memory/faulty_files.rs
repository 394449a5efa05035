//! Spill files that fail when they are told to: a simulator for tests.

#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::files::{Files, SpillFile, read_error, write_error};
use crate::error::{Error, Result};

/// A way in which a file fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// A file cannot be made: the folder is gone.
    NoFile,
    /// A write says that the disk is full; half of it is written.
    DiskFull,
    /// A write says that it is done; half of it is written.
    ShortWrite,
    /// A write is done, but for one bit.
    FlippedBit,
    /// A read fails.
    FailedRead,
    /// A write takes this long.
    Slow(Duration),
}

impl FileFault {
    fn call(self) -> Call {
        match self {
            FileFault::NoFile => Call::Create,
            FileFault::FailedRead => Call::Read,
            _ => Call::Write,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Create,
    Write,
    Read,
}

#[derive(Debug)]
struct Plan {
    /// Faults and the calls of their kind, counted from 0, that they happen to.
    scripted: Vec<(FileFault, u64)>,
    /// Any fault at one call in so many; 0 for none.
    one_in: u64,
    seed: Mutex<u64>,
    calls: [AtomicU64; 3],
    happened: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Plan {
    fn fault(&self, call: Call) -> Option<FileFault> {
        let number = self.calls[call as usize].fetch_add(1, Ordering::Relaxed);
        let scripted = self.scripted.iter();
        let mut fault = scripted
            .filter(|(fault, at)| fault.call() == call && *at == number)
            .map(|(fault, _)| *fault)
            .next();
        if self.one_in > 0 && self.draw().is_multiple_of(self.one_in) {
            let drawn = match (call, self.draw() % 4) {
                (Call::Create, _) => FileFault::NoFile,
                (Call::Read, _) => FileFault::FailedRead,
                (Call::Write, 0) => FileFault::DiskFull,
                (Call::Write, 1) => FileFault::ShortWrite,
                (Call::Write, 2) => FileFault::FlippedBit,
                (Call::Write, _) => FileFault::Slow(Duration::from_micros(200)),
            };
            fault = fault.or(Some(drawn));
        }
        if fault.is_some() {
            self.happened.fetch_add(1, Ordering::Relaxed);
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(Instant::now());
        }
        fault
    }

    /// splitmix64.
    fn draw(&self) -> u64 {
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = *seed;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// Other files with faults.
///
/// ```
/// use pelton::memory::{DiskFiles, FaultyFiles, FileFault, Files};
/// use std::sync::Arc;
/// # fn main() -> pelton::Result<()> {
/// let folder = tempfile::tempdir()?;
/// let files = FaultyFiles::scripted(Arc::new(DiskFiles), [(FileFault::DiskFull, 1)]);
/// let file = files.create(folder.path())?;
/// assert_eq!(file.append(b"first")?, 0);
/// assert!(file.append(b"second").is_err());
/// assert_eq!(files.happened(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultyFiles {
    files: Arc<dyn Files>,
    plan: Arc<Plan>,
}

impl FaultyFiles {
    fn new(files: Arc<dyn Files>, scripted: Vec<(FileFault, u64)>, one_in: u64, seed: u64) -> Self {
        let plan = Plan {
            scripted,
            one_in,
            seed: Mutex::new(seed),
            calls: Default::default(),
            happened: AtomicU64::new(0),
            last: Mutex::default(),
        };
        FaultyFiles {
            files,
            plan: Arc::new(plan),
        }
    }

    /// Each fault at the n-th call, from 0, of those that it can happen to.
    pub fn scripted(
        files: Arc<dyn Files>,
        faults: impl IntoIterator<Item = (FileFault, u64)>,
    ) -> Self {
        FaultyFiles::new(files, faults.into_iter().collect(), 0, 0)
    }

    /// Any fault at one call in `one_in`, drawn from a seed.
    pub fn random(files: Arc<dyn Files>, seed: u64, one_in: u64) -> Self {
        FaultyFiles::new(files, Vec::new(), one_in, seed)
    }

    /// Faults so far.
    pub fn happened(&self) -> u64 {
        self.plan.happened.load(Ordering::Relaxed)
    }

    /// When the last fault happened.
    pub fn last(&self) -> Option<Instant> {
        let last = self.plan.last.lock();
        *last.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files for FaultyFiles {
    fn create(&self, folder: &Path) -> Result<Box<dyn SpillFile>> {
        if self.plan.fault(Call::Create).is_some() {
            let cause = io::Error::from(io::ErrorKind::NotFound);
            return Err(Error::io(folder, "write a spill file in", &cause));
        }
        Ok(Box::new(FaultyFile {
            file: self.files.create(folder)?,
            plan: Arc::clone(&self.plan),
            folder: folder.to_path_buf(),
        }))
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn SpillFile>,
    plan: Arc<Plan>,
    folder: PathBuf,
}

impl SpillFile for FaultyFile {
    fn append(&self, bytes: &[u8]) -> Result<u64> {
        let half = &bytes[..bytes.len() / 2];
        match self.plan.fault(Call::Write) {
            Some(FileFault::DiskFull) => {
                self.file.append(half)?;
                let cause = io::Error::from(io::ErrorKind::StorageFull);
                Err(write_error(&self.folder, bytes.len() as u64, &cause))
            }
            Some(FileFault::ShortWrite) => self.file.append(half),
            Some(FileFault::FlippedBit) => {
                let mut flipped = bytes.to_vec();
                let bit = self.plan.draw() % (8 * flipped.len().max(1) as u64);
                if let Some(byte) = flipped.get_mut((bit / 8) as usize) {
                    *byte ^= 1 << (bit % 8);
                }
                self.file.append(&flipped)
            }
            Some(FileFault::Slow(time)) => {
                thread::sleep(time);
                self.file.append(bytes)
            }
            _ => self.file.append(bytes),
        }
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        if self.plan.fault(Call::Read).is_some() {
            let cause = io::Error::other("simulated");
            return Err(read_error(&self.folder, offset, &cause));
        }
        self.file.read_at(offset, into)
    }
}
