//! Where spilled bytes are written: files that nobody sees and that end with their process.

#![forbid(unsafe_code)]

use std::fmt;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Makes spill files. [`DiskFiles`] makes real ones, [`FaultyFiles`](super::FaultyFiles) those that
/// fail.
pub trait Files: fmt::Debug + Send + Sync {
    /// A new empty file in a folder.
    ///
    /// # Errors
    /// `Io`, naming the folder.
    fn create(&self, folder: &Path) -> Result<Box<dyn SpillFile>>;
}

/// A file that grows at its end and is read anywhere; many threads at once.
pub trait SpillFile: fmt::Debug + Send + Sync {
    /// Writes bytes at the end, and says at which offset they begin.
    ///
    /// # Errors
    /// `Io`, naming the folder. What was written of the bytes stays unused.
    fn append(&self, bytes: &[u8]) -> Result<u64>;

    /// Reads as many bytes as `into` has, from an offset on.
    ///
    /// # Errors
    /// `Io`, or `Corrupt` if the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()>;
}

/// Files without a name: they vanish with the process, however it ends. Only their owner may read
/// them.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn create(&self, folder: &Path) -> Result<Box<dyn SpillFile>> {
        let made = tempfile::tempfile_in(folder).and_then(|file| {
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(file)
        });
        let file = made.map_err(|cause| {
            let error = Error::io(folder, "write a spill file in", &cause);
            error.context("set `spill_folder` to a folder that exists and is writable")
        })?;
        Ok(Box::new(DiskFile {
            file,
            end: AtomicU64::new(0),
            folder: folder.to_path_buf(),
        }))
    }
}

#[derive(Debug)]
struct DiskFile {
    file: File,
    end: AtomicU64,
    folder: PathBuf,
}

impl SpillFile for DiskFile {
    fn append(&self, bytes: &[u8]) -> Result<u64> {
        let offset = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|cause| write_error(&self.folder, bytes.len() as u64, &cause))?;
        Ok(offset)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact_at(into, offset);
        read.map_err(|cause| read_error(&self.folder, offset, &cause))
    }
}

/// The error of a failed write: which folder, how much, and what to do if the disk is full.
pub(super) fn write_error(folder: &Path, bytes: u64, cause: &io::Error) -> Error {
    let full = matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let cause = if full {
        format!(
            "{cause}; {bytes} bytes of spilled rows are to be written: free space there, set \
             `spill_folder` to a larger disk, or `disk_limit` to what may be used"
        )
    } else {
        format!("{cause} ({bytes} bytes of spilled rows)")
    };
    Error::new(ErrorKind::Io {
        path: folder.to_path_buf(),
        operation: "write a spill file in",
        cause,
    })
}

/// The error of a failed read.
pub(super) fn read_error(folder: &Path, offset: u64, cause: &io::Error) -> Error {
    if cause.kind() == io::ErrorKind::UnexpectedEof {
        return damaged(folder, offset, "the file is shorter than what was written");
    }
    Error::io(folder, "read a spill file in", cause)
}

/// The error of bytes that are not what was written.
pub(super) fn damaged(folder: &Path, offset: u64, cause: &str) -> Error {
    Error::corrupt(
        folder,
        format!("spill file, byte {offset}"),
        format!(
            "{cause}; run the query again, and check this disk or set `spill_folder` to another"
        ),
    )
}
