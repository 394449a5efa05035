//! Spilled bytes on disk: several batches to a file, a checksum to each section.
//!
//! A file takes batches of one class until it is full, and is gone when the last of them is. Space
//! on disk is reserved as long as its file is there: bytes of a batch that is gone count until
//! then, because the disk still has them.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};

use arrow::buffer::{Buffer, MutableBuffer};
use bytes::Bytes;

use super::files::{Files, SpillFile, damaged};
use super::parking::section_of;
use super::reservation::{MemoryManager, Reservation, Tier};
use super::stored::SpillClass;
use super::sync::{Mutex, MutexGuard};
use crate::error::Result;

/// Bytes of a file at most, unless one batch is larger.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;

/// A file has at most this part of what the disk may hold, so that one batch that stays does not
/// hold on to much.
const SEGMENTS_PER_LIMIT: u64 = 16;

#[derive(Debug)]
struct Segment {
    file: Box<dyn SpillFile>,
    held: Mutex<Vec<Reservation>>,
}

#[derive(Debug, Clone, Copy)]
struct Section {
    offset: u64,
    bytes: u64,
    checksum: u32,
}

/// The sections of one batch on disk; dropping it frees its part of the file.
#[derive(Debug)]
pub(super) struct Written {
    segment: Arc<Segment>,
    sections: Vec<Section>,
    folder: Arc<Path>,
}

impl Written {
    /// Bytes of all sections.
    pub(super) fn bytes(&self) -> u64 {
        self.sections.iter().map(|section| section.bytes).sum()
    }

    /// Reads all sections; the caller has reserved their bytes.
    ///
    /// # Errors
    /// `Io`; `Corrupt` if they are not what was written.
    pub(super) fn read(&self) -> Result<Vec<Bytes>> {
        self.sections
            .iter()
            .map(|section| self.section(section))
            .collect()
    }

    fn section(&self, section: &Section) -> Result<Bytes> {
        if section.bytes == 0 {
            return Ok(Bytes::new());
        }
        // Aligned for any type, so that columns need no copy.
        let mut buffer = MutableBuffer::from_len_zeroed(section.bytes as usize);
        self.segment.file.read_at(section.offset, &mut buffer)?;
        if crc32fast::hash(&buffer) != section.checksum {
            let cause = "the checksum is not that of what was written";
            return Err(damaged(&self.folder, section.offset, cause));
        }
        Ok(section_of(Buffer::from(buffer)))
    }
}

/// A file that still takes batches, unless all that it took are gone, and how many bytes it was
/// promised.
#[derive(Debug)]
struct Open {
    segment: Weak<Segment>,
    promised: u64,
}

/// All spill files of an engine.
#[derive(Debug)]
pub(super) struct Segments {
    memory: Arc<MemoryManager>,
    files: Arc<dyn Files>,
    folder: Arc<Path>,
    /// By class: batches of one class tend to go at the same time.
    open: [Mutex<Option<Open>>; SpillClass::ALL.len()],
}

impl Segments {
    pub(super) fn new(
        memory: &Arc<MemoryManager>,
        folder: Option<PathBuf>,
        files: Arc<dyn Files>,
    ) -> Self {
        Segments {
            memory: Arc::clone(memory),
            files,
            folder: folder.unwrap_or_else(std::env::temp_dir).into(),
            open: Default::default(),
        }
    }

    fn open(&self, class: SpillClass) -> MutexGuard<'_, Option<Open>> {
        let open = &self.open[class as usize];
        open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the sections of one batch.
    ///
    /// # Errors
    /// `Reservation` if the disk's limit would be passed; `Io`.
    pub(super) fn write(&self, sections: &[Bytes], class: SpillClass) -> Result<Written> {
        let bytes = sections.iter().map(|section| section.len() as u64).sum();
        let reservation = self.memory.reserve(Tier::Disk, bytes)?;
        let segment = self.segment_for(bytes, class)?;
        let written: Result<Vec<_>> = sections
            .iter()
            .map(|section| {
                Ok(Section {
                    offset: segment.file.append(section)?,
                    bytes: section.len() as u64,
                    checksum: crc32fast::hash(section),
                })
            })
            .collect();
        // A failed write has left bytes in the file, too.
        let mut held = segment.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(reservation);
        drop(held);
        Ok(Written {
            sections: written?,
            segment,
            folder: Arc::clone(&self.folder),
        })
    }

    /// The file that takes so many bytes more.
    fn segment_for(&self, bytes: u64, class: SpillClass) -> Result<Arc<Segment>> {
        let limit = self.memory.limits().of(Tier::Disk);
        let bytes_max = SEGMENT_BYTES_MAX.min(limit / SEGMENTS_PER_LIMIT);
        let mut open = self.open(class);
        if let Some(open) = open.as_mut()
            && open.promised.saturating_add(bytes) <= bytes_max
            && let Some(segment) = open.segment.upgrade()
        {
            open.promised += bytes;
            return Ok(segment);
        }
        let segment = Arc::new(Segment {
            file: self.files.create(&self.folder)?,
            held: Mutex::default(),
        });
        *open = Some(Open {
            segment: Arc::downgrade(&segment),
            promised: bytes,
        });
        Ok(segment)
    }
}
