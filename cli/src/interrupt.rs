//! Ctrl-C: whatever is half done is removed, and the exit code is 130.
//!
//! Temporary files register here, because an interrupted process runs no destructors.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// 128 and the signal's number, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;

static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes temporary files and exits on Ctrl-C, from now on.
pub fn install() {
    // Without a handler Ctrl-C still ends the process, only less tidily.
    let _ = ctrlc::set_handler(|| {
        remove_all();
        std::process::exit(EXIT_INTERRUPTED);
    });
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
