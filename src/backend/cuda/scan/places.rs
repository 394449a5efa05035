//! Which page of which file a status speaks of.

use crate::error::{Error, ErrorKind};
use crate::storage::{PageProblem, StoredChunk};

/// The pages of one launch, by index.
#[derive(Debug, Default)]
pub(in super::super) struct Places {
    chunks: Vec<StoredChunk>,
    /// The chunk and the page in it that each index stands for.
    pages: Vec<(usize, usize)>,
}

impl Places {
    /// The index of the page that is added next.
    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    /// Says that the next pages are a chunk's.
    pub(super) fn begin(&mut self, chunk: &StoredChunk) {
        self.chunks.push(chunk.clone());
    }

    /// Adds a page of the chunk that was begun last.
    pub(super) fn add(&mut self, page: usize) {
        self.pages.push((self.chunks.len().saturating_sub(1), page));
    }

    /// A kernel's error as what is wrong with a file.
    pub(in super::super) fn explain(&self, error: Error) -> Error {
        let ErrorKind::Kernel {
            status, argument, ..
        } = error.kind()
        else {
            return error;
        };
        let place = usize::try_from(*argument)
            .ok()
            .and_then(|at| self.pages.get(at));
        let Some((chunk, page)) = place else {
            return error;
        };
        let (Some(stored), page) = (self.chunks.get(*chunk), *page) else {
            return error;
        };
        let cause = status.clone();
        match stored.chunk() {
            Ok(chunk) => chunk.refuse(&PageProblem::Corrupt { page, cause }),
            Err(error) => error,
        }
    }
}
