//! Where a sink's bytes go: a file or a folder that appears under its name when it is whole.
//!
//! Everything is written beside the target, under a temporary name in the same folder, so that
//! the last step is a rename. Dropping a target removes what was written; what a killed process left
//! is removed by the next target in the folder.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::storage::temporary::{TemporaryFolder, temporary_file, temporary_folder};

/// In the name of what is not whole yet. It begins with a dot, which hides it from patterns.
const PURPOSE: &str = "sink";

/// Begins the name of a folder that is about to be replaced: somebody's rows, which nobody sweeps.
const OLD_PREFIX: &str = ".pelton-old-";

/// Most files of a folder: their names have five digits, and sort as they are numbered.
const FILES_MAX: usize = 100_000;

/// A file or a folder in the making.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    /// The folder that both names are in.
    parent: PathBuf,
    overwrite: bool,
    made: Made,
}

#[derive(Debug)]
enum Made {
    File(NamedTempFile),
    Folder {
        folder: TemporaryFolder,
        files: usize,
    },
}

impl Target {
    /// Makes the temporary file, or the temporary folder.
    ///
    /// # Errors
    /// `InvalidInput` if something is at the target that may not be replaced; `Io` if the folder
    /// of the target cannot be written to.
    pub(super) fn new(path: &Path, is_folder: bool, overwrite: bool) -> Result<Target> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) => Path::new("."),
            None => return Err(refused(path, "names no file", "")),
        };
        if is_folder {
            check_folder(path, overwrite)?;
        } else {
            check_file(path, overwrite)?;
        }
        let failed = |cause: io::Error| Error::io(path, "write", &cause);
        let permissions = permissions(is_folder);
        let made = if is_folder {
            let folder = temporary_folder(parent, PURPOSE, permissions).map_err(failed)?;
            Made::Folder { folder, files: 0 }
        } else {
            Made::File(temporary_file(parent, PURPOSE, permissions).map_err(failed)?)
        };
        Ok(Target {
            path: path.to_path_buf(),
            parent: parent.to_path_buf(),
            overwrite,
            made,
        })
    }

    /// What is there until the target is whole.
    pub(super) fn temporary(&self) -> &Path {
        match &self.made {
            Made::File(file) => file.path(),
            Made::Folder { folder, .. } => folder.path(),
        }
    }

    /// The name under which the next file is going to be found, and the file.
    pub(super) fn next_file(&mut self) -> Result<(PathBuf, File)> {
        match &mut self.made {
            Made::File(file) => {
                let opened = file.reopen();
                let opened = opened.map_err(|cause| Error::io(&self.path, "write", &cause))?;
                Ok((self.path.clone(), opened))
            }
            Made::Folder { folder, files } => {
                if *files >= FILES_MAX {
                    let cause = format!("{FILES_MAX} files do not hold the rows");
                    return Err(refused(&self.path, &cause, "raise the rows of a file"));
                }
                let name = format!("part-{files:05}.parquet");
                let path = self.path.join(&name);
                let opened = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(folder.path().join(&name))
                    .map_err(|cause| Error::io(&path, "write", &cause))?;
                *files += 1;
                Ok((path, opened))
            }
        }
    }

    /// Gives the target its name. Its files are on the disk already.
    pub(super) fn commit(self) -> Result<()> {
        let Target {
            path,
            parent,
            overwrite,
            made,
        } = self;
        let failed = |cause: &io::Error| Error::io(&path, "write", cause);
        match made {
            Made::File(file) => {
                let kept = if overwrite {
                    file.persist(&path)
                } else {
                    file.persist_noclobber(&path)
                };
                kept.map_err(|refusal| match refusal.error.kind() {
                    io::ErrorKind::AlreadyExists => exists(&path),
                    _ => failed(&refusal.error),
                })?;
            }
            Made::Folder { folder, .. } => {
                synchronise(folder.path())?;
                commit_folder(folder, &path, &parent, overwrite)?;
            }
        }
        synchronise(&parent)
    }
}

/// As any new file or folder: the user's mask applies.
#[cfg(unix)]
fn permissions(is_folder: bool) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(if is_folder {
        0o777
    } else {
        0o666
    }))
}

#[cfg(not(unix))]
fn permissions(_is_folder: bool) -> Option<Permissions> {
    None
}

fn refused(path: &Path, cause: &str, remedy: &str) -> Error {
    Error::invalid(path.display().to_string(), cause, remedy)
}

fn exists(path: &Path) -> Error {
    refused(path, "exists already", "`overwrite` replaces it")
}

fn check_file(path: &Path, overwrite: bool) -> Result<()> {
    if path.is_dir() {
        let remedy = "name a file in it, or give the rows of a file to replace the folder";
        return Err(refused(path, "is a folder", remedy));
    }
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    Ok(())
}

/// A folder may be replaced if it holds Parquet files and nothing else: a mistyped target must
/// not cost anybody their files.
fn check_folder(path: &Path, overwrite: bool) -> Result<()> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    if !path.is_dir() {
        return Err(refused(
            path,
            "is a file, not a folder",
            "name another folder",
        ));
    }
    let failed = |cause: io::Error| Error::io(path, "read", &cause);
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !overwrite {
            return Err(refused(
                path,
                "is a folder that is not empty",
                "`overwrite` replaces it",
            ));
        }
        let name = entry.file_name();
        let ours = Path::new(&name)
            .extension()
            .is_some_and(|end| end == "parquet");
        if !ours || entry.file_type().map_err(failed)?.is_dir() {
            let cause = format!(
                "is not replaced, because it holds `{}`, which is no Parquet file",
                name.to_string_lossy()
            );
            return Err(refused(path, &cause, "name another folder"));
        }
    }
    Ok(())
}

/// Renames a whole folder to its name. What stood there goes aside first, and comes back if the
/// second step fails.
fn commit_folder(
    folder: TemporaryFolder,
    path: &Path,
    parent: &Path,
    overwrite: bool,
) -> Result<()> {
    check_folder(path, overwrite)?; // it may have changed while rows were written
    let failed = |cause: io::Error| Error::io(path, "write", &cause);
    let mut old = None;
    if path.is_dir() {
        let aside = tempfile::Builder::new()
            .prefix(OLD_PREFIX)
            .tempdir_in(parent)
            .map_err(failed)?;
        fs::rename(path, aside.path()).map_err(failed)?;
        old = Some(aside);
    }
    if let Err(cause) = fs::rename(folder.path(), path) {
        if let Some(aside) = &old {
            fs::rename(aside.path(), path).map_err(failed)?;
        }
        return Err(failed(cause));
    }
    // There is nothing left under the temporary name; the old folder goes as `aside` is dropped.
    folder.keep();
    Ok(())
}

/// Puts a folder's list of names on the disk.
#[cfg(unix)]
fn synchronise(folder: &Path) -> Result<()> {
    let synchronised = File::open(folder).and_then(|folder| folder.sync_all());
    match synchronised {
        // Some network file systems have nothing to synchronise in a folder.
        Err(cause)
            if matches!(
                cause.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other.map_err(|cause| Error::io(folder, "synchronise", &cause)),
    }
}

#[cfg(not(unix))]
fn synchronise(_folder: &Path) -> Result<()> {
    Ok(())
}
