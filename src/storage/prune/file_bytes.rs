//! Bytes of a file beside its column chunks and its footer, read when somebody asks.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

use crate::storage::{OpenedFile, ParquetFile};

/// A file that is opened on the first read. Whatever cannot be read is not there: pruning goes on
/// without it, and the reader of rows says what is wrong with the file.
pub(in crate::storage) struct FileBytes<'f> {
    file: &'f ParquetFile,
    handle: RefCell<Option<OpenedFile>>,
    bytes_read: Cell<u64>,
}

impl<'f> FileBytes<'f> {
    pub(in crate::storage) fn new(file: &'f ParquetFile) -> Self {
        FileBytes {
            file,
            handle: RefCell::default(),
            bytes_read: Cell::default(),
        }
    }

    pub(in crate::storage) fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// The first bytes of a place: as many as wanted, as long as the place and the file go on.
    pub(in crate::storage) fn head(&self, start: i64, length: i64, wanted: u64) -> Option<Bytes> {
        let left = self.file.bytes().checked_sub(u64::try_from(start).ok()?)?;
        let length = u64::try_from(length).ok()?.min(left).min(wanted);
        self.range(start, i64::try_from(length).ok()?, wanted)
    }

    /// The bytes of a place, if it is within the file and no larger than `bytes_max`.
    pub(in crate::storage) fn range(
        &self,
        start: i64,
        length: i64,
        bytes_max: u64,
    ) -> Option<Bytes> {
        let (start, length) = (u64::try_from(start).ok()?, u64::try_from(length).ok()?);
        let end = start.checked_add(length)?;
        if length > bytes_max || end > self.file.bytes() {
            return None;
        }
        let mut handle = self.handle.borrow_mut();
        let file = match handle.take() {
            Some(file) => file,
            None => OpenedFile::open(self.file.path()).ok()?,
        };
        let file = handle.insert(file);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        file.read_exact_at(&mut bytes, start).ok()?;
        self.bytes_read.set(self.bytes_read.get() + length);
        Some(bytes.into())
    }
}
