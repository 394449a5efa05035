//! Files and folders in the making, hidden beside what they become.
//!
//! Dropped, they are removed. A process that is killed drops nothing: so whoever makes one holds a lock
//! on it, which ends with the process in any case, and the next one of its kind in the same folder
//! first sweeps those that nobody holds.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use tempfile::{Builder, NamedTempFile, TempDir};

/// A folder in the making.
#[derive(Debug)]
pub struct TemporaryFolder {
    folder: TempDir,
    _lock: File,
}

impl TemporaryFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets it stay, under whatever name it has by now.
    pub fn keep(self) {
        let _path = self.folder.keep();
    }
}

/// A new file in a folder, called `.pelton-<purpose>-…`; those of this purpose that a killed process left
/// there are removed.
///
/// # Errors
/// The folder cannot be written to.
pub fn temporary_file(
    folder: &Path,
    purpose: &str,
    permissions: Option<Permissions>,
) -> io::Result<NamedTempFile> {
    make(folder, purpose, permissions, |builder| {
        let file = builder.tempfile_in(folder)?;
        hold(file.as_file());
        Ok(still_there(file.path()).then_some(file))
    })
}

/// As [`temporary_file`], a folder.
///
/// # Errors
/// The folder that it is to be in cannot be written to.
pub fn temporary_folder(
    folder: &Path,
    purpose: &str,
    permissions: Option<Permissions>,
) -> io::Result<TemporaryFolder> {
    make(folder, purpose, permissions, |builder| {
        let folder = builder.tempdir_in(folder)?;
        let Ok(lock) = File::open(folder.path()) else {
            return Ok(None);
        };
        hold(&lock);
        let there = still_there(folder.path());
        Ok(there.then_some(TemporaryFolder {
            folder,
            _lock: lock,
        }))
    })
}

fn make<T>(
    folder: &Path,
    purpose: &str,
    permissions: Option<Permissions>,
    make: impl Fn(&Builder<'_, '_>) -> io::Result<Option<T>>,
) -> io::Result<T> {
    let prefix = format!(".pelton-{purpose}-");
    sweep(folder, &prefix);
    let mut builder = Builder::new();
    builder.prefix(&prefix);
    if let Some(permissions) = permissions {
        builder.permissions(permissions);
    }
    loop {
        // Somebody who sweeps may have come between the making and the lock.
        if let Some(made) = make(&builder)? {
            return Ok(made);
        }
    }
}

/// Locks what this process has just made. Where locks are not to be had, nobody sweeps either.
fn hold(made: impl AsFd) {
    let _unlocked = retry_on_intr(|| flock(&made, FlockOperation::LockExclusive));
}

fn still_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Removes what nobody holds any more. What cannot be removed stays: it is in nobody's way.
fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    for entry in entries.flatten().filter(|entry| ours(&entry.file_name())) {
        let _left = remove_if_left(&entry);
    }
}

fn remove_if_left(entry: &DirEntry) -> io::Result<()> {
    let (path, kind) = (entry.path(), entry.file_type()?);
    if !kind.is_file() && !kind.is_dir() {
        return Ok(()); // nothing that we make
    }
    let lock = File::open(&path)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    match kind.is_dir() {
        true => fs::remove_dir_all(&path),
        false => fs::remove_file(&path),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn names(folder: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name()));
        let names: io::Result<Vec<_>> = names.collect();
        let mut names: Vec<_> = names?
            .into_iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    #[test]
    fn what_is_left_is_swept_and_what_is_held_stays() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        let held = temporary_file(at, "test", None)?;
        let held_folder = temporary_folder(at, "test", None)?;
        // As a killed process leaves them: there, and locked by nobody.
        fs::write(at.join(".pelton-test-left"), "half of it")?;
        fs::create_dir(at.join(".pelton-test-folder"))?;
        fs::write(at.join(".pelton-test-folder/part"), "half of it")?;
        fs::write(at.join(".pelton-other-left"), "another purpose")?;
        fs::write(at.join("mine"), "no business of ours")?;
        let another = temporary_file(at, "test", None)?;
        let mut expected = vec![".pelton-other-left".to_string(), "mine".to_string()];
        for path in [held.path(), held_folder.path(), another.path()] {
            expected.extend(path.file_name().map(|name| name.to_string_lossy().into()));
        }
        expected.sort();
        assert_eq!(names(at)?, expected);
        drop((held, held_folder, another));
        assert_eq!(names(at)?, [".pelton-other-left", "mine"]);
        Ok(())
    }

    #[test]
    fn who_makes_one_while_others_sweep_keeps_it() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let make = || -> io::Result<()> {
            for _ in 0..100 {
                let file = temporary_file(folder.path(), "test", None)?;
                let inner = temporary_folder(folder.path(), "test", None)?;
                fs::write(inner.path().join("part"), "rows")?;
                assert!(still_there(file.path()));
                assert_eq!(fs::read(inner.path().join("part"))?, b"rows");
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            let mut threads = threads.into_iter();
            threads.try_for_each(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }
}
