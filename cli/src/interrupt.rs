//! Ctrl-C: whatever is half done is removed, and the exit code is 130.
//!
//! A query that runs is cancelled, so that the command ends as after any other error. Otherwise the
//! process ends here, and runs no destructors: temporary files register, so that they are removed all the
//! same. At a prompt only what runs ends; who presses again before it has, ends the process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pelton::engine::QueryControl;

use crate::failure::Exit;

/// How long a query that was cancelled may take to end.
const GRACE: Duration = Duration::from_secs(5);

static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static RUNNING: Mutex<Option<QueryControl>> = Mutex::new(None);
static REQUESTED: AtomicBool = AtomicBool::new(false);
static STAYING: AtomicBool = AtomicBool::new(false);

/// Cancels what runs, removes temporary files and exits on Ctrl-C, from now on.
pub fn install() {
    // Without a handler Ctrl-C still ends the process, only less tidily.
    let _ = ctrlc::set_handler(|| {
        let again = REQUESTED.swap(true, Ordering::SeqCst);
        let stays = STAYING.load(Ordering::SeqCst) && !again;
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(control) = running.as_ref() {
            control.cancel("interrupted");
            drop(running);
            if !STAYING.load(Ordering::SeqCst) {
                // The command ends before; if not, the query does not look.
                std::thread::sleep(GRACE);
            }
        }
        if stays {
            return;
        }
        remove_all();
        std::process::exit(Exit::Interrupted as i32);
    });
}

/// From now on the first Ctrl-C since [`forget`] cancels what runs, and the program stays.
#[cfg(feature = "sql")]
pub fn stay() {
    STAYING.store(true, Ordering::SeqCst);
}

/// Lets a Ctrl-C be of the past.
#[cfg(feature = "sql")]
pub fn forget() {
    REQUESTED.store(false, Ordering::SeqCst);
}

/// Whether somebody pressed Ctrl-C.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// While this lives, an interrupt cancels the query.
#[derive(Debug)]
pub struct Interruptible(());

impl Interruptible {
    /// Registers a query; there is one at a time.
    pub fn new(control: &QueryControl) -> Self {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(control.clone());
        Interruptible(())
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn remove_all() {
    let paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    for path in paths.iter() {
        // Other threads may still be writing there: a folder that fills again is tried again.
        for _ in 0..10 {
            match remove(path) {
                Err(cause) if cause.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                _ => break,
            }
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    }
}

/// While this lives, an interrupt removes the path.
#[derive(Debug)]
pub struct Registered(PathBuf);

impl Registered {
    /// Registers a temporary file or folder.
    pub fn new(path: &Path) -> Self {
        let mut paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        paths.push(path.to_path_buf());
        Registered(path.to_path_buf())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut paths = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = paths.iter().position(|path| *path == self.0) {
            paths.swap_remove(at);
        }
    }
}
