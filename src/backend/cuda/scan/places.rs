//! Which page of which file a status speaks of.

use crate::error::{Error, ErrorKind};
use crate::storage::{PageProblem, StoredChunk};

/// The pages of one launch, by index.
#[derive(Debug, Default)]
pub(in super::super) struct Places {
    /// Index, and the chunk and its page that it stands for; sorted by index.
    pages: Vec<(u32, StoredChunk, usize)>,
}

impl Places {
    /// The index after the last one.
    pub(super) fn next(&self) -> u32 {
        self.pages.last().map_or(0, |(index, ..)| index + 1)
    }

    /// Says that the page at `index` is a chunk's page.
    pub(super) fn add(&mut self, index: u32, chunk: &StoredChunk, page: usize) {
        self.pages.push((index, chunk.clone(), page));
    }

    /// A kernel's error as what is wrong with a file.
    pub(in super::super) fn explain(&self, error: Error) -> Error {
        let ErrorKind::Kernel {
            status, argument, ..
        } = error.kind()
        else {
            return error;
        };
        let index = |(index, ..): &(u32, StoredChunk, usize)| u64::from(*index);
        let Ok(at) = self.pages.binary_search_by_key(argument, index) else {
            return error;
        };
        let (_, stored, page) = &self.pages[at];
        let page = *page;
        let cause = status.clone();
        match stored.chunk() {
            Ok(chunk) => chunk.refuse(&PageProblem::Corrupt { page, cause }),
            Err(error) => error,
        }
    }
}
