//! Files that are open, wherever they lie.

use std::fs::File;
use std::io::ErrorKind as IoKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

#[cfg(feature = "object_store")]
use super::remote::RemoteFile;
use crate::error::{Error, Result};

/// Whether a path is a URL: the name of an object in a store, or on a web server.
pub(super) fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains("://"))
}

/// What tells whether a file is still the one that it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    /// Time of change, and what a store calls the object's version.
    pub(super) version: String,
}

/// A file of the file system, or an object of a store. Reads do not move anything: threads may share
/// it.
#[derive(Debug)]
pub struct OpenedFile {
    path: PathBuf,
    source: Source,
    stamp: Stamp,
}

#[derive(Debug)]
enum Source {
    Local(File),
    #[cfg(feature = "object_store")]
    Remote(RemoteFile),
}

impl OpenedFile {
    /// Opens a file by its path or URL.
    ///
    /// # Errors
    /// `Io` if the system or the store refuses, `Unsupported` for a URL in a build without the
    /// feature `object_store`.
    pub fn open(path: &Path) -> Result<OpenedFile> {
        let (source, stamp) = if is_url(path) {
            remote(path)?
        } else {
            local(path).map_err(|cause| Error::io(path, "open", &cause))?
        };
        let path = path.to_path_buf();
        Ok(OpenedFile {
            path,
            source,
            stamp,
        })
    }

    /// What it was when it was opened.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `bytes` from a place of the file on.
    ///
    /// # Errors
    /// `Io` if it cannot be read, `Corrupt` if it ends before.
    pub fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> Result<()> {
        match &self.source {
            Source::Local(file) => file
                .read_exact_at(bytes, start)
                .map_err(|cause| refused(&self.path, &cause)),
            #[cfg(feature = "object_store")]
            Source::Remote(file) => file
                .read_exact_at(bytes, start)
                .map_err(|cause| refused(&self.path, &cause)),
        }
    }

    /// Whether the file is still what it was when it was opened: asked after a read, so that bytes of a
    /// file that is written meanwhile are no rows. Objects of a store do not change; reads of another
    /// version fail.
    ///
    /// # Errors
    /// `Corrupt` if it changed, `Io` if the system does not say.
    pub fn check_unchanged(&self) -> Result<()> {
        match &self.source {
            Source::Local(file) => {
                let found = file.metadata();
                let found = found.map_err(|cause| Error::io(&self.path, "read", &cause))?;
                match stamp(&found) == self.stamp {
                    true => Ok(()),
                    false => Err(self.changed()),
                }
            }
            #[cfg(feature = "object_store")]
            Source::Remote(_) => Ok(()),
        }
    }

    /// The error of a file that is another one than it was.
    pub(super) fn changed(&self) -> Error {
        Error::corrupt(&self.path, "", "changed while the query ran; run it again")
    }

    /// The bytes of some places, each of ranges that are put together. A store is asked for many at a
    /// time.
    ///
    /// # Errors
    /// As [`read_exact_at`](OpenedFile::read_exact_at).
    pub fn read_joined(&self, places: &[Vec<Range<u64>>]) -> Result<Vec<Bytes>> {
        self.prepare(&places.concat())?;
        let read = |ranges: &Vec<Range<u64>>| {
            let length = ranges.iter().map(|range| range.end - range.start);
            let length = usize::try_from(length.sum::<u64>()).map_err(|_| {
                Error::corrupt(&self.path, "", "a column chunk is larger than memory")
            })?;
            let mut bytes = vec![0; length];
            let mut left = bytes.as_mut_slice();
            for range in ranges {
                // No longer than their sum, which is in memory.
                let (now, later) = left.split_at_mut((range.end - range.start) as usize);
                self.read_exact_at(now, range.start)?;
                left = later;
            }
            Ok(bytes.into())
        };
        let read = places.iter().map(read).collect::<Result<Vec<_>>>()?;
        self.check_unchanged()?;
        Ok(read)
    }

    /// Fetches ranges from a store, so that reads within them need not wait, until others are
    /// fetched. Nothing is
    /// done for a file of the file system.
    ///
    /// # Errors
    /// As [`read_exact_at`](OpenedFile::read_exact_at).
    #[cfg_attr(
        not(feature = "object_store"),
        expect(unused_variables, reason = "there are only files of the file system")
    )]
    pub fn prepare(&self, ranges: &[Range<u64>]) -> Result<()> {
        match &self.source {
            Source::Local(_) => Ok(()),
            #[cfg(feature = "object_store")]
            Source::Remote(file) => file
                .prepare(ranges)
                .map_err(|cause| refused(&self.path, &cause)),
        }
    }

    /// Bytes of host memory that [`prepare`](OpenedFile::prepare) takes for ranges of so many bytes.
    #[cfg_attr(
        not(feature = "object_store"),
        expect(unused_variables, reason = "there are only files of the file system")
    )]
    pub fn prepared_bytes(&self, bytes: u64) -> u64 {
        match &self.source {
            Source::Local(_) => 0,
            #[cfg(feature = "object_store")]
            Source::Remote(_) => bytes,
        }
    }
}

fn local(path: &Path) -> std::io::Result<(Source, Stamp)> {
    if !std::fs::metadata(path)?.is_file() {
        // A pipe would keep us waiting, a folder has no bytes.
        return Err(std::io::Error::other("not a regular file"));
    }
    let file = File::open(path)?;
    // Of the file that is open: another one may have its name meanwhile.
    let found = file.metadata()?;
    let stamp = stamp(&found);
    Ok((Source::Local(file), stamp))
}

fn stamp(found: &std::fs::Metadata) -> Stamp {
    Stamp {
        bytes: found.len(),
        version: format!("{:?}", found.modified().ok()),
    }
}

#[cfg(feature = "object_store")]
fn remote(path: &Path) -> Result<(Source, Stamp)> {
    let (file, stamp) = RemoteFile::open(path)?;
    Ok((Source::Remote(file), stamp))
}

#[cfg(not(feature = "object_store"))]
fn remote(path: &Path) -> Result<(Source, Stamp)> {
    Err(no_stores(path))
}

/// The error for URLs where this build knows none.
#[cfg(not(feature = "object_store"))]
pub(super) fn no_stores(path: &Path) -> Error {
    let reason = "this build reads no URLs: build it with the feature `object_store`";
    Error::unsupported("scan", path.display().to_string(), reason)
}

fn refused(path: &Path, cause: &std::io::Error) -> Error {
    if cause.kind() == IoKind::UnexpectedEof {
        Error::corrupt(path, "", "became shorter while it was read")
    } else {
        Error::io(path, "read", cause)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::ParquetFile;
    use super::*;

    /// Says that a file was changed in an hour: clocks of file systems are coarse.
    fn touch(path: &Path) {
        let file = File::options().append(true).open(path).unwrap();
        let later = SystemTime::now() + Duration::from_secs(3600);
        file.set_modified(later).unwrap();
    }

    #[test]
    fn bytes_of_a_file_that_changes_are_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        let file = OpenedFile::open(&path).unwrap();
        let places = [vec![2..4, 6..8]];
        assert_eq!(file.read_joined(&places).unwrap(), ["2367"]);
        touch(&path);
        let error = file.read_joined(&places).unwrap_err().to_string();
        assert!(
            error.contains("file: changed while the query ran"),
            "{error}"
        );
        std::fs::write(&path, "0123").unwrap();
        let error = file.read_joined(&places).unwrap_err().to_string();
        assert!(error.contains("file: became shorter"), "{error}");
    }

    #[test]
    fn a_footer_is_for_its_own_file_only() {
        let folder = tempfile::tempdir().unwrap();
        crate::doc_support::write_orders(folder.path()).unwrap();
        let path = folder.path().join("orders.parquet");
        let file = ParquetFile::open(&path).unwrap();
        assert!(file.reopen().is_ok());
        touch(&path);
        let error = file.reopen().unwrap_err().to_string();
        assert!(error.contains("changed while the query ran"), "{error}");
        assert!(ParquetFile::open(&path).unwrap().reopen().is_ok());
        std::fs::remove_file(&path).unwrap();
        let error = file.reopen().unwrap_err();
        assert!(
            matches!(error.kind(), crate::ErrorKind::Io { .. }),
            "{error}"
        );
    }
}
